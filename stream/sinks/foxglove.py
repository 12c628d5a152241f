"""The same as in an MCAP file, live: a server that Foxglove connects to."""

from __future__ import annotations

from types import TracebackType

import foxglove

from xpose_stream.stream.sinks.messages import TracksMessage
from xpose_stream.stream.sinks.sink import SinkError
from xpose_stream.stream.sinks.views import Views
from xpose_stream.stream.sources.frame import Frame


class Live:
    """Serves at `endpoint`, such as 127.0.0.1:8765, all cameras that are shown. Raises SinkError."""

    def __init__(self, endpoint: str, video: bool = False) -> None:
        host, _, port = endpoint.rpartition(":")
        self._context, self._video = foxglove.Context(), video
        self._cameras: dict[str, Views] = {}
        try:
            self._server = foxglove.start_server(
                name="xpose-stream", host=host or "0.0.0.0", port=int(port), context=self._context
            )
        except (RuntimeError, OSError, ValueError) as error:
            raise SinkError(f"cannot serve Foxglove at {endpoint}: {error}") from None
        self.port = self._server.port

    def show(self, frame: Frame | None, message: TracksMessage) -> None:
        """One frame of any camera; never waits for who looks."""
        if message.camera not in self._cameras:
            self._cameras[message.camera] = Views(message.camera, self._context, self._video)
        self._cameras[message.camera].log(frame, message)

    def __enter__(self) -> Live:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.stop()
