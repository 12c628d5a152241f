"""What a camera's overlay is on the disk: one video after the other, under names that nobody has."""

from __future__ import annotations

import logging
import time
from types import TracebackType

from xpose_stream.stream.sinks.messages import TracksMessage
from xpose_stream.stream.sinks.overlay import Overlay
from xpose_stream.stream.sinks.place import open_free, place_of
from xpose_stream.stream.sinks.room import Room
from xpose_stream.stream.sinks.series import Rotation
from xpose_stream.stream.sources.frame import Frame

log = logging.getLogger(__name__)


class Drawing:
    """Draws the frames of one camera where `pattern` says, in as many videos as `rotation` makes of it.

    Where a name is taken it gets a number: nothing is overwritten. `rate`, `room`: see Overlay. Raises SinkError.
    """

    def __init__(
        self,
        pattern: str,
        camera: str,
        rate: float | None = None,
        *,
        room: Room | None = None,
        rotation: Rotation | None = None,
    ) -> None:
        self._pattern, self._camera, self._rate, self._room = pattern, camera, rate, room
        self._rotation = rotation or Rotation()
        self._part = self._next()

    def write(self, frame: Frame, message: TracksMessage) -> None:
        """Add one frame. Raises SinkError."""
        limit = self._rotation
        gone = self._part.deleted and self._part.path.parent.is_dir()
        if gone:
            log.warning("%s was deleted; %s is drawn on in a new one", self._part.path, self._camera)
        if gone or time.monotonic() - self._begun >= limit.seconds or self._part.size >= limit.bytes:
            self._part.close()
            self._part = self._next()
        self._part.write(frame, message)

    def close(self) -> None:
        """Finish the last video. Raises SinkError."""
        self._part.close()

    def _next(self) -> Overlay:
        self._begun = time.monotonic()
        path = place_of(self._pattern, self._camera)
        part = open_free(path, lambda place: Overlay(place, self._rate, room=self._room))
        if part.path != path:
            log.warning("%s is there already; %s is drawn in %s", path, self._camera, part.path)
        return part

    def __enter__(self) -> Drawing:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
