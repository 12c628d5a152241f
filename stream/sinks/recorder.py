"""Recordings: Parquet with one row per track and frame. docs/recordings.md describes the columns."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Mapping
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import Any

import msgspec
import pyarrow as pa

from xpose_stream.stream.sinks.columns import DETECTED, SCHEMA
from xpose_stream.stream.sinks.given import COLUMNS, Given
from xpose_stream.stream.sinks.journal import Journal, journal_of, lock_journal, read_journal
from xpose_stream.stream.sinks.messages import TracksMessage
from xpose_stream.stream.sinks.room import Room
from xpose_stream.stream.sinks.row import rows_of
from xpose_stream.stream.sinks.sink import SinkError, TakenError, claim, unwritable
from xpose_stream.stream.sinks.table import Table
from xpose_stream.trackers import TrackerConfig

_FLUSH_SECONDS = 1.0
_AHEAD_ROWS = 1 << 14  # that may wait to be flushed before writing waits too


class Recorder:
    """Writes messages of any number of cameras to the Parquet file `path`, which appears when it is closed.

    Until then <path>.journal (an Arrow stream) holds every row flushed so far, at most a second behind, whatever
    happens to the process; `recover` makes the Parquet file of it. A frame without tracks is a row without a track.
    Raises SinkError when the file exists (unless `overwrite`), is being recorded by somebody else, was left behind by
    a killed run, or cannot be written. Methods may be called from any thread. `tracker` and what else it
    was `made` with are noted in the file. With `detections` it also holds what the tracker was given, for `retrack`.

    With `room` a full disk is no error: frames are counted there and not written, until there is room again.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        overwrite: bool = False,
        tracker: TrackerConfig | None = None,
        made: Mapping[str, str] | None = None,
        detections: bool = False,
        room: Room | None = None,
    ) -> None:
        self.path = claim(path, overwrite)
        self._made = made
        self.begun = time.monotonic()
        self._overwrite, self._tracker, self._room = overwrite, tracker, room
        self._schema = DETECTED if detections else SCHEMA
        self._lock = threading.Lock()  # of what waits to be flushed
        self._writing = threading.RLock()  # of the files
        self._rows: list[dict[str, Any]] = []
        self._frames = 0
        self._prompts: dict[str, dict[str, Any]] = {}
        self._closed = False
        self._failure: Exception | None = None
        self._journal: Journal | None = None
        self._table: Table | None = None
        try:
            self._open()
        except TakenError:
            raise
        except SinkError as error:
            if not self._pause(error.__cause__):
                raise
        self._ended = threading.Event()
        threading.Thread(target=self._flush_each_second, daemon=True).start()

    @property
    def size(self) -> int:
        """Bytes that the Parquet file has so far, or would have with what waits to be written."""
        table, journal = self._table, self._journal
        return table.size if table else journal.size if journal else 0

    def write(self, message: TracksMessage, given: Given | None = None) -> None:
        """Add the rows of one message. Raises SinkError when the disk is full or the recorder is closed."""
        if len(self._rows) >= _AHEAD_ROWS:
            self.flush()
        with self._lock:
            if self._closed:
                raise SinkError(f"cannot write {self.path}: the recording is closed")
            if self._failure:
                raise self._failure
            rows = rows_of(message)
            if given:
                rows[0] |= given.columns()
            self._rows += rows
            self._frames += 1
            self._note_prompt(message, given)

    def flush(self) -> None:
        """Put every row written so far out of reach of a kill, as happens each second anyway. Raises SinkError."""
        with self._writing:
            if self._closed:
                return
            try:
                self._flush()
            except OSError as error:
                raise unwritable(self.path, error) from None

    def close(self) -> None:
        """Make the finished Parquet file appear at the path; a second call does nothing.

        Raises SinkError when it cannot be finished, for example on a full disk; the journal then stays for `recover`.
        """
        with self._writing:
            with self._lock:
                if self._closed:
                    return
                self._closed = True
            self._ended.set()
            try:
                self._flush()
                if self._journal is None:
                    raise SinkError(f"{self.path} was not written at all: {self._room.full if self._room else ''}")
                table = self._table or Table.of(self._journal, self.path, self._schema)
                table.finish()
                self._journal.remove()
            except OSError as error:
                if self._table:
                    self._table.abandon()
                sentence = f"{unwritable(self.path, error)}; `xpose-stream recover {self.path}` makes the file"
                raise SinkError(f"{sentence} of what was recorded before, when there is room") from None
            finally:
                if self._room:
                    self._room.ended(self.path)
                if self._journal:
                    self._journal.close()

    def _open(self) -> None:
        self._journal = Journal(self.path, self._schema, _metadata({}), self._overwrite)
        try:
            self._table = Table(self.path, self._schema)
        except SinkError:
            self._journal.remove()
            self._journal = None
            raise

    def _flush_each_second(self) -> None:
        # not when the next row comes, which may be long after a camera has stalled
        while not self._failure and not self._ended.wait(_FLUSH_SECONDS):
            try:
                self.flush()
            except Exception as error:  # it is told by the next write
                self._failure = error

    def _flush(self) -> None:
        """Write what waits, or count it as lost; holds up no `write` meanwhile."""
        with self._lock:
            rows, self._rows, frames, self._frames = self._rows, [], self._frames, 0
            metadata = _metadata(self._prompts, self._tracker, self._made)
        if not rows:
            return
        if self._room and not self._room.enough(self.path):
            self._room.lost += frames
            return
        try:
            if self._journal is None:
                self._open()
            assert self._journal
            batch = pa.RecordBatch.from_pylist(rows, schema=self._schema)
            self._journal.write(batch, metadata)
        except (OSError, SinkError) as error:
            cause = error.__cause__ if isinstance(error, SinkError) else error
            if not self._pause(cause, frames):
                with self._lock:
                    self._rows, self._frames = rows + self._rows, frames + self._frames
                raise
            return
        if self._room:
            self._room.back(self.path)
        try:
            if self._table:
                self._table.write(batch, metadata)
        except OSError as error:
            if not self._room:
                raise
            self._room.ran_out(self.path, error)
            self._drop_table()

    def _pause(self, error: BaseException | None, frames: int = 0) -> bool:
        """Whether a failure to write is to be lived with."""
        if self._room is None or not isinstance(error, OSError):
            return False
        self._room.ran_out(self.path, error)
        self._room.lost += frames
        self._drop_table()
        if self._journal and isinstance(error, FileNotFoundError):  # begun anew when that can be
            self._journal.close()
            self._journal = None
        return True

    def _drop_table(self) -> None:
        """Give its room back; in the end the file is made from the journal."""
        if self._table:
            self._table.abandon()
            self._table = None

    def _note_prompt(self, message: TracksMessage, given: Given | None) -> None:
        key = f"{message.prompt.name} {message.prompt.version}"
        if key not in self._prompts:
            categories = msgspec.to_builtins(message.categories)
            if given:
                categories = [each | {"sigmas": given.sigmas.get(each["id"])} for each in categories]
            self._prompts[key] = msgspec.to_builtins(message.prompt) | {"categories": categories}

    def __enter__(self) -> Recorder:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def recover(path: str | Path) -> int:
    """Make the Parquet file `path` from the journal that a killed recording left; return its number of rows.

    Raises SinkError when there is no such journal, its recording still runs, or `path` exists.
    """
    path = Path(path)
    if not journal_of(path).exists():
        raise SinkError(f"there is nothing to recover: {journal_of(path)} does not exist")
    claim(path)
    with lock_journal(path, patience=0.5) as file:  # a run that looks for a name has it for a moment
        claim(path)
        table = Table(path, _schema_of(file))
        try:
            for batch, metadata in read_journal(file):
                table.write(batch, metadata)
            table.finish()
        except OSError as error:
            table.abandon()
            raise unwritable(path, error) from None
        journal_of(path).unlink()
    return table.rows


def _schema_of(journal: FileIO) -> pa.Schema:
    try:
        return DETECTED if COLUMNS[0].name in pa.ipc.open_stream(journal).schema.names else SCHEMA
    except (pa.ArrowInvalid, OSError):  # not even its beginning was written
        return SCHEMA
    finally:
        journal.seek(0)


def _metadata(
    prompts: dict[str, dict[str, Any]], tracker: TrackerConfig | None = None, made: Mapping[str, str] | None = None
) -> dict[str, str]:
    metadata = {"prompts": json.dumps(list(prompts.values()))}
    if tracker:
        metadata["tracker"] = tracker.to_json()
    if made:
        metadata["made"] = json.dumps(dict(made), ensure_ascii=False)
    return metadata
