"""From what the model answers to detections in the pixels of a frame."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from xpose_stream.engines.xpose import XPoseOutput
from xpose_stream.trackers import LEAST_SCORE, Detections

SAME = 0.9  # IoU above which two boxes are of the same thing, whatever their classes
SEEN = 0.5  # a keypoint with a higher score is more likely to be seen than not


def detect(
    output: XPoseOutput,
    keypoint_mask: NDArray[np.bool_],
    width: float,
    height: float,
    *,
    threshold: float = LEAST_SCORE,
    overlap: float = SAME,
    hold: bool = False,
) -> list[Detections]:
    """Detections of every image of a batch, best first, in px of a frame of which `width` x `height` were seen.

    A group's class is its best-scoring one, its score the logistic function of that logit. Kept are scores above
    `threshold`, less those whose box overlaps a better one's by an IoU above 0.9 (the published rule), or above
    `overlap` where the classes are the same. `keypoint_mask` [C, K] tells which keypoints each class has; the others
    are NaN. A keypoint's score is its probability of being visible, provided that the detection is right; where the
    model says nothing of single keypoints, it is the score of the group, and there are no sigmas. With `hold` boxes are
    widened to hold the keypoints that are more likely to be seen than not.
    """
    found = detect_groups(output, keypoint_mask, (width, height), threshold, overlap)
    return [_widened(detections) if hold else detections for detections, _ in found]


def detect_groups(
    output: XPoseOutput, keypoint_mask: NDArray[np.bool_], size: tuple[float, float], threshold: float, overlap: float
) -> list[tuple[Detections, NDArray[np.int64]]]:
    """Detections as `detect` gives them, each with the group [N] of the model that it comes from."""
    parts = [tensor.double().cpu().numpy() for tensor in output.parts]
    sides = np.array(size, np.float64)
    return [_detect_one(one, keypoint_mask, sides, threshold, overlap) for one in zip(*parts, strict=True)]


def _detect_one(
    parts: Sequence[NDArray[np.float64]],
    keypoint_mask: NDArray[np.bool_],
    size: NDArray[np.float64],
    threshold: float,
    overlap: float,
) -> tuple[Detections, NDArray[np.int64]]:
    logits, boxes, keypoints, *confidence = parts
    classes = logits.argmax(1)
    scores = 1 / (1 + np.exp(-logits.max(1)))
    centre, extent = boxes[:, :2] * size, boxes[:, 2:] * size
    corners = np.concatenate((centre - extent / 2, centre + extent / 2), 1)
    order = np.argsort(-scores, kind="stable")
    kept = suppress(corners, classes, order[scores[order] > threshold], overlap)
    real = keypoint_mask[classes[kept]]
    points = np.where(real[..., None], keypoints[kept] * size, np.nan)
    sure, sigmas = scores[kept, None], None
    if confidence:
        visibility, spread = (part[kept] for part in confidence)
        sure = 1 / (1 + np.exp(-visibility))
        sigmas = np.where(real, np.exp(spread) * np.sqrt(extent[kept].prod(1, keepdims=True)), np.nan)
    best = float(scores.max(initial=0.0))
    return Detections(corners[kept], scores[kept], classes[kept], points, np.where(real, sure, 0.0), sigmas, best), kept


def _widened(seen: Detections) -> Detections:
    """The same with boxes that hold the keypoints that are more likely to be seen than not."""
    points = np.where(seen.keypoint_scores[..., None] > SEEN, seen.keypoints, np.nan)
    low = np.fmin.reduce(points, 1, initial=np.inf)
    high = np.fmax.reduce(points, 1, initial=-np.inf)
    boxes = np.concatenate((np.minimum(seen.boxes[:, :2], low), np.maximum(seen.boxes[:, 2:], high)), 1)
    return replace(seen, boxes=boxes)


def suppress(
    boxes: NDArray[np.float64], classes: NDArray[np.int64], order: NDArray[np.int64], overlap: float
) -> NDArray[np.int64]:
    """Rows of `order` whose box [N, 4] (xyxy) has no IoU above `overlap` with one of its class before (any: SAME)."""
    kept: list[int] = []
    for row in order:
        most = np.where(classes[kept] == classes[row], overlap, SAME)
        if not any(_iou(boxes[row], boxes[other]) > limit for other, limit in zip(kept, most, strict=True)):
            kept.append(int(row))
    return np.array(kept, np.int64)


def _iou(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    sides = np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])
    shared = float(np.prod(sides.clip(min=0)))
    both = float(np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2])) - shared
    return shared / both if both > 0 else 0.0
