"""Recordings smoothed after the fact: steadier, without the gaps of hidden tracks, and the original kept."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray
from rich.progress import track as progress

from stream.recorder import SCHEMA, completed
from stream.sink import claim, unwritable
from trackers import TrackerConfig
from trackers.config import PRESETS
from trackers.smoothing import Smoothed, smooth

Floats = NDArray[np.float64]

_BOX = ["box_x0", "box_y0", "box_x1", "box_y1"]
_OF_TRACK = SCHEMA.names[SCHEMA.names.index("track_id") :]


class RecordingError(Exception):
    """A recording that cannot be used; the message is one sentence for the user."""


def read_recording(path: Path) -> pa.Table:
    """The rows of a recording; raises RecordingError when there is none."""
    try:
        table = pq.read_table(path)
    except FileNotFoundError:
        raise RecordingError(f"{path} does not exist; name a recording made with `run --record`") from None
    except (OSError, pa.ArrowInvalid) as error:
        reason = str(error).splitlines()[0]
        raise RecordingError(f"{path} cannot be read as a recording (a Parquet file): {reason}") from None
    table = completed(table)
    missing = [name for name in SCHEMA.names if name not in table.column_names]
    if missing:
        raise RecordingError(f"{path} is no recording of this program: it has no column {missing[0]}")
    return table.select(SCHEMA.names)


def tracker_of(recording: Path) -> TrackerConfig:
    """The settings with which it was tracked, as far as it says; the usual ones if they were not meant to filter."""
    try:
        config = TrackerConfig.from_json((pq.read_metadata(recording).metadata or {}).get(b"tracker", b"{}"))
    except (TypeError, ValueError) as error:
        raise RecordingError(f"{recording} was tracked with settings that are not known here: {error}") from None
    return TrackerConfig() if config.process_noise >= PRESETS["raw"]["process_noise"] else config


def smooth_recording(source: Path, target: Path, config: TrackerConfig | None = None) -> int:
    """Write `source` smoothed to `target`; return the number of its rows.

    Filtered places, velocities and covariances are replaced; what was measured stays. Frames in which a track was
    hidden between two in which it was published get a row of status `coasting`. Raises RecordingError when `source`
    cannot be read and SinkError when `target` exists or cannot be written. config: as it was tracked, when None.
    """
    claim(target)
    table = read_recording(source)
    config = config or tracker_of(source)
    keys = list(zip(table["camera"].to_pylist(), table["track_id"].to_pylist(), strict=True))
    rows_of: dict[tuple[str, int | None], list[int]] = {}
    for row, key in enumerate(keys):
        rows_of.setdefault(key, []).append(row)
    frames = {camera: _frames(table, rows) for camera, rows in _by_camera(keys).items()}
    parts = []
    filled: set[tuple[str, int]] = set()
    for (camera, identity), rows in progress(rows_of.items(), "smoothing tracks", transient=True):
        if identity is not None:
            part, gaps = _smoothed(table.take(rows), table, frames[camera], config)
            parts.append(part)
            filled |= {(camera, frame) for frame in gaps}
    empty = [
        row
        for (_, identity), rows in rows_of.items() if identity is None
        for row in rows if (keys[row][0], table["frame"][row].as_py()) not in filled
    ]  # fmt: skip
    result = pa.concat_tables([*parts, table.take(pa.array(empty, pa.int64()))]).select(table.column_names)
    order = [(name, "ascending") for name in ("sequence", "camera", "track_id")]
    metadata = pq.read_metadata(source).metadata or {}
    told = {name: metadata[name.encode()].decode() for name in ("prompts", "tracker") if name.encode() in metadata}
    _write(result.sort_by(order), target, told | {"smoothed": source.name})
    return int(result.num_rows)


def _by_camera(keys: list[tuple[str, int | None]]) -> dict[str, list[int]]:
    rows: dict[str, list[int]] = {}
    for row, (camera, _) in enumerate(keys):
        rows.setdefault(camera, []).append(row)
    return rows


def _frames(table: pa.Table, rows: list[int]) -> dict[int, int]:
    """Of one camera: each frame and a row of it, in order."""
    numbers = np.asarray(table["frame"].take(rows))
    first = np.unique(numbers, return_index=True)
    return {int(frame): rows[at] for frame, at in zip(*first, strict=True)}


def _smoothed(
    part: pa.Table, table: pa.Table, frames: dict[int, int], config: TrackerConfig
) -> tuple[pa.Table, set[int]]:
    """The rows of one track, smoothed, with those of its gaps; and the frames of the gaps."""
    part = part.sort_by("frame")
    present = np.asarray(part["frame"])
    gaps = sorted(set(f for f in frames if present[0] < f < present[-1]) - set(present.tolist()))
    if gaps:
        # A gap's row has the frame's own columns, the track's identity and, until it is smoothed, nothing else.
        of_frame = table.take([frames[f] for f in gaps])
        before = np.searchsorted(present, gaps) - 1
        of_track = part.take(before)
        added = of_frame
        for name in _OF_TRACK:
            kind = table.schema.field(name)
            added = added.set_column(added.column_names.index(name), kind, _in_gap(name, of_track, of_frame))
        part = pa.concat_tables([part, added]).sort_by("frame")
    times = np.asarray(part["captured_at"], float)
    if (np.diff(times) <= 0).any():
        times = np.asarray(part["pts"], float)
    here = np.isin(np.asarray(part["frame"]), present)
    if (np.diff(times) <= 0).any():
        return part.filter(pa.array(here)), set()  # the camera's clock went back: nothing to go by
    return _replaced(part, here, times, config), set(gaps)


def _in_gap(name: str, of_track: pa.Table, of_frame: pa.Table) -> Any:
    if name == "status":
        return pa.array(["coasting"] * len(of_track), pa.string())
    if name == "age":
        passed = pc.subtract(of_frame["captured_at"], of_track["captured_at"])
        return pc.add(of_track["age"], passed)
    if name == "keypoint_status":
        return pa.array(
            [[s if s == "never_seen" else "predicted" for s in row] for row in of_track[name].to_pylist()],
            SCHEMA.field(name).type,
        )
    if name == "keypoint_score" and of_track[name].null_count:
        return pa.nulls(len(of_track), SCHEMA.field(name).type)
    if name.startswith("measured") or name == "keypoint_score":
        return pa.array([[None] * len(row) for row in of_track[name].to_pylist()], SCHEMA.field(name).type)
    if name.startswith("predicted"):
        return pa.nulls(len(of_track), SCHEMA.field(name).type)
    return of_track[name].combine_chunks()


def _replaced(part: pa.Table, here: NDArray[np.bool_], times: Floats, config: TrackerConfig) -> pa.Table:
    boxes = _between(np.stack([np.asarray(part[side], float) for side in _BOX], 1), here, times)
    filtered = _between(lists(part, "keypoint"), here, times)
    measured = np.where(here[:, None, None], lists(part, "measured"), np.nan)
    centres = np.nanmean(np.concatenate([filtered, boxes.reshape(-1, 2, 2)], 1), 1)
    sizes = np.maximum(boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1])
    result: Smoothed = smooth(times, measured, sizes, centres, config)
    zero = np.where(np.isnan(result.variances), np.nan, 0.0)
    columns = dict(zip(_BOX, boxes.T, strict=True))
    columns |= {"keypoint_x": result.keypoints[..., 0], "keypoint_y": result.keypoints[..., 1]}
    columns |= {"velocity_x": result.velocities[..., 0], "velocity_y": result.velocities[..., 1]}
    columns |= {"covariance_xx": result.variances, "covariance_xy": zero, "covariance_yy": result.variances}
    for name, values in columns.items():
        part = part.set_column(part.column_names.index(name), part.schema.field(name), _arrow(values, name))
    known = ~np.isnan(result.keypoints[0, :, 0])
    status = [
        ["predicted" if state == "never_seen" and seen else state for state, seen in zip(row, known, strict=True)]
        for row in part["keypoint_status"].to_pylist()
    ]
    at = part.column_names.index("keypoint_status")
    return part.set_column(at, part.schema.field(at), pa.array(status, SCHEMA.field("keypoint_status").type))


def _between(values: Floats, here: NDArray[np.bool_], times: Floats) -> Floats:
    """`values` [F, ...], between those of frames that are `here` where they are not."""
    flat = values.reshape(len(values), -1).copy()
    for column in flat.T:
        column[~here] = np.interp(times[~here], times[here], column[here])
    return flat.reshape(values.shape)


def lists(part: pa.Table, name: str) -> Floats:
    """[F, K, 2] of the columns `name`_x and `name`_y; NaN for null."""
    axes = [np.array(part[f"{name}_{axis}"].to_pylist(), float) for axis in "xy"]
    return np.stack(axes, -1)


def _arrow(values: Floats, name: str) -> pa.Array:
    kind = SCHEMA.field(name).type
    if values.ndim == 1:
        return pa.array(values, kind)
    flat = pa.array(values.ravel(), pa.float32(), from_pandas=True)  # NaN becomes null
    offsets = np.arange(0, values.size + 1, values.shape[1], dtype=np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), flat).cast(kind)


def _write(table: pa.Table, target: Path, metadata: dict[str, str]) -> None:
    partial = target.with_name(target.name + ".partial")
    try:
        with pq.ParquetWriter(partial, SCHEMA, compression="zstd") as writer:
            writer.write_table(table.cast(SCHEMA))
            writer.add_key_value_metadata(metadata)
        os.replace(partial, target)
    except OSError as error:
        partial.unlink(missing_ok=True)
        raise unwritable(target, error) from None
