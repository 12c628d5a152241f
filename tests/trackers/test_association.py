"""Similarity falls with distance and uncertainty and never crosses classes; assignment is the best one."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xpose_stream.trackers import Detections, TrackerConfig, compiled
from xpose_stream.trackers.association import DEFAULT_SIGMA, assign, distinct, matches, similarities
from xpose_stream.trackers.state import State

CONFIG = TrackerConfig()
SIZE = 100.0


def bodies(shift: float = 0.0, *, class_id: int = 0, variance: float = 0.0, k: int = 5, seen: bool = True) -> State:
    keypoints = np.column_stack([np.linspace(10, 40, k) + shift, np.linspace(10, 90, k)])
    box = np.array([[shift, 0, shift + 50, SIZE]])
    some = np.full((1, k), 1.0)
    state = State.newborn(Detections(box, [1.0], [class_id], keypoints[None], some), 0.0, CONFIG)
    state.motion.points["pp"], state.motion.points["ever"] = variance, seen
    return state


def strict(a: State, b: State) -> np.ndarray:
    return similarities(a, b, CONFIG)[0]


def lenient(a: State, b: State) -> np.ndarray:
    return similarities(a, b, CONFIG)[1]


@pytest.mark.parametrize("similarity", [strict, lenient])
def test_the_same_thing_is_wholly_similar(similarity: Callable) -> None:
    assert similarity(bodies(), bodies()) == pytest.approx(1.0)


@pytest.mark.parametrize("similarity", [strict, lenient])
def test_similarity_falls_with_distance(similarity: Callable) -> None:
    near, far = (similarity(bodies(), bodies(shift))[0, 0] for shift in (4.0, 12.0))
    assert 1 > near > far > 0
    assert similarity(bodies(variance=100.0), bodies(24.0)) > similarity(bodies(), bodies(24.0))


def test_uncertainty_costs_only_where_it_is_asked_who_of_several() -> None:
    assert strict(bodies(variance=100.0), bodies())[0, 0] < 1
    assert lenient(bodies(variance=100.0), bodies())[0, 0] == pytest.approx(1.0)


@pytest.mark.parametrize("similarity", [strict, lenient])
def test_classes_are_never_similar(similarity: Callable) -> None:
    assert similarity(bodies(class_id=1), bodies(class_id=2)) == 0.0


@pytest.mark.parametrize("similarity", [strict, lenient])
def test_without_common_keypoints_boxes_decide(similarity: Callable) -> None:
    assert similarity(bodies(), bodies(25.0, seen=False)) == pytest.approx(1 / 3)


@pytest.mark.parametrize("k", [0, 1, 32, 33, 133])
def test_any_number_of_keypoints_is_compared(k: int) -> None:
    assert strict(bodies(k=k), bodies(k=k)) == pytest.approx(1.0)


def test_a_keypoint_of_an_unknown_class_is_as_similar_as_its_sigma_says() -> None:
    away = DEFAULT_SIGMA * SIZE
    overlap = (50 - away) / (50 + away)
    assert lenient(bodies(), bodies(away))[0, 0] == pytest.approx(0.88 * np.exp(-0.5) + 0.12 * overlap)


def test_what_repeats_a_better_detection_is_told() -> None:
    far = bodies(500.0)
    assert distinct(bodies() + bodies(2.0) + far + bodies(502.0), CONFIG).tolist() == [True, False, True, False]


def some(rng: np.random.Generator, count: int, k: int) -> State:
    corner = rng.uniform(0, 300, (count, 2))
    boxes = np.concatenate([corner, corner + rng.uniform(20, 80, (count, 2))], 1)
    points = corner[:, None] + rng.uniform(0, 50, (count, k, 2))
    points[rng.random((count, k)) < 0.3] = np.nan
    found = Detections(boxes, np.ones(count), rng.integers(0, 2, count), points, np.ones((count, k)))
    state = State.newborn(found, 0.0, CONFIG)
    state.motion.points["pp"] = rng.uniform(1, 50, (count, k + 2))
    state.motion.bodies["pp"], state.things["last"] = rng.uniform(0, 9, count), -rng.uniform(0, 2, count)
    return state


@pytest.mark.skipif(not compiled.AVAILABLE, reason="numba is not installed")
@given(st.integers(0, 5), st.integers(0, 5), st.sampled_from([0, 1, 17, 40]), st.integers(0, 2**32 - 1))
@settings(max_examples=50, deadline=None)
def test_compiled_and_numpy_agree(n: int, m: int, k: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    a, b = some(rng, n, k), some(rng, m, k)
    results = []
    for available in (True, False):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(compiled, "AVAILABLE", available)
            results.append(similarities(a, b, CONFIG))
    np.testing.assert_allclose(*results, rtol=1e-12, atol=1e-12)


@given(st.integers(1, 5), st.integers(1, 5), st.integers(0, 2**32 - 1))
@settings(deadline=None)
def test_who_is_believed_chooses_first_and_nobody_is_given_twice(n: int, m: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    alike, confirmed = rng.uniform(0, 1, (2, n, m)) * (rng.random((2, n, m)) < 0.4), rng.random(n) < 0.6
    high, free = rng.random((2, m)) < 0.7
    results = []
    for available in {compiled.AVAILABLE, False}:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(compiled, "AVAILABLE", available)
            rows, columns = matches(*alike, confirmed, high, free, CONFIG)
        assert len(set(rows)) == len(rows) and len(set(columns)) == len(columns) and free[columns].all()
        assert (confirmed[rows] | high[columns]).all()  # what is poor starts no belief
        least = np.where(confirmed, min(CONFIG.similarity, CONFIG.reentry), CONFIG.reentry)
        assert (alike.max(0)[rows, columns] >= least[rows]).all()
        results.append((rows.tolist(), columns.tolist()))
    assert results[0] == results[-1]


@given(st.integers(0, 4), st.integers(0, 4), st.integers(0, 2**32 - 1))
def test_the_assignment_is_the_best_of_all(n: int, m: int, seed: int) -> None:
    alike = np.random.default_rng(seed).uniform(0, 1, (n, m))
    gated = np.where(alike < 0.4, 0.0, alike)
    rows, columns = assign(alike, 0.4)
    assert len(set(rows)) == len(rows) and len(set(columns)) == len(columns)
    assert (alike[rows, columns] >= 0.4).all()
    wide = gated if n <= m else gated.T
    best = max(sum(wide[i, c] for i, c in enumerate(p)) for p in itertools.permutations(range(max(n, m)), min(n, m)))
    assert alike[rows, columns].sum() == pytest.approx(best)
