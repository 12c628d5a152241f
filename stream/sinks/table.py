"""The Parquet file of a recording, while it is written."""

from __future__ import annotations

import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from xpose_stream.stream.sinks.columns import TEXTS, completed
from xpose_stream.stream.sinks.journal import Journal
from xpose_stream.stream.sinks.sink import beside, unwritable

# What a row group holds at most. Each costs some 10 kB of the footer, which is in memory until the end: with groups of
# a minute a week would take 100 MB.
_GROUP_ROWS = 1 << 16
_GROUP_BYTES = 32 << 20


class Table:
    """The Parquet file in the making: <path>.partial, unreadable until it is finished and takes the path's place."""

    def __init__(self, path: Path, schema: pa.Schema) -> None:
        self._path, self._schema = path, schema
        self._partial = beside(path)
        try:
            self._writer = pq.ParquetWriter(self._partial, schema, compression="zstd", use_dictionary=TEXTS)
        except OSError as error:
            raise unwritable(path, error) from error
        self._waiting: list[pa.RecordBatch] = []
        self._bytes = 0  # of them
        self._metadata = {"prompts": "[]"}
        self._failure: OSError | None = None
        self.rows = 0

    @classmethod
    def of(cls, journal: Journal, path: Path, schema: pa.Schema) -> Table:
        """All that is in a journal. Raises OSError and leaves nothing when there is no room for it."""
        table = cls(path, schema)
        try:
            for batch, metadata in journal.batches():
                table.write(batch, metadata)
        except OSError:
            table.abandon()
            raise
        return table

    @property
    def size(self) -> int:
        """bytes, those that wait included as they are in memory"""
        try:
            return self._partial.stat().st_size + self._bytes
        except FileNotFoundError:  # it was deleted, which the next flush finds out
            return self._bytes

    def write(self, batch: pa.RecordBatch, metadata: dict[str, str]) -> None:
        """Add `batch`. What raises OSError once does so for ever: nobody knows what of it is in the file."""
        self._waiting.append(batch)
        self._bytes += batch.nbytes
        self._metadata = metadata
        self.rows += batch.num_rows
        if self._bytes >= _GROUP_BYTES or sum(batch.num_rows for batch in self._waiting) >= _GROUP_ROWS:
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
                self._writer.write_table(completed(pa.Table.from_batches(self._waiting)).select(self._schema.names))
        except OSError as error:
            self._failure = error
            raise
        self._waiting.clear()
        self._bytes = 0
