"""Identities through a crossing in which the detector sees one thing instead of two."""

from __future__ import annotations

import numpy as np
import pytest

from xpose_stream.trackers import Detections, Tracker, TrackerConfig

RATE = 30
POSE = np.column_stack([np.tile([-20.0, 0.0, 20.0], 4), np.repeat([-60.0, -20.0, 20.0, 60.0], 3)])


def detections(centres: list[float]) -> Detections:
    points = np.array([POSE + np.array((x, 200.0)) for x in centres])
    boxes = np.array([[x - 40, 120, x + 40, 280] for x in centres])
    return Detections(boxes, np.full(len(centres), 0.9), np.zeros(len(centres), int), points, np.ones(points.shape[:2]))


def walk(
    ways: tuple[np.ndarray, np.ndarray], close: float = 70, left: bool = False
) -> tuple[dict[int, int], list[dict[int, int]]]:
    """Track two walkers of whom one is seen when close, the first or the `left` one.

    Ids by walker at the beginning and, in order, of all frames after their places were closest.
    """
    tracker = Tracker(TrackerConfig(merges=True))
    meeting = np.abs(np.subtract(*ways)).argmin()
    before: dict[int, int] = {}
    after: list[dict[int, int]] = []
    for frame, places in enumerate(zip(*ways, strict=True)):
        merged = abs(places[0] - places[1]) < close
        seen = [min(places) if left else places[0]] if merged else list(places)
        tracks = tracker.update(detections(seen), frame / RATE)
        assert len(tracker._crossings._open) <= 1, "two who cross are one crossing, whoever has which row"
        middle = (tracks.boxes[:, 0] + tracks.boxes[:, 2]) / 2
        if not merged and len(tracks) == 2:
            identities = {w: int(tracks.ids[np.abs(middle - x).argmin()]) for w, x in enumerate(places)}
            if frame == 6:
                before = identities
            if frame > meeting:
                after.append(identities)
    return before, after


@pytest.mark.parametrize("speed", [120.0, 180.0, 240.0])
def test_walkers_who_pass_each_other_keep_their_identities(speed: float) -> None:
    time = np.arange(0, 360 / speed, 1 / RATE)
    before, after = walk((140 + speed * time, 500 - speed * time))
    assert len(set(before.values())) == 2
    assert before == after[-1]


@pytest.mark.parametrize("close", [20.0, 40.0])
def test_identities_are_right_from_the_first_frame_in_which_both_are_seen_again(close: float) -> None:
    time = np.arange(0, 6, 1 / RATE)
    before, after = walk((140 + 60 * time, 500 - 60 * time), close, left=True)
    assert after and all(identities == before for identities in after)


def test_a_third_who_stands_apart_is_not_touched() -> None:
    tracker = Tracker(TrackerConfig(merges=True))
    time = np.arange(0, 2, 1 / RATE)
    alone: set[int] = set()
    for frame, t in enumerate(time):
        left, right = 140 + 180 * t, 500 - 180 * t
        seen = [left] if abs(left - right) < 70 else [left, right]
        tracks = tracker.update(detections([*seen, 900.0]), frame / RATE)
        alone |= {int(i) for i, box in zip(tracks.ids, tracks.boxes, strict=True) if box[0] > 800}
    assert len(alone) == 1


def test_without_a_crossing_nothing_is_exchanged() -> None:
    time = np.arange(0, 2, 1 / RATE)
    before, after = walk((100 + 60 * time, 400 + 60 * time))
    assert before == after[-1]
