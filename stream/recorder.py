"""Recordings: Parquet with one row per track and frame. docs/recordings.md describes the columns."""

from __future__ import annotations

import fcntl
import io
import json
import os
import threading
from collections.abc import Iterator, Sequence
from io import FileIO
from pathlib import Path
from types import TracebackType
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from stream.messages import TrackMessage, TracksMessage
from stream.sink import SinkError, append, claim, unwritable
from trackers import TrackerConfig

_FLUSH_SECONDS = 1.0
_GROUP_ROWS = 2048  # a second or so of rows is too little for a good file; more would hold up the next frame


def _column(name: str, kind: pa.DataType, unit: str) -> pa.Field:
    return pa.field(name, kind, metadata={"unit": unit})


def _columns() -> list[pa.Field]:
    text, real, numbers = pa.string(), pa.float64(), pa.list_(pa.float32())
    frame = [("camera", text, ""), ("frame", pa.int64(), ""), ("sequence", pa.int64(), "")]
    frame += [("pts", real, "s"), ("captured_at", real, "s"), ("clock", text, "")]
    frame += [("clock_uncertainty", real, "s"), ("epoch", pa.int64(), "")]
    frame += [("published_at", real, "s"), ("latency_ms", pa.float32(), "ms"), ("predicted_time", real, "s")]
    frame += [("width", pa.int32(), "px"), ("height", pa.int32(), "px")]
    frame += [("prompt", text, ""), ("prompt_version", pa.int64(), "")]
    track = [("track_id", pa.int64(), ""), ("category", text, ""), ("category_id", pa.int64(), "")]
    track += [("score", pa.float32(), ""), ("status", text, ""), ("age", real, "s")]
    track += [(f"box_{side}", pa.float32(), "px") for side in ("x0", "y0", "x1", "y1")]
    keypoint = [(f"keypoint_{axis}", numbers, "px") for axis in "xy"] + [("keypoint_status", pa.list_(text), "")]
    keypoint += [(f"velocity_{axis}", numbers, "px/s") for axis in "xy"]
    keypoint += [(f"covariance_{axes}", numbers, "px^2") for axes in ("xx", "xy", "yy")]
    keypoint += [(f"measured_{axis}", numbers, "px") for axis in "xy"] + [("keypoint_score", numbers, "")]
    keypoint += [(f"predicted_{axis}", numbers, "px") for axis in "xy"]
    keypoint += [(f"predicted_covariance_{axes}", numbers, "px^2") for axes in ("xx", "xy", "yy")]
    return [_column(*column) for column in frame + track + keypoint]


SCHEMA = pa.schema(_columns(), metadata={"recording_version": "1"})
_TEXTS = ["camera", "clock", "prompt", "category", "status", "keypoint_status.list.element"]
_FRAME = ["camera", "frame", "sequence", "pts", "captured_at", "clock", "clock_uncertainty", "epoch"]
_FRAME += ["published_at", "latency_ms", "predicted_time", "width", "height"]


class Recorder:
    """Writes messages of any number of cameras to the Parquet file `path`, which appears when it is closed.

    Until then <path>.journal (an Arrow stream) holds every row flushed so far, at most a second behind, whatever
    happens to the process; `recover` makes the Parquet file of it. A frame without tracks is a row without a track.
    Raises SinkError when the file exists (unless `overwrite`), is being recorded by somebody else, was left behind by
    a killed run, or cannot be written. Methods may be called from any thread. `tracker` is noted in the file.
    """

    def __init__(self, path: str | Path, *, overwrite: bool = False, tracker: TrackerConfig | None = None) -> None:
        self._path = claim(path, overwrite)
        self._lock = threading.RLock()
        self._rows: list[dict[str, Any]] = []
        self._prompts: dict[str, dict[str, Any]] = {}
        self._tracker = tracker
        self._closed = False
        self._journal = _Journal(self._path, overwrite)
        try:
            self._table = _Table(self._path)
        except SinkError:
            self._journal.remove()
            raise
        self._failure: Exception | None = None
        self._ended = threading.Event()
        threading.Thread(target=self._flush_each_second, daemon=True).start()

    def write(self, message: TracksMessage) -> None:
        """Add the rows of one message. Raises SinkError when the disk is full or the recorder is closed."""
        with self._lock:
            if self._closed:
                raise SinkError(f"cannot write {self._path}: the recording is closed")
            if self._failure:
                raise self._failure
            self._rows += _rows(message)
            self._note_prompt(message)

    def flush(self) -> None:
        """Put every row written so far out of reach of a kill, as happens each second anyway. Raises SinkError."""
        with self._lock:
            if self._closed:
                return
            try:
                self._flush()
            except OSError as error:
                raise unwritable(self._path, error) from None

    def close(self) -> None:
        """Make the finished Parquet file appear at the path; a second call does nothing.

        Raises SinkError when it cannot be finished, for example on a full disk; the journal then stays for `recover`.
        """
        with self._lock:
            if self._closed:
                return
            self._closed = True
            self._ended.set()
            try:
                self._flush()
                self._table.finish()
                self._journal.remove()
            except OSError as error:
                self._table.abandon()
                sentence = (
                    f"{unwritable(self._path, error)}; `python run_stream.py recover {self._path}` makes the file"
                )
                raise SinkError(f"{sentence} of what was recorded before, when there is room") from None
            finally:
                self._journal.close()

    def _flush_each_second(self) -> None:
        # not when the next row comes, which may be long after a camera has stalled
        while not self._failure and not self._ended.wait(_FLUSH_SECONDS):
            try:
                self.flush()
            except Exception as error:  # it is told by the next write
                self._failure = error

    def _flush(self) -> None:
        if self._rows:
            batch = pa.RecordBatch.from_pylist(self._rows, schema=SCHEMA)
            metadata = _metadata(self._prompts, self._tracker)
            self._journal.write(batch, metadata)
            self._rows.clear()
            self._table.write(batch, metadata)

    def _note_prompt(self, message: TracksMessage) -> None:
        key = f"{message.prompt.name} {message.prompt.version}"
        if key not in self._prompts:
            categories = msgspec.to_builtins(message.categories)
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
    if not _journal_of(path).exists():
        raise SinkError(f"there is nothing to recover: {_journal_of(path)} does not exist")
    claim(path)
    with _lock_journal(path) as file:
        table = _Table(path)
        try:
            for batch, metadata in read_journal(file):
                table.write(batch, metadata)
            table.finish()
        except OSError as error:
            table.abandon()
            raise unwritable(path, error) from None
        _journal_of(path).unlink()
    return table.rows


def completed(table: pa.Table) -> pa.Table:
    """The rows with the columns that recordings of earlier versions lack."""
    for field in SCHEMA:
        if field.name.startswith(("predicted", "keypoint_score")) and field.name not in table.column_names:
            table = table.append_column(field, pa.nulls(len(table), field.type))
    return table


def read_journal(file: FileIO) -> Iterator[tuple[pa.RecordBatch, dict[str, str]]]:
    """Iterate over the complete batches of a journal with their metadata, ignoring a last one that was cut off."""
    try:
        reader = pa.ipc.open_stream(file)
        while True:
            batch, metadata = reader.read_next_batch_with_custom_metadata()
            yield batch, {key.decode(): value.decode() for key, value in (metadata or {}).items()}
    except (StopIteration, pa.ArrowInvalid, OSError):
        return


class _Journal:
    """<path>.journal: whole batches only, and locked, so that a killed recording can be told from a running one."""

    def __init__(self, path: Path, overwrite: bool) -> None:
        self._path = _journal_of(path)
        self._file = _lock_journal(path)
        if os.fstat(self._file.fileno()).st_size and not overwrite:
            self._file.close()
            raise SinkError(
                f"{self._path} is left from a recording that was killed; "
                f"run `python run_stream.py recover {path}` to make it a Parquet file, or delete it"
            )
        self._file.truncate(0)
        self._memory = io.BytesIO()
        options = pa.ipc.IpcWriteOptions(compression="lz4")
        self._stream = pa.ipc.new_stream(self._memory, SCHEMA, options=options)
        try:
            # Makes it readable from the start; and the first call takes 0.4 s, better here than amid frames.
            self.write(pa.RecordBatch.from_pylist([], schema=SCHEMA), _metadata({}))
        except OSError as error:
            self.remove()
            raise unwritable(path, error) from None

    def write(self, batch: pa.RecordBatch, metadata: dict[str, str]) -> None:
        """Add `batch`, or leave the journal as it was and raise OSError."""
        self._memory.seek(0)
        self._memory.truncate()
        self._stream.write_batch(batch, custom_metadata=metadata)
        append(self._file, self._memory.getvalue())

    def remove(self) -> None:
        """Delete it and let it go."""
        self._path.unlink()
        self.close()

    def close(self) -> None:
        """Let it go."""
        self._file.close()


class _Table:
    """The Parquet file in the making: <path>.partial, unreadable until it is finished and takes the path's place."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._partial = path.with_name(path.name + ".partial")
        try:
            self._writer = pq.ParquetWriter(self._partial, SCHEMA, compression="zstd", use_dictionary=_TEXTS)
        except OSError as error:
            raise unwritable(path, error) from None
        self._waiting: list[pa.RecordBatch] = []
        self._metadata = _metadata({})
        self._failure: OSError | None = None
        self.rows = 0

    def write(self, batch: pa.RecordBatch, metadata: dict[str, str]) -> None:
        """Add `batch`. What raises OSError once does so for ever: nobody knows what of it is in the file."""
        self._waiting.append(batch)
        self._metadata = metadata
        self.rows += batch.num_rows
        if sum(batch.num_rows for batch in self._waiting) >= _GROUP_ROWS:
            self._write_group()

    def finish(self) -> None:
        """Write the footer, see to it that all is on the disk, then take the path's place."""
        self._write_group()
        self._writer.add_key_value_metadata(self._metadata)
        self._writer.close()
        with open(self._partial, "rb") as file:
            os.fsync(file.fileno())
        os.replace(self._partial, self._path)

    def abandon(self) -> None:
        """Delete what there is, which also makes room on a full disk."""
        self._writer.is_open = False  # else it would try again to write the footer when it is collected
        self._partial.unlink(missing_ok=True)

    def _write_group(self) -> None:
        if self._failure:
            raise self._failure
        try:
            if self._waiting:
                self._writer.write_table(completed(pa.Table.from_batches(self._waiting)).select(SCHEMA.names))
        except OSError as error:
            self._failure = error
            raise
        self._waiting.clear()


def _journal_of(path: Path) -> Path:
    return path.with_name(path.name + ".journal")


def _lock_journal(path: Path) -> FileIO:
    """Open the journal for appending, from its beginning for reading, if no other process has it open."""
    try:
        file = FileIO(_journal_of(path), "a+")
    except OSError as error:
        raise unwritable(path, error) from None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        file.close()
        raise SinkError(f"{path} is being recorded by another process; choose another name") from None
    file.seek(0)
    return file


def _metadata(prompts: dict[str, dict[str, Any]], tracker: TrackerConfig | None = None) -> dict[str, str]:
    metadata = {"prompts": json.dumps(list(prompts.values()))}
    if tracker:
        metadata["tracker"] = tracker.to_json()
    return metadata


def _rows(message: TracksMessage) -> list[dict[str, Any]]:
    frame = {name: getattr(message, name) for name in _FRAME}
    frame |= {"prompt": message.prompt.name, "prompt_version": message.prompt.version}
    names = {category.id: category.name for category in message.categories}
    return [frame | _track(track, names[track.category]) for track in message.tracks] or [frame]


def _track(track: TrackMessage, category: str) -> dict[str, Any]:
    row: dict[str, Any] = dict(zip(("box_x0", "box_y0", "box_x1", "box_y1"), track.box, strict=True))
    row |= {"track_id": track.id, "category": category, "category_id": track.category}
    row |= {"score": track.score, "status": track.status, "age": track.age, "keypoint_status": track.keypoint_status}
    row |= _split("keypoint", ("x", "y"), track.keypoints)
    row |= _split("velocity", ("x", "y"), track.velocities)
    row |= _split("covariance", ("xx", "xy", "yy"), track.covariances)
    row |= _split("measured", ("x", "y"), track.measured) | {"keypoint_score": track.keypoint_scores}
    if track.predicted is not None and track.predicted_covariances is not None:
        row |= _split("predicted", ("x", "y"), track.predicted)
        row |= _split("predicted_covariance", ("xx", "xy", "yy"), track.predicted_covariances)
    return row


def _split(name: str, axes: tuple[str, ...], values: Sequence[tuple[float, ...] | None]) -> dict[str, Any]:
    """One column per axis; a value that is None is None on every axis."""
    return {
        f"{name}_{axis}": [None if value is None else value[place] for value in values]
        for place, axis in enumerate(axes)
    }
