"""Detections and tracks check their own shapes; what cannot be used is told apart."""

from __future__ import annotations

from dataclasses import fields

import numpy as np
import pytest

from xpose_stream.trackers import Detections, Tracker, TrackerConfig, Tracks


def detections(n: int = 3, k: int = 2) -> Detections:
    boxes = np.array([[0, 0, 10, 20.0]]) + 30.0 * np.arange(n)[:, None]
    points = boxes[:, None, :2] + np.linspace(2, 8, k)[:, None]
    return Detections(boxes, np.linspace(0.9, 0.5, n), np.zeros(n, int), points, np.ones((n, k)))


@pytest.mark.parametrize(
    ("name", "wrong"),
    [
        ("boxes", np.zeros((3, 5))),
        ("boxes", np.zeros(3)),
        ("boxes", np.float64(3)),
        ("scores", np.zeros((3, 1))),
        ("class_ids", np.zeros(2)),
        ("keypoints", np.zeros((3, 2, 3))),
        ("keypoints", np.zeros((2, 2, 2))),
        ("keypoints", np.zeros((3, 2))),
        ("keypoint_scores", np.zeros((3, 1))),
    ],
)
def test_a_wrong_shape_is_refused_in_one_sentence(name: str, wrong: np.ndarray) -> None:
    good = detections()
    arrays = {f.name: getattr(good, f.name) for f in fields(good)} | {name: wrong}
    with pytest.raises(ValueError, match="must have shape") as refusal:
        Detections(**arrays)
    assert "\n" not in str(refusal.value)


def test_tracks_of_a_wrong_shape_are_refused() -> None:
    tracks = Tracker().update(detections(), 0.0)
    arrays = {f.name: getattr(tracks, f.name) for f in fields(tracks)}
    with pytest.raises(ValueError, match=r"Tracks.velocities must have shape \[3, 2, 2\]"):
        Tracks(**(arrays | {"velocities": np.zeros((3, 2))}))


def test_empty_detections_have_the_asked_keypoints() -> None:
    assert Detections.empty(17).keypoints.shape == (0, 17, 2) and len(Detections.empty(0)) == 0


def test_unusable_rows_are_left_out_and_the_rest_is_sorted_by_score() -> None:
    d = detections(6)
    d.boxes[0, 1] = np.nan
    d.boxes[1, 2:] = d.boxes[1, :2]
    d.boxes[2, 3] = 1e300
    d.scores[3] = np.nan
    d.scores[4:] = 0.3, 0.8
    assert d.usable(0.1).tolist() == [5, 4] and d.usable(0.5).tolist() == [5]


@pytest.mark.parametrize(
    "wrong",
    [
        {"low_score": 0.9},
        {"high_score": 1.5},
        {"coast": 3.0},
        {"damping": 0.0},
        {"process_noise": float("nan")},
        {"confirm_hits": 0},
        {"sigmas": {0: (0.1, -0.1)}},
    ],
)
def test_impossible_settings_are_refused(wrong: dict) -> None:
    with pytest.raises(ValueError):
        TrackerConfig(**wrong)
