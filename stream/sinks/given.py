"""What a tracker was given of a frame, and how a recording holds it: to the last bit, to be tracked again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from xpose_stream.trackers import Detections

_NUMBERS = pa.list_(pa.float64())
_LISTS = ("keypoint_x", "keypoint_y", "keypoint_score", "keypoint_sigma")
_DETECTION = [("category_id", pa.int64()), ("score", pa.float64()), ("box", _NUMBERS)]
_DETECTION += [(name, _NUMBERS) for name in _LISTS]
COLUMNS = [
    pa.field("tracker_time", pa.float64(), metadata={"unit": "s"}),
    pa.field("tracker_resets", pa.int64(), metadata={"unit": ""}),
    pa.field("tracker_timeless", pa.bool_(), metadata={"unit": ""}),
    pa.field("detections", pa.list_(pa.struct(_DETECTION)), metadata={"unit": "px"}),
]


@dataclass(frozen=True, slots=True)
class Given:
    """All that decides what a tracker makes of one frame.

    time      s, the tracker's own.
    resets    how many times it had begun anew.
    sigmas    OKS fall-offs by class id, those of the prompt.
    timeless  pictures whose order in time nobody knows: tracks are told before they are confirmed.
    """

    detections: Detections
    time: float
    resets: int
    sigmas: Mapping[int, tuple[float, ...]]
    timeless: bool = False

    def columns(self) -> dict[str, Any]:
        """What its row holds of it."""
        found = self.detections
        sigmas = [None] * len(found) if found.keypoint_sigmas is None else found.keypoint_sigmas.tolist()
        parts = [found.class_ids, found.scores, found.boxes, found.keypoints[..., 0], found.keypoints[..., 1]]
        values = zip(*(part.tolist() for part in [*parts, found.keypoint_scores]), sigmas, strict=True)
        names = [name for name, _ in _DETECTION]
        detections = [dict(zip(names, each, strict=True)) for each in values]
        row = {"tracker_time": self.time, "tracker_resets": self.resets, "tracker_timeless": self.timeless}
        return row | {"detections": detections}


def detections_of(rows: Sequence[Mapping[str, Any]], keypoints: int) -> Detections:
    """The detections that `Given.columns` made `rows` of; `keypoints` K, for none."""
    if not rows:
        return Detections.empty(keypoints)
    x, y, scores, sigmas = ([row[name] for row in rows] for name in _LISTS)
    return Detections(
        np.array([row["box"] for row in rows]),
        np.array([row["score"] for row in rows]),
        np.array([row["category_id"] for row in rows]),
        np.stack([np.array(x), np.array(y)], -1),
        np.array(scores),
        None if sigmas[0] is None else np.array(sigmas),
    )
