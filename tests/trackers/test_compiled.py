from __future__ import annotations

import numpy as np
import pytest

import trackers.compiled
from trackers import Detections, Tracker, warm_up

pytest.importorskip("numba")


def compiled() -> dict[str, list[object]]:
    functions = vars(trackers.compiled).items()
    return {name: list(function.signatures) for name, function in functions if hasattr(function, "signatures")}


def test_nothing_is_left_to_compile_once_a_stream_runs() -> None:
    warm_up()
    before = compiled()
    assert before and all(before.values())
    tracker, random = Tracker(), np.random.default_rng(0)
    for frame, count in enumerate((3, 3, 1, 0, 2, 4, 3, 3)):
        corner = 150.0 * np.arange(count)[:, None] + random.normal(0, 2, (count, 2))
        points = corner[:, None] + random.uniform(0, 90, (count, 17, 2))
        points[random.random((count, 17)) < 0.2] = np.nan
        scores, boxes = random.uniform(0.2, 1, count), np.hstack([corner, corner + 90])
        detections = Detections(boxes, scores, np.zeros(count), points, np.ones((count, 17)))
        tracker.update(detections, frame / 30).confirmed()
    tracker.predict(1.0)
    assert compiled() == before
