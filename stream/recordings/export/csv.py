"""CSV: a row for each frame, track and keypoint, and one for each frame without a track."""

from __future__ import annotations

import json
from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from typing import IO

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow.csv import WriteOptions, write_csv

from xpose_stream.stream.recordings.export.job import Job
from xpose_stream.stream.recordings.rows import Integers
from xpose_stream.stream.sinks.columns import SCHEMA

_ROW = ["camera", "epoch", "frame", "captured_at", "clock", "pts", "prompt", "category", "track_id"]
_ROW += ["score", "status", "box_x0", "box_y0", "box_x1", "box_y1"]
_LISTS = ["keypoint_x", "keypoint_y", "keypoint_status", "velocity_x", "velocity_y"]
_LISTS += ["covariance_xx", "covariance_xy", "covariance_yy", "measured_x", "measured_y", "keypoint_score"]

_ROWS = 4096  # at a time: with 17 keypoints 19 MB of text
_THREADS = 2  # since it takes long to make text of numbers


def write(job: Job) -> None:
    """Write the file; what its columns are and where they come from stands beside it, as CSV on the Web has it."""
    schema = _tidy(job, SCHEMA.empty_table()).schema
    with open(job.target, "wb") as file, ThreadPoolExecutor(_THREADS) as pool:
        file.write(_text(schema.empty_table(), header=True))
        made: deque[tuple[int, Future[pa.Buffer]]] = deque()
        for table in job.recording.blocks(rows=_ROWS):
            made.append((len(table), pool.submit(lambda table: _text(_tidy(job, table)), table)))
            if len(made) > _THREADS:
                _keep(job, file, *made.popleft())
        for each in made:
            _keep(job, file, *each)
    units = {field.name: field.metadata.get(b"unit", b"").decode() for field in schema if field.metadata}
    columns = [{"name": name, "unit": units.get(name, "")} for name in schema.names]
    told = {"@context": "http://www.w3.org/ns/csvw", "tableSchema": {"columns": columns}, "made": job.provenance}
    job.beside = json.dumps(told, indent=1, ensure_ascii=False)


def _keep(job: Job, file: IO[bytes], rows: int, text: Future[pa.Buffer]) -> None:
    file.write(text.result())
    job.step(rows)


def _text(table: pa.Table, header: bool = False) -> pa.Buffer:
    out = pa.BufferOutputStream()
    write_csv(table, out, WriteOptions(include_header=header))
    return out.getvalue()


def _tidy(job: Job, table: pa.Table) -> pa.Table:
    kinds = job.recording.category_of(table)
    parents: Integers = np.asarray(pc.list_parent_indices(table["keypoint_x"].combine_chunks()))
    empty = np.flatnonzero(kinds < 0)
    order = pa.array(np.argsort(np.concatenate([parents, empty]), kind="stable"))
    rows = pa.array(np.concatenate([parents, empty])).take(order)
    columns = {name: table[name].take(rows) for name in _ROW}
    columns["seconds"] = pa.array(job.survey.seconds(table)).take(rows)
    columns["keypoint"] = _padded(_names(job, kinds, parents), len(empty)).take(order)
    for name in _LISTS:
        flat = table[name].combine_chunks().flatten()
        known = flat if len(flat) == len(parents) else pa.nulls(len(parents), SCHEMA.field(name).type.value_type)
        columns[name] = _padded(known, len(empty)).take(order)
    return pa.table(columns, pa.schema([_field(name, column.type) for name, column in columns.items()]))


def _padded(values: pa.Array, more: int) -> pa.Array:
    return pa.concat_arrays([values, pa.nulls(more, values.type)])


def _names(job: Job, kinds: Integers, parents: Integers) -> pa.Array:
    """For each keypoint of each track its name."""
    lists = [category.keypoints for category in job.recording.categories]
    first = np.cumsum([0, *(len(names) for names in lists)])
    begins = np.searchsorted(parents, parents)  # where the row's own keypoints begin
    codes = first[kinds[parents]] + np.arange(len(parents)) - begins
    names = pa.array([name for names in lists for name in names], pa.string())
    return names.take(pa.array(codes, pa.int64()))


def _field(name: str, kind: pa.DataType) -> pa.Field:
    unit = SCHEMA.field(name).metadata[b"unit"] if name in SCHEMA.names else b"s" if name == "seconds" else b""
    return pa.field(name, kind, metadata={"unit": unit})
