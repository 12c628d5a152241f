"""Which detection is which track: similarity of poses and boxes, and the best assignment."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from xpose_stream.trackers import compiled
from xpose_stream.trackers.config import TrackerConfig
from xpose_stream.trackers.kalman import Records
from xpose_stream.trackers.state import State, boxes_of

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
Rows = NDArray[np.int64]

# Share of the pose in the similarity; the rest is the overlap of boxes.
POSE = 0.88
# Share of the tolerance that a strict comparison allows.
STRICTNESS = 0.4
# OKS sigma of keypoints of which nothing else is known, as of no prompt (docs/tracking.md).
DEFAULT_SIGMA = 0.06
# A track is hidden when it was not detected for so many s.
HIDDEN = 0.1
# More keypoints than this tell no more about identity; evenly spread ones take part.
MOST_KEYPOINTS = 32


def similarities(a: State, b: State, config: TrackerConfig) -> tuple[Floats, Floats]:
    """[N, M] twice how alike they are, 0..1: OKS widened by uncertainty, blended with IoU; 0 between classes.

    The first is strict: narrower, and the uncertainty of `a` also costs, because widening alone would make the least
    certain of `a` the most similar to everything. It tells whom something belongs to when several might have it. The
    second is lenient: whether something can be this one at all, such as a track that comes out of hiding.
    """
    sigmas = np.full((len(a), a.keypoints), DEFAULT_SIGMA)
    for class_id, known in config.sigmas.items():
        sigmas[a.things["class_id"] == class_id, : len(known)] = known[: a.keypoints]
    function: Any = compiled.similarities if compiled.AVAILABLE else _similarities
    strict, lenient = function(
        a.things, a.motion.points, a.motion.bodies, sigmas, a.time, b.things, b.motion.points, b.motion.bodies,
        config.astray, HIDDEN, -(-a.keypoints // MOST_KEYPOINTS) or 1, STRICTNESS, POSE,
    )  # fmt: skip
    return strict, lenient


def _similarities(
    things_a: Records,
    points_a: Records,
    bodies_a: Records,
    sigmas: Floats,
    time: float,
    things_b: Records,
    points_b: Records,
    bodies_b: Records,
    astray: float,
    hidden: float,
    step: int,
    strictness: float,
    pose: float,
) -> tuple[Floats, Floats]:
    """The reference of `compiled.similarities`; every `step`th keypoint takes part."""
    (boxes_a, sizes), (boxes_b, _) = boxes_of(points_a), boxes_of(points_b)
    tolerance = (sigmas[:, None, ::step] * sizes[:, None, None]) ** 2
    away = (astray * sizes * np.maximum(time - things_a["last"] - hidden, 0.0)) ** 2
    a, b = points_a[:, None, :-2:step], points_b[None, :, :-2:step]
    variance_a, variance_b = a["pp"] + bodies_a["pp"][:, None, None], b["pp"] + bodies_b["pp"][:, None]
    half = ((a["position"] - b["position"]) ** 2).sum(-1) / 2
    both = a["ever"] & b["ever"]
    common = both.sum(-1)
    share = np.where(common > 0, pose, 0.0)
    rest = (1 - share) * iou(boxes_a, boxes_b)
    same_class = things_a["class_id"][:, None] == things_b["class_id"]

    def blended(alike: Floats) -> Floats:
        return np.asarray((share * (alike * both).sum(-1) / np.maximum(common, 1) + rest) * same_class)

    certain = strictness**2 * tolerance + variance_b
    spread, wide = certain + variance_a, tolerance + variance_b + variance_a + away[:, None, None]
    return blended(np.sqrt(certain / spread) * np.exp(-half / spread)), blended(np.exp(-half / wide))


def iou(a: Floats, b: Floats) -> Floats:
    """[N, M] intersection over union of boxes [N, 4] and [M, 4]."""
    corner = np.minimum(a[:, None, 2:], b[None, :, 2:]) - np.maximum(a[:, None, :2], b[None, :, :2])
    overlap = corner.clip(0).prod(-1)
    area_a, area_b = ((box[:, 2:] - box[:, :2]).prod(-1) for box in (a, b))
    return overlap / (area_a[:, None] + area_b - overlap)


def distinct(found: State, config: TrackerConfig) -> Mask:
    """[N] which of some detections, best first, do not repeat a better one."""
    kept = np.ones(len(found), np.bool_)
    if len(kept) > 1:
        repeats = np.tril(similarities(found, found, config)[1] >= config.duplicate, -1)
        for row in np.flatnonzero(repeats.any(1)):
            kept[row] = not repeats[row, kept].any()
    return kept


def matches(
    strict: Floats, lenient: Floats, confirmed: Mask, high: Mask, free: Mask, config: TrackerConfig
) -> tuple[Rows, Rows]:
    """Rows of tracks and of `free` detections [M] that belong together.

    Tracks that are `confirmed` [N] choose first, among detections with a `high` [M] score by the strict comparison,
    then by the lenient one, which lets those back in that come out of hiding, then among poor detections; tentative
    tracks get what good ones are left.
    """
    if compiled.AVAILABLE:
        function: Any = compiled.sole_matches
        rows, columns, clear = function(strict, lenient, confirmed, high, free, config.similarity, config.reentry)
        if clear:
            return rows, columns
    left, column_of = free.copy(), np.full(len(confirmed), -1)
    for tracks, detections, alike, least in (
        (confirmed, high, strict, config.similarity),
        (confirmed, high, lenient, config.reentry),
        (confirmed, ~high, strict, config.similarity),
        (~confirmed, high, lenient, config.reentry),
    ):
        rows, columns = np.flatnonzero(tracks & (column_of < 0)), np.flatnonzero(detections & left)
        if len(rows) and len(columns):
            found = assign(alike[rows[:, None], columns], least)
            column_of[rows[found[0]]] = columns[found[1]]
            left[columns[found[1]]] = False
    rows = np.flatnonzero(column_of >= 0)
    return rows, column_of[rows]


def assign(alike: Floats, least: float) -> tuple[Rows, Rows]:
    """Rows and columns of the one-to-one assignment with the largest total similarity, no pair below `least`."""
    rows, columns = linear_sum_assignment(np.where(alike < least, 0.0, alike), maximize=True)
    kept = alike[rows, columns] >= least
    return rows[kept], columns[kept]
