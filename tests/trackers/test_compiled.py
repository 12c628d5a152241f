"""Compiled arithmetic publishes what NumPy's does, and nothing is compiled while a stream runs."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest

from xpose_stream.trackers import Detections, Tracker, TrackerConfig, Tracks, compiled, warm_up

pytest.importorskip("numba")

COUNTS = (3, 3, 1, 0, 2, 4, 3, 3)


def frames(told: bool) -> list[Detections]:
    """Things that come and go, with keypoints missing and, if `told`, sigmas; arrays of any order, also read-only."""
    random, seen = np.random.default_rng(0), []
    for frame, count in enumerate(COUNTS):
        corner = 90.0 * np.arange(count)[:, None] + random.normal(0, 2, (count, 2))
        points = corner[:, None] + random.uniform(0, 90, (count, 17, 2))
        points[random.random((count, 17)) < 0.2] = np.nan
        sigmas = np.where(random.random((count, 17)) < 0.3, np.nan, random.uniform(1, 9, (count, 17)))
        scores, boxes = random.uniform(0.2, 1, count), np.hstack([corner, corner + 90])
        if frame % 2 == 0:
            points, boxes = np.asfortranarray(points), np.asfortranarray(boxes)
            points.flags.writeable = scores.flags.writeable = False
        seen.append(
            Detections(boxes, scores, np.zeros(count), points, random.random((count, 17)), sigmas if told else None)
        )
    return seen


def follow(told: bool, config: TrackerConfig) -> list[Tracks]:
    tracker, published = Tracker(config), []
    for frame, detections in enumerate(frames(told)):
        published += [tracker.update(detections, frame / 30), tracker.predict(frame / 30 + 0.1)]
    return published


@pytest.mark.parametrize("told", [False, True])
@pytest.mark.parametrize("preset", ["robot", "mocap"])
def test_compiled_numpy_and_filterpy_publish_the_same(told: bool, preset: str, monkeypatch: pytest.MonkeyPatch) -> None:
    config = TrackerConfig.preset(preset, merges=told, sigmas={0: (0.05,) * 9})
    ours = follow(told, config)
    reference = follow(told, replace(config, filter="reference"))
    monkeypatch.setattr(compiled, "AVAILABLE", False)
    for theirs in (follow(told, config), reference):
        for a, b in zip(ours, theirs, strict=True):
            for field in fields(a):
                np.testing.assert_allclose(
                    getattr(a, field.name), getattr(b, field.name), rtol=1e-9, atol=1e-9, err_msg=field.name
                )


def test_nothing_is_left_to_compile_once_a_stream_runs() -> None:
    warm_up()
    before = signatures()
    assert before and all(before.values())
    for told in (False, True):
        follow(told, TrackerConfig(merges=True, similarity=1, slow=1, astray=1, measurement_noise=1))
    Tracker().predict(0)
    assert signatures() == before


def signatures() -> dict[str, list[object]]:
    """Of the compiled functions, but not of those that only these call, nor of what no stream does."""
    functions = {name: function for name, function in vars(compiled).items() if not name.startswith("_")}
    del functions["smooth"]
    return {name: list(function.signatures) for name, function in functions.items() if hasattr(function, "signatures")}
