"""Which detection is which track: similarity of poses and boxes, and the best assignment."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

Floats = NDArray[np.float64]

# Share of the pose in the similarity; the rest is the overlap of boxes.
POSE = 0.88
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
        tolerance: [N, K] px, the distance at which a keypoint is e^-1/2 similar: sigma * the longer side of the box.
    """

    boxes: Floats
    class_ids: NDArray[np.int64]
    keypoints: Floats
    seen: NDArray[np.bool_]
    variances: Floats
    tolerance: Floats


def similarity(a: Bodies, b: Bodies) -> Floats:
    """[N, M] how alike they are, 0..1: OKS widened by the uncertainty of both, blended with IoU; 0 between classes.

    Widening alone would make the least certain of `a` the most similar to everything, so its uncertainty also costs.
    """
    chosen = slice(None, None, -(-a.keypoints.shape[1] // MOST_KEYPOINTS) or 1)
    certain = a.tolerance[:, None, chosen] ** 2 + b.variances[None, :, chosen]
    spread = certain + a.variances[:, None, chosen]
    offset = a.keypoints[:, None, chosen] - b.keypoints[None, :, chosen]
    alike = np.sqrt(certain / spread) * np.exp(-0.5 * (offset**2).sum(-1) / spread)
    both = a.seen[:, None, chosen] & b.seen[None, :, chosen]
    common = both.sum(-1)
    oks = (alike * both).sum(-1) / np.maximum(common, 1)
    share = np.where(common > 0, POSE, 0.0)
    same_class = a.class_ids[:, None] == b.class_ids
    return (share * oks + (1 - share) * iou(a.boxes, b.boxes)) * same_class


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
