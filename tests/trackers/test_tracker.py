"""Identities, life and robustness of tracks."""

from __future__ import annotations

import copy
from dataclasses import fields, replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.trackers.people import ALICE, BOB, FRAME, NOBODY, crowd, follow, same, seen, walker
from xpose_stream.trackers import Detections, KeypointStatus, Status, Tracker, TrackerConfig
from xpose_stream.training.exam.evaluation import idf1


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_people_who_cross_keep_their_identity(seed: int) -> None:
    truth, detected = crowd(seed)
    assert idf1(truth, follow(detected))["idf1"] >= 0.95


def test_tracks_are_nearer_the_truth_than_detections() -> None:
    truth, detected = crowd(3)
    tracker, raw, filtered = Tracker(), [], []
    for frame, detections in enumerate(detected):
        tracks = tracker.update(detections, frame * FRAME)
        for row in np.flatnonzero(tracks.status == Status.CONFIRMED):
            nearest = min(truth[frame], key=lambda i: float(np.abs(i.box - tracks.boxes[row]).sum()))
            measured = ~np.isnan(tracks.measurements[row, :, 0])
            raw.append((tracks.measurements[row] - nearest.keypoints[:, :2])[measured])
            filtered.append((tracks.keypoints[row] - nearest.keypoints[:, :2])[measured])
    raw_rms, filtered_rms = (np.sqrt((np.concatenate(e) ** 2).mean()) for e in (raw, filtered))
    assert filtered_rms < 0.75 * raw_rms


def test_a_track_is_tentative_then_confirmed_then_coasts_then_is_forgotten() -> None:
    tracker = Tracker()
    assert tracker.update(seen(ALICE), 10.0).status.tolist() == [Status.TENTATIVE]
    born = tracker.update(seen(ALICE), 10.1)
    assert born.status.tolist() == [Status.CONFIRMED] and born.ages == pytest.approx([0.1])
    assert tracker.update(NOBODY, 10.42).status.tolist() == [Status.COASTING]
    assert len(tracker.update(NOBODY, 10.44)) == 0  # 0.34 s: no longer published
    again = tracker.update(seen(ALICE), 10.9)  # 0.80 s: not yet forgotten
    assert again.ids == born.ids and again.status.tolist() == [Status.CONFIRMED]
    assert tracker.update(seen(ALICE), 13.0).ids != born.ids  # 2.1 s: forgotten


def test_a_tentative_track_is_published_only_when_detected() -> None:
    tracker = Tracker()
    tracker.update(seen(ALICE), 0.0)
    assert len(tracker.update(NOBODY, 0.1)) == 0
    assert tracker.update(seen(ALICE), 0.2).status.tolist() == [Status.CONFIRMED]


def test_poor_detections_continue_tracks_but_start_none() -> None:
    tracker = Tracker()
    assert len(tracker.update(seen(ALICE, scores=[0.3]), 0.0)) == 0
    tracker.update(seen(ALICE), 0.1)
    tracker.update(seen(ALICE), 0.2)
    assert tracker.update(seen(ALICE, scores=[0.3]), 0.3).status.tolist() == [Status.CONFIRMED]
    assert tracker.update(seen(ALICE, scores=[0.05]), 0.4).status.tolist() == [Status.COASTING]


def test_a_second_detection_of_a_person_starts_no_track() -> None:
    tracker = Tracker()
    twin = (ALICE[0] + 3, ALICE[1] + 3)
    for frame in range(5):
        assert len(tracker.update(seen(ALICE, twin, scores=[0.8, 0.7]), frame * FRAME)) == 1


def test_classes_never_mix() -> None:
    tracker = Tracker()
    for frame in range(3):
        first = tracker.update(seen(ALICE, class_id=1), frame * FRAME)
    both = tracker.update(seen(ALICE, class_id=2), 3 * FRAME)
    assert dict(zip(both.class_ids.tolist(), both.status.tolist(), strict=True)) == {
        1: Status.COASTING,
        2: Status.TENTATIVE,
    }
    assert both.ids[both.class_ids == 1] == first.ids


def test_predict_changes_nothing_and_returns_the_published_rows() -> None:
    _, detected = crowd(4, seconds=2)
    asked, silent = Tracker(), Tracker()
    assert len(asked.predict(0.0)) == 0
    for frame, detections in enumerate(detected):
        now = asked.update(detections, frame * FRAME)
        before = copy.deepcopy(now)
        later = asked.predict(frame * FRAME + 0.1)
        same(before, now)
        same(silent.update(detections, frame * FRAME), now)
        np.testing.assert_array_equal(later.ids, now.ids)
        np.testing.assert_array_equal(later.status, now.status)
        assert np.isnan(later.measurements).all()
        assert not np.isin(later.keypoint_status, [KeypointStatus.MEASURED, KeypointStatus.REJECTED]).any()
        assert (later.covariances[..., 0, 0] > now.covariances[..., 0, 0]).all()
        np.testing.assert_allclose(later.ages, now.ages + 0.1)


def test_prediction_runs_ahead_of_a_walker() -> None:
    tracker = Tracker()
    for frame in range(30):
        tracks = tracker.update(seen(walker(100 + 120 * frame * FRAME, 200, 0)), frame * FRAME)
    ahead = tracker.predict(29 * FRAME + 0.1).keypoints - tracks.keypoints
    assert ahead[0].mean(0) == pytest.approx([12, 0], abs=1)
    np.testing.assert_allclose(tracks.velocities[0].mean(0), [120, 0], atol=10)


def test_a_keypoint_never_seen_is_somewhere_in_the_box_until_it_is_seen() -> None:
    tracker = Tracker()
    blind = seen(ALICE)
    blind.keypoints[:, 9] = np.nan
    for frame in range(3):
        tracks = tracker.update(blind, frame * FRAME)
        assert tracks.keypoint_status[0, 9] == KeypointStatus.NEVER_SEEN
        assert (tracks.boxes[0, :2] < tracks.keypoints[0, 9]).all() and (
            tracks.keypoints[0, 9] < tracks.boxes[0, 2:]
        ).all()
        assert tracks.covariances[0, 9, 0, 0] > 50**2 > 50 * tracks.covariances[0, 8, 0, 0]
    tracks = tracker.update(seen(ALICE), 3 * FRAME)
    assert tracks.keypoint_status[0, 9] == KeypointStatus.MEASURED
    np.testing.assert_allclose(tracks.keypoints[0, 9], ALICE[1][9])
    assert tracker.update(blind, 4 * FRAME).keypoint_status[0, 9] == KeypointStatus.PREDICTED


def test_a_keypoint_that_jumps_is_rejected_then_followed() -> None:
    tracker = Tracker()
    for frame in range(10):
        tracker.update(seen(ALICE), frame * FRAME)
    jumped = seen(ALICE)
    jumped.keypoints[0, 9] += 100
    first = tracker.update(jumped, 10 * FRAME)
    assert first.keypoint_status[0, 9] == KeypointStatus.REJECTED
    assert np.linalg.norm(first.keypoints[0, 9] - ALICE[1][9]) < 30
    for frame in range(11, 41):
        last = tracker.update(jumped, frame * FRAME)
    assert np.linalg.norm(last.keypoints[0, 9] - jumped.keypoints[0, 9]) < 10


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=10, deadline=None)
def test_the_order_of_detections_does_not_matter(seed: int) -> None:
    rng = np.random.default_rng(seed)
    straight, shuffled = Tracker(), Tracker()
    for frame, detections in enumerate(crowd(5, seconds=1)[1]):
        other = detections[rng.permutation(len(detections))]
        same(straight.update(detections, frame * FRAME), shuffled.update(other, frame * FRAME))


@given(st.floats(0.05, 20.0), st.booleans())
@settings(max_examples=10, deadline=None)
def test_scaling_and_mirroring_the_picture_does_the_same_to_the_tracks(scale: float, mirrored: bool) -> None:
    """To the last digits but for the lowest bits of what is summed in another order."""
    here, there = Tracker(), Tracker()
    factor = scale * np.array([-1.0 if mirrored else 1.0, 1.0])
    for frame, d in enumerate(crowd(6, seconds=1)[1]):
        corners = d.boxes.reshape(-1, 2, 2) * factor
        boxes = np.concatenate([corners.min(1), corners.max(1)], 1)
        a = here.update(d, frame * FRAME)
        b = there.update(replace(d, boxes=boxes, keypoints=d.keypoints * factor), frame * FRAME)
        order_a, order_b = np.argsort(a.keypoints.sum((1, 2))), np.argsort((b.keypoints / factor).sum((1, 2)))
        np.testing.assert_array_equal(a.status[order_a], b.status[order_b])
        np.testing.assert_allclose(b.keypoints[order_b] / factor, a.keypoints[order_a], rtol=1e-7, atol=1e-6)
        np.testing.assert_allclose(b.velocities[order_b] / factor, a.velocities[order_a], rtol=1e-6, atol=1e-4)
        np.testing.assert_allclose(b.covariances[order_b] / scale**2, a.covariances[order_a], rtol=1e-6)


def test_noise_that_the_detector_tells_of_is_believed() -> None:
    rng = np.random.default_rng(0)
    wide = {}
    for told in (1.0, 8.0):
        tracker = Tracker()
        for frame in range(20):
            people = seen((ALICE[0], ALICE[1] + rng.normal(0, 2, (17, 2))))
            tracks = tracker.update(replace(people, keypoint_sigmas=np.full((1, 17), told)), frame * FRAME)
        wide[told] = tracks.covariances[0, :, 0, 0].mean()
    assert wide[8.0] > 2 * wide[1.0]


@pytest.mark.parametrize("noise", [0.5, 2.0, 6.0])
def test_covariances_hold_the_truth_as_often_as_they_say_whatever_the_noise(noise: float) -> None:
    rng = np.random.default_rng(1)
    tracker, inside = Tracker(), []
    for frame in range(300):
        box, points = walker(100 + 40 * frame * FRAME, 200, 4 * frame * FRAME)
        tracks = tracker.update(seen((box, points + rng.normal(0, noise, (17, 2)))), frame * FRAME)
        if frame > 60:
            away = ((tracks.keypoints[0] - points) ** 2).sum(-1) / tracks.covariances[0, :, 0, 0]
            inside.append(away < 5.991)
    assert np.mean(inside) >= 0.92


def test_who_comes_out_of_hiding_near_by_is_who_went_in() -> None:
    tracker = Tracker()
    for frame in range(20):
        before = tracker.update(seen(walker(100 + 4 * frame, 200, 0)), frame * FRAME)
    after = tracker.update(seen(walker(100 + 4 * 50 + 15, 200, 0)), 50 * FRAME)
    assert after.ids.tolist() == before.ids.tolist()


@given(st.floats(-2000, 2000))
@settings(max_examples=10, deadline=None)
def test_moving_the_picture_moves_the_tracks(shift: float) -> None:
    here, there = Tracker(), Tracker()
    for frame, d in enumerate(crowd(6, seconds=1)[1]):
        moved = replace(d, boxes=d.boxes + shift, keypoints=d.keypoints + shift)
        same(here.update(d, frame * FRAME), there.update(moved, frame * FRAME), shift)


@pytest.mark.parametrize("time", [1.0, 0.5, float("nan"), float("inf")])
def test_a_time_that_does_not_follow_is_refused_and_changes_nothing(time: float) -> None:
    tracker, other = Tracker(), Tracker()
    for t in (0.0, 1.0):
        same(tracker.update(seen(ALICE), t), other.update(seen(ALICE), t))
    with pytest.raises(ValueError, match=r"cannot follow an update at 1\.0 s"):
        tracker.update(seen(BOB), time)
    if time != 1.0:
        with pytest.raises(ValueError, match="Cannot predict"):
            tracker.predict(time)
    same(tracker.update(seen(ALICE), 1.1), other.update(seen(ALICE), 1.1))


def test_another_number_of_keypoints_is_refused_while_there_are_tracks() -> None:
    tracker = Tracker()
    tracker.update(Detections.empty(0), 0.0)
    before = tracker.update(seen(ALICE), 0.1)
    few = Detections(ALICE[0][None], [0.9], [0], np.zeros((1, 5, 2)), np.zeros((1, 5)))
    with pytest.raises(ValueError, match="5 keypoints, but earlier ones 17"):
        tracker.update(few, 0.2)
    tracker.update(Detections.empty(0), 0.2)
    assert tracker.update(seen(ALICE), 0.3).ids == before.ids
    assert tracker.update(few, 9.0).keypoints.shape == (1, 5, 2)


def test_reset_forgets_tracks_and_time_but_never_reuses_an_id() -> None:
    tracker = Tracker()
    old = tracker.update(seen(ALICE), 5.0)
    tracker.reset()
    new = tracker.update(seen(ALICE), 0.0)
    assert new.ids > old.ids and new.status.tolist() == [Status.TENTATIVE]


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=25, deadline=None)
def test_spoilt_detections_leave_tracks_finite(seed: int) -> None:
    rng = np.random.default_rng(seed)
    tracker = Tracker()
    for frame, d in enumerate(crowd(7, seconds=0.5)[1]):
        for array in (d.boxes, d.scores, d.keypoints):
            spoilt = rng.random(array.shape) < 0.1
            array[spoilt] = rng.choice([np.nan, np.inf, -np.inf, 1e300, 0.0], int(spoilt.sum()))
        tracks = tracker.update(d, frame * FRAME)
        for field in fields(tracks):
            if field.name not in ("measurements", "keypoint_scores", "time"):
                assert np.isfinite(getattr(tracks, field.name)).all(), field.name
        assert (tracks.boxes[:, :2] <= tracks.boxes[:, 2:]).all()


def test_a_detection_with_nothing_but_a_box_is_followed() -> None:
    tracker = Tracker()
    for frame in range(6):
        box = (ALICE[0] + 4.0 * frame * np.array([1, 0, 1, 0]), np.full((17, 2), np.nan))
        tracks = tracker.update(seen(box), frame * FRAME)
    assert tracks.ids.tolist() == [1] and tracks.status.tolist() == [Status.CONFIRMED]
    np.testing.assert_allclose(tracks.boxes[0], box[0], atol=6)


def test_half_a_keypoint_is_not_seen() -> None:
    half = seen(ALICE)
    half.keypoints[0, :3] = [[np.nan, 1], [1, np.inf], [1e12, 1]]
    tracks = Tracker().update(half, 0.0)
    assert tracks.keypoint_status[0, :4].tolist() == [KeypointStatus.NEVER_SEEN] * 3 + [KeypointStatus.MEASURED]
    assert np.isnan(tracks.measurements[0, :3]).all() and np.isnan(tracks.keypoint_scores[0, :3]).all()


def test_keypoint_scores_are_those_of_the_detection_now() -> None:
    tracker, scores = Tracker(), np.linspace(0, 1, 17)
    for frame in range(5):
        told = np.stack([scores, 1 - scores]) * frame
        one = replace(seen(ALICE, BOB, scores=[0.9, 0.8]), keypoint_scores=told)
        tracks = tracker.update(one, frame * FRAME)
    np.testing.assert_array_equal(tracks.keypoint_scores, one.keypoint_scores)
    assert np.isnan(tracker.predict(5 * FRAME).keypoint_scores).all()
    coasting = tracker.update(seen(BOB), 5 * FRAME)
    np.testing.assert_array_equal(np.isnan(coasting.keypoint_scores).all(1), coasting.status == Status.COASTING)


def test_given_sigmas_decide_how_far_a_keypoint_may_move() -> None:
    far = (ALICE[0] + 45, ALICE[1] + 45)
    for sigma, people in ((0.02, 2), (0.5, 1)):
        tracker = Tracker(TrackerConfig(sigmas={0: (sigma,) * 17}))
        tracker.update(seen(ALICE), 0.0)
        tracker.update(seen(ALICE), FRAME)
        assert len(tracker.update(seen(far), 2 * FRAME)) == people


@pytest.mark.parametrize("interval", [0.5, 1.0, 10.0, 600.0])
def test_frames_far_apart_are_followed_like_near_ones(interval: float) -> None:
    tracker = Tracker()
    for frame in range(6):
        x = 150 + 3 * frame
        tracks = tracker.update(seen(walker(x, 200, 0.5 + frame), BOB), frame * interval)
        assert tracker.unsure
        assert tracks.ids.tolist() == [1, 2]
        assert set(tracks.status.tolist()) == {Status.CONFIRMED if frame else Status.TENTATIVE}
        off = np.hypot(*np.moveaxis(tracks.keypoints - tracks.measurements, -1, 0))
        assert np.nanmax(off) < 0.05 * 200  # px; nothing is smoothed with what was long ago


@pytest.mark.parametrize("interval", [0.5, 1.0, 10.0])
@pytest.mark.parametrize("hits", [1, 2])
def test_a_track_may_be_missed_in_one_frame_however_far_apart_frames_are(interval: float, hits: int) -> None:
    rng = np.random.default_rng(0)
    times = iter(np.cumsum(interval * rng.uniform(0.8, 1.2, 10)))
    tracker = Tracker()
    for _ in range(hits):
        first = tracker.update(seen(ALICE), next(times))
    tracker.update(NOBODY, next(times))
    assert tracker.update(seen(ALICE), next(times)).ids == first.ids
    for _ in range(3):
        tracker.update(NOBODY, next(times))
    assert tracker.update(seen(ALICE), next(times)).ids != first.ids, "but not in three"


def test_a_gap_among_near_frames_is_no_slow_stream() -> None:
    tracker = Tracker()
    for frame in range(10):
        before = tracker.update(seen(ALICE), frame * FRAME)
        assert tracker.unsure == (frame == 0)
    assert tracker.update(seen(ALICE), 3.0).ids != before.ids and tracker.unsure
    tracker.update(seen(ALICE), 3.0 + FRAME)
    assert not tracker.unsure


def test_raw_tells_every_detection() -> None:
    twin = (ALICE[0] + 3, ALICE[1] + 3)
    tracker = Tracker(TrackerConfig.preset("raw"))
    for frame in range(5):
        tracks = tracker.update(seen(ALICE, twin, BOB, scores=[0.9, 0.5, 0.11]), frame * FRAME)
        assert len(tracks) == 3 and tracker.unsure
        assert {tuple(point) for point in tracks.measurements[:, 0]} == {tuple(p[1][0]) for p in (ALICE, twin, BOB)}
        np.testing.assert_allclose(tracks.keypoints, tracks.measurements, atol=0.1)
