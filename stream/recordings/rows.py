"""Rows of a recording as arrays."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from xpose_stream.stream.sinks.messages import Category
from xpose_stream.trackers import KeypointStatus

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]

BOX = ["box_x0", "box_y0", "box_x1", "box_y1"]


@dataclass(frozen=True, slots=True)
class Rows:
    """N rows of tracks of one category with K keypoints; NaN where nothing is known. px, s, px/s, px^2.

    cameras [N] names; frames, epochs, ids [N]; captured_at [N]; scores [N]; boxes [N, 4] x0 y0 x1 y1;
    keypoints, velocities, measured [N, K, 2]; covariances [N, K, 3] xx xy yy; keypoint_scores [N, K];
    keypoint_status [N, K] of KeypointStatus.
    """

    category: Category
    cameras: NDArray[Any]
    frames: Integers
    epochs: Integers
    ids: Integers
    captured_at: Floats
    scores: Floats
    boxes: Floats
    keypoints: Floats
    velocities: Floats
    covariances: Floats
    measured: Floats
    keypoint_scores: Floats
    keypoint_status: NDArray[np.int8]

    def __len__(self) -> int:
        return len(self.ids)


def rows_of(table: pa.Table, category: Category) -> Rows:
    """The rows of `table`, all of which are of tracks of `category`."""
    count = len(category.keypoints)
    return Rows(
        category,
        cameras=table["camera"].to_numpy(),
        frames=table["frame"].to_numpy(),
        epochs=table["epoch"].to_numpy(),
        ids=table["track_id"].to_numpy(),
        captured_at=table["captured_at"].to_numpy(),
        scores=np.asarray(table["score"], float),
        boxes=boxes_of(table),
        keypoints=points_of(table, "keypoint", count),
        velocities=points_of(table, "velocity", count),
        covariances=np.stack([listed(table, f"covariance_{axes}", count) for axes in ("xx", "xy", "yy")], -1),
        measured=points_of(table, "measured", count),
        keypoint_scores=listed(table, "keypoint_score", count),
        keypoint_status=status_of(table, count),
    )


def boxes_of(table: pa.Table) -> Floats:
    """[N, 4] px: left, top, right, bottom."""
    return np.stack([np.asarray(table[side], float) for side in BOX], 1)


def points_of(table: pa.Table, name: str, count: int) -> Floats:
    """[N, count, 2] of the columns `name`_x and `name`_y."""
    return np.stack([listed(table, f"{name}_{axis}", count) for axis in "xy"], -1)


def listed(table: pa.Table, name: str, count: int) -> Floats:
    """[N, count] of a column of lists of numbers, NaN for null."""
    column = table[name].combine_chunks()
    result = np.full((len(table), count), np.nan)
    result[np.asarray(column.is_valid(), bool)] = np.asarray(column.flatten(), float).reshape(-1, count)
    return result


def confidence_of(table: pa.Table, count: int) -> Floats:
    """[N, count] scores of the keypoints, 0 where they were not measured; the track's where it has none of its own."""
    scores = listed(table, "keypoint_score", count)
    scores = np.where(np.isnan(scores), np.asarray(table["score"], float)[:, None], scores)
    return np.where(status_of(table, count) == KeypointStatus.MEASURED, scores, 0.0)


def status_of(table: pa.Table, count: int) -> NDArray[np.int8]:
    """[N, count] of KeypointStatus."""
    texts = table["keypoint_status"].combine_chunks().flatten().dictionary_encode()
    codes = np.array([KeypointStatus[text.upper()] for text in texts.dictionary.to_pylist()], np.int8)
    return np.asarray(codes[np.asarray(texts.indices)].reshape(len(table), count), np.int8)
