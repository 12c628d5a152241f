"""Recordings as MCAP, which Foxglove, Lichtblick and ROS 2's tools open."""

from __future__ import annotations

import io
import logging
import os
import time
from collections.abc import Callable
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import BinaryIO, Protocol, cast

import foxglove
from foxglove.mcap import MCAPWriteOptions, MCAPWriter

from xpose_stream.stream.sinks.messages import TracksMessage
from xpose_stream.stream.sinks.place import open_free, place_of
from xpose_stream.stream.sinks.room import Room
from xpose_stream.stream.sinks.series import Rotation
from xpose_stream.stream.sinks.sink import TakenError, append, deleted, unwritable
from xpose_stream.stream.sources.frame import Frame

_FLUSH_SECONDS = 1.0

log = logging.getLogger(__name__)


class Shown(Protocol):
    """What is written of a camera."""

    def log(self, frame: Frame | None, message: TracksMessage) -> None:
        """One frame."""


class Mcap:
    """Writes the frames of one camera where `pattern` says, in as many files as `rotation` makes of it.

    A file can be read at any moment, up to a second behind, whatever happens to the process. Where a name is taken, it
    gets a number. `show` makes the channels in a context. With `room` a full disk is no error: frames are counted
    there, and written on in another file when there is room again. Else raises SinkError.
    """

    def __init__(
        self,
        pattern: str,
        camera: str,
        show: Callable[[str, foxglove.Context], Shown],
        *,
        profile: str = "",
        room: Room | None = None,
        rotation: Rotation | None = None,
    ) -> None:
        self._pattern, self._camera, self._show, self._profile = pattern, camera, show, profile
        self._room, self._rotation = room, rotation or Rotation()
        self._part: _Part | None = None
        self._open()

    def write(self, frame: Frame | None, message: TracksMessage) -> None:
        """Add one frame. Raises SinkError."""
        room, limit = self._room, self._rotation
        if room and not room.enough(Path(self._pattern)):
            room.lost += 1
            return
        try:
            part = self._part
            if part and part.deleted and part.path.parent.is_dir():
                log.warning("%s was deleted; %s is recorded on in a new one", part.path, self._camera)
                self._end()
            elif part and (time.monotonic() - part.begun >= limit.seconds or part.size >= limit.bytes):
                self._end()
            self._open().write(frame, message)
        except OSError as error:
            self._part = None
            if room is None:
                raise unwritable(Path(self._pattern), error) from None
            room.ran_out(Path(self._pattern), error)
            room.lost += 1
            return
        if room:
            room.back(Path(self._pattern))

    def close(self) -> None:
        """Finish the file. Raises SinkError."""
        try:
            self._end()
        except OSError as error:
            raise unwritable(Path(self._pattern), error) from None

    def _open(self) -> _Part:
        if self._part is None:
            path = place_of(self._pattern, self._camera)
            self._part = open_free(path, lambda place: _Part(place, self._camera, self._show, self._profile))
            if self._part.path != path:
                log.warning("%s is there already; %s is recorded in %s", path, self._camera, self._part.path)
        return self._part

    def _end(self) -> None:
        part, self._part = self._part, None
        if part:
            part.close()

    def __enter__(self) -> Mcap:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _Part:
    """One file. Raises OSError where it cannot be written, and can then not be written any more."""

    def __init__(self, path: Path, camera: str, show: Callable[[str, foxglove.Context], Shown], profile: str) -> None:
        self.path, self.begun = path, time.monotonic()
        self._flushed = self.begun
        try:
            self._file = _File(path)
        except FileExistsError:
            raise TakenError(f"{path} exists already and is not overwritten; choose another name") from None
        except OSError as error:
            raise unwritable(path, error) from error
        self._context = foxglove.Context()  # its channels are closed with it
        options = MCAPWriteOptions(profile=profile, compression_threads=0)
        self._shown = show(camera, self._context)
        file = cast(BinaryIO, self._file)
        self._writer: MCAPWriter = foxglove.open_mcap(file, context=self._context, writer_options=options)

    @property
    def size(self) -> int:
        """bytes"""
        return self._file.size

    @property
    def deleted(self) -> bool:
        """Somebody has deleted the file."""
        return self._file.deleted

    def write(self, frame: Frame | None, message: TracksMessage) -> None:
        """Add one frame; what is older than a second is then out of reach of a kill."""
        self._shown.log(frame, message)
        if time.monotonic() - self._flushed >= _FLUSH_SECONDS:
            self._flushed = time.monotonic()
            self._do(self._writer.flush)

    def close(self) -> None:
        """Write the summary."""
        try:
            self._do(self._writer.close)
        finally:
            self._file.close()

    def _do(self, step: Callable[[], None]) -> None:
        try:
            step()
        except RuntimeError:
            raise (self._file.failure or OSError("it cannot be written")) from None
        if self._file.failure:  # of a message that was logged
            raise self._file.failure


class _File:
    """What the library takes for a file: it goes to the disk in whole chunks, so that what is there can be read."""

    failure: OSError | None = None  # why the disk did not take it, which the library does not tell

    def __init__(self, path: Path) -> None:
        self._file = FileIO(path, "xb")
        self._ahead = io.BytesIO()
        self.size = 0  # bytes on the disk

    def write(self, data: bytes) -> int:
        """Keep it until a flush."""
        return self._ahead.write(data)

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Within what has not been flushed."""
        at = offset - self.size if whence == os.SEEK_SET else offset
        return self.size + self._ahead.seek(at, whence)

    def flush(self) -> None:
        """Add all of it to the file, or nothing and raise OSError."""
        data = self._ahead.getvalue()
        try:
            append(self._file, data)
        except OSError as error:
            self.failure = error
            raise
        self.size += len(data)
        self._ahead.seek(0)
        self._ahead.truncate()

    @property
    def deleted(self) -> bool:
        """Somebody has deleted it."""
        return deleted(self._file)

    def close(self) -> None:
        """Let it go."""
        self._file.close()
