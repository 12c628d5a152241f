"""Recordings smoothed after the fact: steadier, without the gaps of hidden tracks, and the original kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from numpy.typing import NDArray

from xpose_stream.stream.recordings.progress import progress
from xpose_stream.stream.recordings.recording import Block, Recording, starts
from xpose_stream.stream.recordings.rows import BOX, Floats, Integers, boxes_of, points_of
from xpose_stream.stream.recordings.unfinished import unfinished
from xpose_stream.stream.sinks.columns import SCHEMA
from xpose_stream.stream.sinks.sink import claim
from xpose_stream.trackers import TrackerConfig
from xpose_stream.trackers.config import PRESETS
from xpose_stream.trackers.smoothing import Smoothed, smooth

_OF_TRACK = SCHEMA.names[SCHEMA.names.index("track_id") :]


def tracker_of(recording: Recording) -> TrackerConfig:
    """The settings with which it was tracked, as far as it says; the usual ones if they were not meant to filter."""
    config = recording.tracker or TrackerConfig()
    return TrackerConfig() if config.process_noise >= PRESETS["raw"]["process_noise"] else config


def smooth_recording(source: Path, target: Path, config: TrackerConfig | None = None) -> int:
    """Write `source` smoothed to `target`; return the number of its rows.

    Filtered places, velocities and covariances are replaced; what was measured stays. Frames in which a track was
    hidden between two in which it was published get a row of status `coasting`. Raises RecordingError when `source`
    cannot be read and SinkError when `target` exists or cannot be written. config: as it was tracked, when None.
    """
    claim(target)
    recording = Recording(source)
    config = config or tracker_of(recording)
    count = 0
    with progress() as bar, unfinished(target) as partial:
        task = bar.add_task("smoothing", total=len(recording))
        with pq.ParquetWriter(partial, SCHEMA, compression="zstd") as writer:
            for block in recording.around():
                part = smoothed(block, config)
                writer.write_table(part.cast(SCHEMA))
                count += len(part)
                bar.advance(task, block.end - block.start)
            writer.add_key_value_metadata(recording.metadata | {"smoothed": source.name})
    return count


def smoothed(block: Block, config: TrackerConfig) -> pa.Table:
    """The block's own rows, smoothed, with those of the gaps that they had."""
    table, begins = block.table, starts(block.table)
    places = np.repeat(begins, np.diff([*begins, len(table)]))  # of each row, the first row of its frame
    table = table.append_column("place", pa.array(places))
    cameras: Integers = np.asarray(table["camera"].combine_chunks().dictionary_encode().indices)
    frames = {camera: _frames(table, np.flatnonzero(cameras == camera)) for camera in np.unique(cameras).tolist()}
    empty = np.array(table["track_id"].is_null(), bool)
    empty[: block.start] = empty[block.end :] = False
    parts = []
    for camera, rows in by_track(table, cameras):
        if rows[0] < block.end and rows[-1] >= block.start:
            part, gaps = _smoothed(table.take(rows), table, frames[camera], config)
            place = part["place"].to_numpy()
            parts.append(part.filter(pa.array((place >= block.start) & (place < block.end))))
            empty[[frames[camera][frame] for frame in gaps]] = False
    result = pa.concat_tables([*parts, table.filter(pa.array(empty))])
    return result.sort_by([("place", "ascending"), ("track_id", "ascending")]).drop_columns("place")


def by_track(table: pa.Table, cameras: Integers | None = None) -> list[tuple[int, Integers]]:
    """For each track the number of its camera and its rows in order; cameras [N], None: all rows are of one."""
    cameras = np.zeros(len(table), np.int64) if cameras is None else cameras
    identities = table["track_id"].fill_null(-1).to_numpy()
    order = np.lexsort((np.arange(len(table)), identities, cameras))
    order = order[identities[order] >= 0]
    changes = np.flatnonzero((np.diff(cameras[order]) != 0) | (np.diff(identities[order]) != 0)) + 1
    return [(int(cameras[rows[0]]), rows) for rows in np.split(order, changes) if len(rows)]


def _frames(table: pa.Table, rows: Integers) -> dict[int, int]:
    """Of one camera: each frame and its first row, in order."""
    numbers, first = np.unique(table["frame"].to_numpy()[rows], return_index=True)
    return dict(zip(numbers.tolist(), rows[first].tolist(), strict=True))


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
        of_track = part.take(np.searchsorted(present, gaps) - 1)
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
    count = len(part["keypoint_status"][0])
    boxes = _between(boxes_of(part), here, times)
    filtered = _between(points_of(part, "keypoint", count), here, times)
    measured = np.where(here[:, None, None], points_of(part, "measured", count), np.nan)
    centres = np.nanmean(np.concatenate([filtered, boxes.reshape(-1, 2, 2)], 1), 1)
    sizes = np.maximum(boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1])
    result: Smoothed = smooth(times, measured, sizes, centres, config)
    zero = np.where(np.isnan(result.variances), np.nan, 0.0)
    columns = dict(zip(BOX, boxes.T, strict=True))
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


def _arrow(values: Floats, name: str) -> pa.Array:
    kind = SCHEMA.field(name).type
    if values.ndim == 1:
        return pa.array(values, kind)
    flat = pa.array(values.ravel(), pa.float32(), from_pandas=True)  # NaN becomes null
    offsets = np.arange(0, values.size + 1, values.shape[1], dtype=np.int32)
    return pa.ListArray.from_arrays(pa.array(offsets), flat).cast(kind)
