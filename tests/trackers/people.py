"""Made-up people who walk, and what a small detector makes of them."""

from __future__ import annotations

from dataclasses import fields

import numpy as np

from xpose_stream.trackers import Detections, Tracker, Tracks
from xpose_stream.training.exam.evaluation import Found, found
from xpose_stream.training.exam.truth import Instance

# A standing figure of height 1, feet at the origin, x to the right and y down; 17 keypoints in COCO's order.
FIGURE = np.array(
    [[0.03, -0.93], [0.04, -0.95], [0, -0.95], [0.03, -0.94], [-0.03, -0.94], [0.06, -0.81], [-0.06, -0.81],
     [0.08, -0.64], [-0.08, -0.64], [0.1, -0.5], [-0.1, -0.5], [0.045, -0.52], [-0.045, -0.52], [0.05, -0.27],
     [-0.05, -0.27], [0.05, -0.03], [-0.05, -0.03]]
)  # fmt: skip
LIMBS = {7: 0.06, 8: -0.06, 9: 0.13, 10: -0.13, 13: -0.08, 14: 0.08, 15: -0.16, 16: 0.16}
NOISE = np.array([0.02] * 5 + [0.025] * 2 + [0.04] * 2 + [0.065] * 2 + [0.025] * 2 + [0.035] * 2 + [0.065] * 2)
FRAME = 1 / 30


def walker(x: float, height: float, phase: float) -> tuple[np.ndarray, np.ndarray]:
    """Box [4] and keypoints [17, 2] of a person in mid-stride at x."""
    points = FIGURE.copy()
    for keypoint, swing in LIMBS.items():
        points[keypoint, 0] += swing * np.sin(phase)
    points = points * height + [x, 300 + 0.4 * height]
    return np.concatenate([points.min(0) - 0.04 * height, points.max(0) + 0.04 * height]), points


def seen(*people: tuple[np.ndarray, np.ndarray], scores: list[float] | None = None, class_id: int = 0) -> Detections:
    n = len(people)
    boxes, points = (np.array([p[i] for p in people]) for i in range(2))
    return Detections(boxes, scores or [0.9] * n, np.full(n, class_id), points, np.ones((n, 17)))


ALICE, BOB = walker(150, 200, 0.5), walker(450, 150, 2.0)
NOBODY = Detections.empty(17)


def same(a: Tracks, b: Tracks, shift: float = 0.0) -> None:
    for field in fields(a):
        moved = shift if field.name in ("boxes", "keypoints", "measurements") else 0.0
        expected = getattr(a, field.name)
        np.testing.assert_allclose(getattr(b, field.name), expected + moved, rtol=0, atol=1e-7 * (shift != 0))


def crowd(seed: int, seconds: float = 8.0) -> tuple[list[list[Instance]], list[Detections]]:
    """Three people crossing with all a small detector does wrong: jitter, misses, outliers, duplicates, clutter.

    Who is mostly hidden behind a nearer person is missed nearly always.
    """
    rng = np.random.default_rng(seed)
    heights, x, speed = np.array([230, 180, 140.0]), np.array([100, 320, 560.0]), np.array([85, -70, -60.0])
    truth, detected = [], []
    for frame in range(round(seconds / FRAME)):
        people = [walker(x[i] + speed[i] * frame * FRAME, heights[i], 6 * frame * FRAME + i) for i in range(3)]
        instances, given = [], []
        for i, (box, points) in enumerate(people):
            near = [b for b, _ in people[:i]]
            hidden = [any((b[:2] < p).all() and (p < b[2:]).all() for b in near) for p in points]
            instances.append(Instance(i, box, np.column_stack([points, 2 - np.array(hidden)])))
            if rng.random() < (0.9 if np.mean(hidden) > 0.6 else 0.12):
                continue
            for copies in range(1 + (rng.random() < 0.06)):
                off = rng.normal(0, 1, (17, 2)) * NOISE[:, None]
                off[rng.random(17) < 0.04] *= 6
                off[rng.random(17) < 0.05] = np.nan
                spoilt = box + rng.normal(0, 0.025, 4) * heights[i]
                given.append((spoilt, points + off * heights[i], np.clip(rng.normal(0.65, 0.15), 0, 1) - 0.1 * copies))
        for _ in range(rng.poisson(0.1)):
            given.append((*walker(rng.uniform(0, 640), rng.uniform(60, 250), 0), rng.uniform(0.1, 0.6)))
        truth.append(instances)
        detected.append(seen(*(g[:2] for g in given), scores=[g[2] for g in given]) if given else NOBODY)
    return truth, detected


def follow(detected: list[Detections]) -> list[list[Found]]:
    tracker, tracked = Tracker(), []
    for frame, detections in enumerate(detected):
        tracks = tracker.update(detections, frame * FRAME).confirmed()
        tracked.append(found(tracks.boxes, tracks.scores, tracks.keypoints, tracks.ids))
    return tracked
