"""A recording played again: the same messages at their own pace."""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pyarrow.parquet as pq

from xpose_stream.stream.recordings.recording import Recording, RecordingError
from xpose_stream.stream.sinks.messages import TracksMessage

_ROWS = 512  # read at a time: more would be a pause


class Replay:
    """Iterates over the messages of a recording, each when it is due.

    Due is what was published, with the same pauses; of a file, what was captured, since how fast it was processed
    tells nothing. Raises RecordingError.

    speed  times its own pace; 0: no pauses.
    start  s of its own time that are left out.
    exact  leave `published_at` as it was, else it is now.
    loop   begin again at the end, for ever.
    """

    def __init__(
        self, path: str | Path, *, speed: float = 1.0, start: float = 0.0, exact: bool = False, loop: bool = False
    ) -> None:
        self._recording = Recording(path)
        self._speed, self._start, self._exact, self._loop = speed, start, exact, loop
        if not len(self._recording):
            raise RecordingError(f"{path} is empty")

    def __iter__(self) -> Iterator[TracksMessage]:
        yield from self._once()
        while self._loop:
            yield from self._once()

    def _once(self) -> Iterator[TracksMessage]:
        begun = time.monotonic()
        clock = _Timeline(next(self._recording.frames(rows=_ROWS)))
        for message in self._recording.frames(rows=_ROWS, groups=self._groups(clock)):
            due = clock(message) - self._start
            if due < 0:
                continue
            if self._speed and (pause := begun + due / self._speed - time.monotonic()) > 0:
                time.sleep(pause)
            yield message if self._exact else msgspec.structs.replace(message, published_at=time.time())

    def _groups(self, clock: _Timeline) -> list[int]:
        """The row groups in which something is due after the start."""
        with pq.ParquetFile(self._recording.path) as file:
            footer = file.metadata
        return [
            number
            for number in range(footer.num_row_groups)
            if clock.latest(footer.row_group(number)) >= self._start
        ]  # fmt: skip


class _Timeline:
    """s from the first message to others."""

    def __init__(self, first: TracksMessage) -> None:
        self._first = first
        self._cameras = {first.camera: first.captured_at}

    def __call__(self, message: TracksMessage) -> float:
        if message.clock != "file":
            return message.published_at - self._first.published_at
        zero = self._cameras.setdefault(
            message.camera, message.captured_at - (message.published_at - self._first.published_at)
        )
        return message.captured_at - zero

    def latest(self, group: Any) -> float:
        """Nothing in that row group of the file comes later; infinity where that is not known."""
        known = {group.column(at).path_in_schema: group.column(at).statistics for at in range(group.num_columns)}
        clock, captured, published = (known.get(name) for name in ("clock", "captured_at", "published_at"))
        if not (clock and captured and published and clock.has_min_max and captured.has_min_max):
            return float("inf")
        if clock.min == clock.max == "file":
            return float(captured.max - self._first.captured_at)
        return float("inf") if "file" in (clock.min, clock.max) else float(published.max - self._first.published_at)
