"""The metrics are what their names say: against plain oracles, pycocotools and motmetrics."""

from __future__ import annotations

import math

import motmetrics
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xpose_stream.training.exam.evaluation import Found, found, idf1, oks_ap, pck
from xpose_stream.training.exam.truth import Instance

K = 4
SIGMAS = (0.05, 0.05, 0.08, 0.1)


def person(name: int, x: float, *, ignore: bool = False, v: tuple[int, ...] = (2, 2, 1, 0)) -> Instance:
    """A person 50 px wide and 100 px tall at x."""
    points = np.array([[x + 10, 20], [x + 40, 30], [x + 20, 60], [x + 25, 90]], float)
    return Instance(name, np.array([x, 0, x + 50, 100.0]), np.column_stack([points, v]), ignore)


def copy_of(instance: Instance, *, name: int | None = None, score: float = 0.9, shift: float = 0.0) -> Found:
    return Found(instance.box + shift * np.array([1, 0, 1, 0]), score, instance.keypoints[:, :2] + [shift, 0], name)


TRUTH = [[person(1, 0), person(2, 200)], [], [person(1, 10)]]
PERFECT = [[copy_of(i, name=i.id) for i in frame] for frame in TRUTH]
NOTHING: list[list[Found]] = [[], [], []]


def test_perfect_predictions_score_one() -> None:
    assert set(pck(TRUTH, PERFECT).values()) == {1.0}
    assert oks_ap(TRUTH, PERFECT, SIGMAS) == pytest.approx({"AP": 1, "AP50": 1, "AP75": 1, "AR": 1})
    assert idf1(TRUTH, PERFECT) == {"idf1": 1.0, "idp": 1.0, "idr": 1.0}


def test_finding_nothing_scores_zero() -> None:
    assert set(pck(TRUTH, NOTHING).values()) == {0.0}
    assert oks_ap(TRUTH, NOTHING, SIGMAS) == {"AP": 0, "AP50": 0, "AP75": 0, "AR": 0}
    assert idf1(TRUTH, NOTHING)["idf1"] == 0.0


def test_without_anything_to_find_there_is_no_score() -> None:
    nobody = [[person(1, 0, ignore=True)], [], []]
    assert all(map(math.isnan, pck(nobody, NOTHING).values()))
    assert all(map(math.isnan, oks_ap(nobody, PERFECT, SIGMAS).values()))
    assert math.isnan(idf1(nobody, NOTHING)["idf1"])


def test_sequences_of_unequal_length_are_refused() -> None:
    for metric in (pck, idf1, lambda t, p: oks_ap(t, p, SIGMAS)):
        with pytest.raises(ValueError):
            metric(TRUTH, PERFECT[:2])


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=40, deadline=None)
def test_pck_equals_a_plain_loop(seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth, predicted, right, total = [], [], 0, 0
    for _ in range(5):
        frame, candidates = [], []
        for name in range(3):  # 300 px apart: nobody is anybody else's
            instance = person(name, 300.0 * name, v=tuple(rng.integers(0, 3, K)), ignore=rng.random() < 0.2)
            frame.append(instance)
            given_points = instance.keypoints[:, :2] + rng.normal(0, 8, (K, 2))
            given_points[rng.random(K) < 0.1] = np.nan
            missed = rng.random() < 0.2
            if not missed:
                candidates.append(Found(instance.box, 0.5, given_points))
            for (x, y, v), (px, py) in zip(instance.keypoints, given_points, strict=True):
                if v > 0 and not instance.ignore:
                    total += 1
                    right += not missed and not math.isnan(px) and math.hypot(x - px, y - py) <= 0.1 * 100
        rng.shuffle(candidates)
        truth.append(frame)
        predicted.append(candidates)
    if total:
        assert pck(truth, predicted, [0.1])[0.1] == pytest.approx(right / total)


def test_pck_gives_an_instance_one_prediction_and_a_prediction_one_instance() -> None:
    close = [[person(1, 0), person(2, 20)]]
    assert pck(close, [[copy_of(close[0][0])]])[0.05] == 0.5
    assert pck(close, [[copy_of(close[0][1]), copy_of(close[0][0])]])[0.05] == 1.0


def test_ignored_instances_count_neither_way() -> None:
    truth = [[person(1, 0), person(2, 200, ignore=True)]]
    for extra in ([], [copy_of(truth[0][1], name=9, score=0.99)]):
        predicted = [[copy_of(truth[0][0], name=5), *extra]]
        assert pck(truth, predicted)[0.05] == 1.0
        assert oks_ap(truth, predicted, SIGMAS)["AP"] == pytest.approx(1.0)
        assert idf1(truth, predicted)["idf1"] == 1.0


def test_a_better_scored_false_alarm_halves_ap() -> None:
    truth = [[person(1, 0)]]
    alarm = Found(np.array([400, 0, 450, 100.0]), 0.95, np.full((K, 2), 400.0))
    assert oks_ap(truth, [[copy_of(truth[0][0]), alarm]], SIGMAS)["AP"] == pytest.approx(0.5)


def test_ap_counts_the_oks_thresholds_that_are_met() -> None:
    # With one sigma everywhere and every keypoint d px off, OKS = exp(-d^2 / (2 area (2 sigma)^2)).
    truth, area, sigma = [[person(1, 0)]], 0.53 * 50 * 100, 0.08
    shift = math.sqrt(-2 * area * (2 * sigma) ** 2 * math.log(0.72))  # OKS 0.72: meets .50 .55 .60 .65 .70
    result = oks_ap(truth, [[copy_of(truth[0][0], shift=shift)]], [sigma] * K)
    assert result == pytest.approx({"AP": 0.5, "AP50": 1.0, "AP75": 0.0, "AR": 0.5})


def test_a_known_silhouette_replaces_the_share_of_the_box() -> None:
    instance = person(1, 0)
    small = Instance(1, instance.box, instance.keypoints, area=300.0)
    shifted = [[copy_of(instance, shift=4.0)]]
    assert oks_ap([[small]], shifted, SIGMAS)["AP"] < oks_ap([[instance]], shifted, SIGMAS)["AP"]


def test_keypoints_that_were_not_given_are_wrong_but_the_rest_counts() -> None:
    truth = [[person(1, 0)]]  # three annotated keypoints
    half = copy_of(truth[0][0])
    half.keypoints[0] = np.nan
    assert pck(truth, [[half]])[0.2] == pytest.approx(2 / 3)
    assert oks_ap(truth, [[half]], SIGMAS)["AP"] == pytest.approx(0.4)  # OKS 2/3 meets .50 .55 .60 .65


def test_a_swap_of_identities_halfway_costs_half_of_idf1() -> None:
    truth = [[person(1, 0), person(2, 200)]] * 10
    swapped = [
        [copy_of(a, name=1 if frame < 5 else 2), copy_of(b, name=2 if frame < 5 else 1)]
        for frame, (a, b) in enumerate(truth)
    ]
    assert idf1(truth, swapped)["idf1"] == 0.5


def test_idf1_needs_identities() -> None:
    with pytest.raises(ValueError, match="with ids"):
        idf1([[person(1, 0)]], [[copy_of(person(1, 0))]])


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=25, deadline=None)
def test_idf1_equals_motmetrics(seed: int) -> None:
    rng = np.random.default_rng(seed)
    truth, predicted = [], []
    oracle = motmetrics.MOTAccumulator(auto_id=True)
    for _ in range(6):
        frame = [person(name, x) for name, x in enumerate(rng.uniform(0, 150, 4)) if rng.random() < 0.8]
        seen = [i for i in frame if rng.random() < 0.8]
        names = rng.permutation(6)[: len(seen)]
        candidates = [copy_of(i, name=int(n), shift=rng.normal(0, 8)) for i, n in zip(seen, names, strict=True)]
        truth.append(frame)
        predicted.append(candidates)
        # Equal sizes side by side: IoU = (50 - d) / (50 + d).
        offset = np.abs(np.subtract.outer([i.box[0] for i in frame], [p.box[0] for p in candidates]))
        iou = (50 - offset).clip(0) / (50 + offset)
        distances = np.where(iou >= 0.5, 1 - iou, np.nan).reshape(len(frame), len(candidates))
        oracle.update([i.id for i in frame], [p.id for p in candidates], distances)
    if not any(truth):
        return
    expected = motmetrics.metrics.create().compute(oracle, metrics=["idf1", "idp", "idr"]).iloc[0].to_dict()
    assert idf1(truth, predicted) == pytest.approx(expected, nan_ok=True)


def test_found_splits_a_frames_arrays_into_instances() -> None:
    first, second = found(np.eye(4)[:2], np.array([0.5, 0.25]), np.zeros((2, K, 2)), np.array([7, 8]))
    assert (first.id, first.score, second.id, second.box.tolist()) == (7, 0.5, 8, [0, 1, 0, 0])
    assert found(np.zeros((1, 4)), np.ones(1), np.zeros((1, K, 2)))[0].id is None
