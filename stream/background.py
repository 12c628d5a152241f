"""A sink that works beside the pipeline instead of in it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from queue import Queue

from stream.frame import Frame
from stream.messages import TracksMessage

_AHEAD = 8  # frames that may wait; then the pipeline waits, so nothing is lost


class Background:
    """Calls `sink` in a thread of its own, in order; as a context manager it ends when everything is done.

    An error of the sink is raised by the next call, or at the end.
    """

    def __init__(self, sink: Callable[[Frame, TracksMessage], None]) -> None:
        self._sink = sink
        self._waiting: Queue[tuple[Frame, TracksMessage] | None] = Queue(_AHEAD)
        self._failure: Exception | None = None
        self._thread = threading.Thread(target=self._work, daemon=True)

    def __call__(self, frame: Frame, message: TracksMessage) -> None:
        """Hand over one frame; waits when the sink is far behind."""
        if self._failure:
            raise self._failure
        self._waiting.put((frame, message))

    def _work(self) -> None:
        while (item := self._waiting.get()) is not None:
            if self._failure is None:
                try:
                    self._sink(*item)
                except Exception as error:
                    self._failure = error

    def __enter__(self) -> Background:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._waiting.put(None)
        self._thread.join()
        if self._failure and kind is None:
            raise self._failure
