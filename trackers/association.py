"""Which detection is which track: similarity of poses and boxes, and the best assignment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from trackers import compiled

Floats = NDArray[np.float64]

# Share of the pose in the similarity; the rest is the overlap of boxes.
POSE = 0.88
# Share of the tolerance that a strict comparison allows.
STRICTNESS = 0.4
# More keypoints than this tell no more about identity; evenly spread ones take part.
MOST_KEYPOINTS = 32


@dataclass(frozen=True, slots=True)
class Bodies:
    """What two sets of things are compared by.

    Attributes:
        boxes: [N, 4] xyxy px.
        class_ids: [N].
        keypoints: [N, K, 2] px, finite.
        seen: [N, K] which keypoints are known at all.
        variances: [N, K] px^2, how uncertain they are.
        astray: [N] px^2, how much farther from where they are thought those may be who have been hidden.
        tolerance: [N, K] px, the distance at which a keypoint is e^-1/2 similar: sigma * the longer side of the box.
    """

    boxes: Floats
    class_ids: NDArray[np.int64]
    keypoints: Floats
    seen: NDArray[np.bool_]
    variances: Floats
    tolerance: Floats
    astray: Floats


def similarities(a: Bodies, b: Bodies) -> tuple[Floats, Floats]:
    """[N, M] twice how alike they are, 0..1: OKS widened by uncertainty, blended with IoU; 0 between classes.

    The first is strict: narrower, and the uncertainty of `a` also costs, because widening alone would make the least
    certain of `a` the most similar to everything. It tells whom something belongs to when several might have it. The
    second is lenient: whether something can be this one at all, such as a track that comes out of hiding.
    """
    chosen = -(-a.keypoints.shape[1] // MOST_KEYPOINTS) or 1
    if compiled.AVAILABLE:
        # Of one kind in memory: a view of another kind would be compiled for, seconds long, in the middle of a stream.
        arguments: list[Any] = [
            np.require(getattr(bodies, name), requirements=("C", "W")) for bodies in (a, b) for name in Bodies.__slots__
        ]
        function: Any = compiled.similarities
        strict, lenient = function(*arguments, chosen, STRICTNESS, POSE)
        return strict, lenient
    return _similarities(a, b, slice(None, None, chosen))


def _similarities(a: Bodies, b: Bodies, chosen: slice) -> tuple[Floats, Floats]:
    """The reference: `chosen` keypoints take part."""
    tolerance = a.tolerance[:, None, chosen] ** 2
    offset = a.keypoints[:, None, chosen] - b.keypoints[None, :, chosen]
    half = (offset**2).sum(-1) / 2
    both = a.seen[:, None, chosen] & b.seen[None, :, chosen]
    common = both.sum(-1)
    share = np.where(common > 0, POSE, 0.0)
    rest = (1 - share) * iou(a.boxes, b.boxes)
    same_class = a.class_ids[:, None] == b.class_ids

    def blended(alike: Floats) -> Floats:
        return np.asarray((share * (alike * both).sum(-1) / np.maximum(common, 1) + rest) * same_class)

    certain = STRICTNESS**2 * tolerance + b.variances[None, :, chosen]
    spread = certain + a.variances[:, None, chosen]
    wide = tolerance + b.variances[None, :, chosen] + a.variances[:, None, chosen] + a.astray[:, None, None]
    return blended(np.sqrt(certain / spread) * np.exp(-half / spread)), blended(np.exp(-half / wide))


def iou(a: Floats, b: Floats) -> Floats:
    """[N, M] intersection over union of boxes [N, 4] and [M, 4]."""
    corner = np.minimum(a[:, None, 2:], b[None, :, 2:]) - np.maximum(a[:, None, :2], b[None, :, :2])
    overlap = corner.clip(0).prod(-1)
    area_a, area_b = ((box[:, 2:] - box[:, :2]).prod(-1) for box in (a, b))
    return overlap / (area_a[:, None] + area_b - overlap)


def assign(alike: Floats, least: float) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Rows and columns of the one-to-one assignment with the largest total similarity, no pair below `least`."""
    rows, columns = linear_sum_assignment(np.where(alike < least, 0.0, alike), maximize=True)
    kept = alike[rows, columns] >= least
    return rows[kept], columns[kept]
