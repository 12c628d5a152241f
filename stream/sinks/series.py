"""What is recorded of a camera in a run: one file after the other, under names that nobody has."""

from __future__ import annotations

import logging
import re
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import pyarrow.parquet as pq

from xpose_stream.stream.sinks.given import Given
from xpose_stream.stream.sinks.journal import journal_of, lock_journal, read_journal
from xpose_stream.stream.sinks.messages import TracksMessage
from xpose_stream.stream.sinks.place import open_free, place_of, places_like
from xpose_stream.stream.sinks.recorder import Recorder, recover
from xpose_stream.stream.sinks.room import Room
from xpose_stream.stream.sinks.sink import SinkError, TakenError
from xpose_stream.trackers import TrackerConfig

_SECONDS = {"s": 1.0, "min": 60.0, "h": 3600.0, "d": 86400.0}
_BYTES = {"kB": 1e3, "MB": 1e6, "GB": 1e9}

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Rotation:
    """When a recording goes on in another file: after so many s, or when the file has about so many bytes."""

    seconds: float = float("inf")
    bytes: float = float("inf")

    @classmethod
    def of(cls, text: str) -> Rotation:
        """What a user wrote, such as 1h or 500MB. Raises ValueError."""
        units = {unit.lower(): unit for unit in (*_SECONDS, *_BYTES)}
        match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*([a-z]+)", text.strip().lower())
        unit = units.get(match[2]) if match else None
        if not match or not unit or not float(match[1]):
            raise ValueError(f"write a time or a size, such as 1h or 1GB; units are {', '.join(units.values())}")
        if unit in _SECONDS:
            return cls(seconds=float(match[1]) * _SECONDS[unit])
        return cls(bytes=float(match[1]) * _BYTES[unit])


class Series:
    """Records the messages of one camera where `pattern` says, in as many files as `rotation` makes of it.

    Where a name is taken, by a file or by another run, it gets a number: nothing is overwritten. Raises SinkError.
    """

    def __init__(
        self,
        pattern: str,
        camera: str,
        *,
        tracker: TrackerConfig | None = None,
        made: Mapping[str, str] | None = None,
        detections: bool = False,
        room: Room | None = None,
        rotation: Rotation | None = None,
    ) -> None:
        self._pattern, self._camera, self._tracker, self._room = pattern, camera, tracker, room
        self._detections, self._made = detections, made
        self._rotation = rotation or Rotation()
        self._finishing: list[threading.Thread] = []
        self._failure: SinkError | None = None
        self._part = self._next()

    def write(self, message: TracksMessage, given: Given | None = None) -> None:
        """Add one message. Raises SinkError."""
        part, limit = self._part, self._rotation
        if time.monotonic() - part.begun >= limit.seconds or part.size >= limit.bytes:
            self._part = self._next()
            self._finishing = [thread for thread in self._finishing if thread.is_alive()]
            self._finishing.append(threading.Thread(target=self._finish, args=(part,), daemon=True))
            self._finishing[-1].start()
        self._part.write(message, given if self._detections else None)

    def close(self) -> None:
        """Finish the last file. Raises SinkError when one of them could not be."""
        self._finish(self._part)
        for thread in self._finishing:
            thread.join()
        if self._failure:
            raise self._failure

    def _next(self) -> Recorder:
        path = place_of(self._pattern, self._camera)
        settings: dict[str, Any] = {"tracker": self._tracker, "detections": self._detections, "room": self._room}
        settings["made"] = self._made
        recorder = open_free(path, lambda place: Recorder(place, **settings))
        if recorder.path != path:
            log.warning("%s is there already; %s is recorded in %s", path, self._camera, recorder.path)
        return recorder

    def _finish(self, part: Recorder) -> None:
        try:
            part.close()
        except SinkError as error:
            self._failure = error

    def __enter__(self) -> Series:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def recover_left(pattern: str, camera: str) -> None:
    """Make files of what killed runs with this pattern left of a camera; what cannot be is told, and stays."""
    for path in places_like(pattern, camera, ".journal"):
        try:
            if path.exists():
                _drop_journal_of_finished(path)
            else:
                log.warning("%s: %d rows of a run that was killed are recovered", path, recover(path))
        except TakenError:
            continue  # it is being recorded
        except SinkError as error:
            log.warning("what a killed run left of %s stays as it is: %s", path, error)


def _drop_journal_of_finished(path: Path) -> None:
    """Of a recording that was killed between its last two steps."""
    with lock_journal(path) as file:
        rows = sum(batch.num_rows for batch, _ in read_journal(file))
        try:
            finished = pq.read_metadata(path).num_rows >= rows
        except (OSError, ValueError):  # somebody else's file
            finished = False
        if finished:
            journal_of(path).unlink()
