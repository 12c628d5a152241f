"""The journal of a recording: every row flushed so far, out of reach of a kill."""

from __future__ import annotations

import errno
import fcntl
import io
import os
import time
from collections.abc import Iterator
from io import FileIO
from pathlib import Path

import pyarrow as pa

from xpose_stream.stream.sinks.sink import SinkError, TakenError, append, unwritable


class Journal:
    """<path>.journal: whole batches only, and locked, so that a killed recording can be told from a running one.

    Raises TakenError when another process writes it, a killed one left it (unless `overwrite`), or its recording is
    finished meanwhile; SinkError when it cannot be written. `metadata` goes with the first batch, which is empty.
    """

    def __init__(self, path: Path, schema: pa.Schema, metadata: dict[str, str], overwrite: bool = False) -> None:
        self._path = journal_of(path)
        self._file = lock_journal(path, new=True)
        left = os.fstat(self._file.fileno())
        if left.st_size and not overwrite:
            self._file.close()
            raise TakenError(
                f"{self._path} is left from a recording that was killed; "
                f"run `xpose-stream recover {path}` to make it a Parquet file, or delete it"
            )
        if path.exists() and not overwrite:  # it was finished between two looks
            self._path.unlink()
            self._file.close()
            raise TakenError(f"{path} exists already and is not overwritten; move it away or choose another name")
        self._file.truncate(0)
        self._memory = io.BytesIO()
        options = pa.ipc.IpcWriteOptions(compression="lz4")
        self._stream = pa.ipc.new_stream(self._memory, schema, options=options)
        try:
            # Makes it readable from the start; and the first call takes 0.4 s, better here than amid frames.
            self.write(pa.RecordBatch.from_pylist([], schema=schema), metadata)
        except OSError as error:
            self.remove()
            raise unwritable(path, error) from error

    @property
    def size(self) -> int:
        """bytes"""
        return os.fstat(self._file.fileno()).st_size

    def write(self, batch: pa.RecordBatch, metadata: dict[str, str]) -> None:
        """Add `batch`, or leave the journal as it was and raise OSError, also when somebody has deleted it."""
        if not os.fstat(self._file.fileno()).st_nlink:
            raise FileNotFoundError(errno.ENOENT, "it was deleted", str(self._path))
        self._memory.seek(0)
        self._memory.truncate()
        self._stream.write_batch(batch, custom_metadata=metadata)
        append(self._file, self._memory.getvalue())

    def batches(self) -> Iterator[tuple[pa.RecordBatch, dict[str, str]]]:
        """What it holds, from the beginning, while it is being written."""
        with FileIO(self._path) as file:
            yield from read_journal(file)

    def remove(self) -> None:
        """Delete it and let it go."""
        self._path.unlink(missing_ok=True)
        self.close()

    def close(self) -> None:
        """Let it go."""
        self._file.close()


def read_journal(file: FileIO) -> Iterator[tuple[pa.RecordBatch, dict[str, str]]]:
    """Iterate over the complete batches of a journal with their metadata, ignoring a last one that was cut off."""
    try:
        reader = pa.ipc.open_stream(file)
        while True:
            batch, metadata = reader.read_next_batch_with_custom_metadata()
            yield batch, {key.decode(): value.decode() for key, value in (metadata or {}).items()}
    except (StopIteration, pa.ArrowInvalid, OSError):
        return


def journal_of(path: Path) -> Path:
    """Where the journal of the recording `path` is."""
    return path.with_name(path.name + ".journal")


def lock_journal(path: Path, patience: float = 0.0, new: bool = False) -> FileIO:
    """Open the journal for appending, from its beginning for reading, if nobody else has it within `patience` s.

    Raises TakenError when somebody has, or had and has finished it meanwhile; SinkError when it cannot be opened.
    """
    try:
        file = FileIO(journal_of(path), "a+" if new else "r+")
    except OSError as error:
        if new and os.path.lexists(journal_of(path)):  # of another user, or a folder
            raise TakenError(f"{journal_of(path)} is there already and cannot be opened: {error.strerror}") from None
        raise unwritable(path, error) from error
    end = time.monotonic() + patience
    try:
        while not _locked(file):
            if time.monotonic() >= end:
                file.close()
                raise TakenError(f"{path} is being recorded by another process; choose another name")
            time.sleep(0.02)
    except OSError as error:  # a network's file system without locks
        file.close()
        raise SinkError(f"cannot write {path}: {error.strerror}, and a recording needs locks") from None
    if not os.fstat(file.fileno()).st_nlink:
        file.close()
        raise TakenError(f"{path} has just been finished by another process")
    file.seek(0)
    return file


def _locked(file: FileIO) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
