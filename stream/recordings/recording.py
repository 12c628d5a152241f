"""A recording, read as far as it is needed: of any size, a block of rows at a time."""

from __future__ import annotations

import itertools
import json
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from xpose_stream.error import UserError
from xpose_stream.stream.recordings.rows import Integers, Rows, rows_of
from xpose_stream.stream.sinks.columns import SCHEMA, completed
from xpose_stream.stream.sinks.messages import Category, Prompt, TrackMessage, TracksMessage
from xpose_stream.trackers import TrackerConfig

# Rows are read some at a time, which take about 50 MB: fewer if they have more keypoints. Where those around them are
# to be known too, because a track knows little of what is farther than some seconds, there are half as many of these.
_BLOCK_ROWS, _BLOCK_KEYPOINTS = 32_768, 1 << 18
_BUFFER = 1 << 16  # bytes of each column that are read at a time

Columns = dict[str, list[Any]]


class RecordingError(UserError):
    """A recording that cannot be used; the message is one sentence for the user."""


@dataclass(frozen=True, slots=True)
class Block:
    """Some rows of a recording with those before and after them: `table[start:end]` are its own. Frames are whole."""

    table: pa.Table
    start: int
    end: int


class Recording:
    """What `run --record` wrote to `path`. Nothing but its footer is read before it is asked for.

    Iterating gives a TracksMessage for each frame of each camera, in the order of the recording. `rows` gives a
    category as NumPy arrays, `table` all as an Arrow table (`.to_pandas()`), `blocks` and `around` tables of bounded
    size. Units and meanings are those of docs/recordings.md. Raises RecordingError when there is no such file.

        path      the file.
        prompts   what was asked for: one for each version of the prompt.
        metadata  what the file says of itself: JSON texts by name.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        try:
            with pq.ParquetFile(self.path) as file:
                self._footer, self._stored = file.metadata, file.schema_arrow
        except FileNotFoundError:
            raise RecordingError(f"{path} does not exist; name a recording made with `run --record`") from None
        except (OSError, pa.ArrowInvalid) as error:
            raise self._unreadable(error) from None
        has = completed(self._stored.empty_table()).column_names
        if missing := [name for name in SCHEMA.names if name not in has]:
            raise RecordingError(f"{path} is no recording of this program: it has no column {missing[0]}")
        told = self._footer.metadata or {}
        self.metadata = {key.decode(): value.decode() for key, value in told.items() if key != b"ARROW:schema"}
        try:
            prompts = json.loads(self.metadata.get("prompts", "[]"))
            self.prompts = [Prompt(name=each["name"], version=each["version"]) for each in prompts]
            self._asked = [msgspec.convert(each["categories"], list[Category]) for each in prompts]
        except (KeyError, TypeError, ValueError) as error:
            raise RecordingError(f"{path} does not say what its keypoints are: {error}") from None

    def __len__(self) -> int:
        """The number of rows: one per track and frame, and one per frame without a track."""
        return int(self._footer.num_rows)

    def __repr__(self) -> str:
        return f"Recording({str(self.path)!r})"

    @cached_property
    def cameras(self) -> tuple[str, ...]:
        """The cameras' names, in the order of their first frames."""
        found: dict[str, None] = {}
        for table in self._tables(["camera"]):
            found |= dict.fromkeys(table["camera"].unique().to_pylist())
        return tuple(found)

    @cached_property
    def categories(self) -> tuple[Category, ...]:
        """What was looked for, each with its keypoints and edges; what a later prompt asks for again is there once."""
        found: dict[tuple[Any, ...], Category] = {}
        for category in itertools.chain(*self._asked):
            found.setdefault(_kind(category), category)
        return tuple(found.values())

    @cached_property
    def block_rows(self) -> int:
        """How many rows are read at a time where nothing else is asked for."""
        widest = max((len(category.keypoints) for category in self.categories), default=1)
        return max(min(_BLOCK_ROWS, _BLOCK_KEYPOINTS // max(widest, 1)), 256)

    @property
    def tracker(self) -> TrackerConfig | None:
        """The settings with which it was tracked, None when it does not say. Raises RecordingError."""
        try:
            return TrackerConfig.from_json(self.metadata["tracker"]) if "tracker" in self.metadata else None
        except (TypeError, ValueError) as error:
            raise RecordingError(f"{self.path} was tracked with settings that are not known here: {error}") from None

    def __iter__(self) -> Iterator[TracksMessage]:
        return self.frames()

    def frames(
        self, camera: str | None = None, rows: int | None = None, groups: Sequence[int] | None = None
    ) -> Iterator[TracksMessage]:
        """The messages as they were published, of all cameras or of one, read some `rows` at a time.

        groups: only of these row groups of the file.
        """
        for table in self.blocks(camera=camera, rows=rows, groups=groups):
            yield from self.messages(table)

    def messages(self, table: pa.Table) -> Iterator[TracksMessage]:
        """The messages in one of its tables with all columns and whole frames."""
        asked = {(p.name, p.version): each for p, each in zip(self.prompts, self._asked, strict=True)}
        columns = {name: table[name].to_pylist() for name in table.column_names}
        for start, end in itertools.pairwise([*starts(table).tolist(), len(table)]):
            prompt = Prompt(columns["prompt"][start], columns["prompt_version"][start])
            categories = asked.get((prompt.name, prompt.version), [])
            yield _message(columns, start, end, prompt, categories)

    @cached_property
    def group_rows(self) -> list[int]:
        """The rows at which the row groups of the file begin, and the number of all rows."""
        sizes = [self._footer.row_group(number).num_rows for number in range(self._footer.num_row_groups)]
        return [0, *itertools.accumulate(sizes)]

    def piece(self, group: int, number: int) -> pa.Table:
        """The rows of a row group from its `number` * block_rows on, at most block_rows; frames may be torn."""
        return next(itertools.islice(self._tables(SCHEMA.names, groups=[group]), number, None))

    def table(self, columns: Sequence[str] | None = None, camera: str | None = None) -> pa.Table:
        """All rows at once, of all cameras or of one: as large as they are."""
        empty = SCHEMA.empty_table().select(list(columns) if columns else SCHEMA.names)
        return pa.concat_tables([empty, *self.blocks(columns, camera)])

    def rows(self, category: str | Category, camera: str | None = None) -> Rows:
        """All rows of a category as arrays; raises RecordingError for a name of none, or of several."""
        if isinstance(category, str):
            named = [each for each in self.categories if each.name == category]
            if len(named) != 1:
                names = ", ".join(dict.fromkeys(each.name for each in self.categories))
                told = f"several categories named {category}; give one of them" if named else f"no {category}: {names}"
                raise RecordingError(f"{self.path} holds {told}")
            category = named[0]
        wanted = [_kind(each) for each in self.categories].index(_kind(category))
        table = self.table(camera=camera)
        return rows_of(table.filter(pa.array(self.category_of(table) == wanted)), category)

    def category_of(self, table: pa.Table) -> Integers:
        """For each row of one of its tables the place of its category in `categories`, -1 without a track."""
        kinds = [_kind(each) for each in self.categories]
        known = {
            (prompt.name, prompt.version, each.id): kinds.index(_kind(each))
            for prompt, categories in zip(self.prompts, self._asked, strict=True)
            for each in categories
        }
        keys = table.select(["prompt", "prompt_version", "category_id"])
        result = np.full(len(table), -1)
        for key in keys.group_by(keys.column_names).aggregate([]).to_pylist():
            name, version, number = key.values()
            if number is not None and (name, version, number) not in known:
                raise RecordingError(f"{self.path} does not say what category {number} of the prompt {name} is")
            if number is not None:
                same = pc.and_(pc.equal(keys["prompt"], name), pc.equal(keys["prompt_version"], version))
                same = pc.and_(same, pc.equal(keys["category_id"], number)).fill_null(False)
                result[np.asarray(same, bool)] = known[name, version, number]
        return result

    def blocks(
        self,
        columns: Sequence[str] | None = None,
        camera: str | None = None,
        rows: int | None = None,
        groups: Sequence[int] | None = None,
    ) -> Iterator[pa.Table]:
        """Its rows in order, some `rows` at a time, no frame torn; of all cameras or of one. Raises RecordingError."""
        wanted = list(columns) if columns else SCHEMA.names
        read = list(dict.fromkeys([*wanted, "camera", "sequence"]))
        held: pa.Table | None = None
        for table in self._tables(read, rows, groups):
            if held:
                cut = int(starts(held)[-1])  # its last frame may go on
                yield from _part(held.slice(0, cut), camera, wanted)
                table = pa.concat_tables([held.slice(cut), table])
            held = table
        if held:
            yield from _part(held, camera, wanted)

    def around(
        self, margin: int | None = None, columns: Sequence[str] | None = None, rows: int | None = None
    ) -> Iterator[Block]:
        """As `blocks`, each with some `margin` rows that come before it and after it; a track shorter than that is in
        one of them as a whole."""
        margin = self.block_rows // 2 if margin is None else margin
        known, start, ends = SCHEMA.empty_table().select(list(columns or SCHEMA.names)), 0, deque[int]()
        for table in itertools.chain(self.blocks(columns, rows=rows), [None]):
            if table is not None:
                known = pa.concat_tables([known, table])
                ends.append(len(known))
            while ends and (table is None or len(known) >= ends[0] + margin):
                end = ends.popleft()
                yield Block(known.slice(0, end + margin), start, end)
                cut = max(end - margin, 0)
                known, start, ends = known.slice(cut), end - cut, deque(each - cut for each in ends)

    def _tables(
        self, columns: list[str], rows: int | None = None, groups: Sequence[int] | None = None
    ) -> Iterator[pa.Table]:
        stored = [name for name in columns if name in self._stored.names]
        try:
            with opened(self.path, self._footer) as file:
                for batch in file.iter_batches(rows or self.block_rows, groups, stored):
                    table = completed(pa.Table.from_batches([batch])).select(columns)
                    yield table.cast(pa.schema([SCHEMA.field(name) for name in columns]))
        except (OSError, pa.ArrowInvalid) as error:
            raise self._unreadable(error) from None

    def _unreadable(self, error: Exception) -> RecordingError:
        reason = str(error).splitlines()[0]
        return RecordingError(f"{self.path} cannot be read as a recording (a Parquet file): {reason}")


def opened(path: Path, footer: pq.FileMetaData | None = None) -> pq.ParquetFile:
    """To be read in batches. Arrow would fetch whole row groups ahead, and keep them all until it is closed."""
    return pq.ParquetFile(path, metadata=footer, pre_buffer=False, buffer_size=_BUFFER)


def starts(table: pa.Table) -> Integers:
    """The rows at which frames begin."""
    cameras: Any = np.asarray(table["camera"].combine_chunks().dictionary_encode().indices)
    changes = np.flatnonzero((np.diff(cameras) != 0) | (np.diff(table["sequence"].to_numpy()) != 0))
    return np.concatenate([np.zeros(min(len(table), 1), np.int64), changes + 1])


def _part(table: pa.Table, camera: str | None, columns: list[str]) -> Iterator[pa.Table]:
    if camera is not None:
        table = table.filter(pc.equal(table["camera"], camera))
    if len(table):
        yield table.select(columns)


def _kind(category: Category) -> tuple[Any, ...]:
    """What makes two categories the same: anything but their numbers."""
    return category.name, category.keypoints, category.edges


_FRAME = ["camera", "sequence", "frame", "width", "height", "pts", "captured_at", "clock", "clock_uncertainty"]
_FRAME += ["epoch", "published_at", "latency_ms", "predicted_time", "image"]


def _message(columns: Columns, start: int, end: int, prompt: Prompt, categories: list[Category]) -> TracksMessage:
    of_frame = {name: columns[name][start] for name in _FRAME}
    tracks = [_track(columns, row) for row in range(start, end) if columns["track_id"][row] is not None]
    return TracksMessage(**of_frame, prompt=prompt, categories=categories, tracks=tracks)


def _track(columns: Columns, row: int) -> TrackMessage:
    x0, y0, x1, y1 = (columns[f"box_{side}"][row] for side in ("x0", "y0", "x1", "y1"))
    return TrackMessage(
        id=columns["track_id"][row],
        category=columns["category_id"][row],
        score=columns["score"][row],
        status=columns["status"][row],
        age=columns["age"][row],
        box=(x0, y0, x1, y1),
        keypoints=_joined(columns, row, "keypoint_x", "keypoint_y") or [],
        keypoint_status=columns["keypoint_status"][row],
        velocities=_joined(columns, row, "velocity_x", "velocity_y") or [],
        covariances=_joined(columns, row, "covariance_xx", "covariance_xy", "covariance_yy") or [],
        measured=_joined(columns, row, "measured_x", "measured_y") or [],
        predicted=_joined(columns, row, "predicted_x", "predicted_y"),
        predicted_covariances=_joined(columns, row, *(f"predicted_covariance_{axes}" for axes in ("xx", "xy", "yy"))),
        keypoint_scores=columns["keypoint_score"][row],
    )


def _joined(columns: Columns, row: int, *names: str) -> list[Any] | None:
    lists = [columns[name][row] for name in names]
    if lists[0] is None:
        return None
    return [None if values[0] is None else values for values in zip(*lists, strict=True)]
