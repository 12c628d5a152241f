"""Similarity falls with distance and uncertainty and never crosses classes; assignment is the best one."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trackers import association, compiled
from trackers.association import Bodies, assign, similarities


def bodies(shift: float = 0.0, *, class_id: int = 0, variance: float = 0.0, k: int = 5, seen: bool = True) -> Bodies:
    keypoints = np.column_stack([np.linspace(10, 40, k), np.linspace(10, 90, k)])
    keypoints[:, 0] += shift
    box = np.array([[shift, 0, shift + 50, 100.0]])
    one = np.ones((1, k))
    return Bodies(box, np.array([class_id]), keypoints[None], one > (not seen), variance * one, 8.0 * one, np.zeros(1))


def strict(a: Bodies, b: Bodies) -> np.ndarray:
    return similarities(a, b)[0]


def lenient(a: Bodies, b: Bodies) -> np.ndarray:
    return similarities(a, b)[1]


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


@pytest.mark.skipif(not compiled.AVAILABLE, reason="numba is not installed")
@given(st.integers(0, 5), st.integers(0, 5), st.sampled_from([0, 1, 17, 40]), st.integers(0, 2**32 - 1))
@settings(max_examples=50, deadline=None)
def test_compiled_and_numpy_agree(n: int, m: int, k: int, seed: int) -> None:
    rng = np.random.default_rng(seed)

    def some(count: int) -> Bodies:
        corner = rng.uniform(0, 100, (count, 2))
        boxes = np.concatenate([corner, corner + rng.uniform(20, 80, (count, 2))], 1)
        points = corner[:, None] + rng.uniform(0, 50, (count, k, 2))
        seen, classes = rng.random((count, k)) < 0.7, rng.integers(0, 2, count)
        return Bodies(
            boxes, classes, points, seen, rng.uniform(1, 50, (count, k)), rng.uniform(2, 9, (count, k)),
            rng.uniform(0, 99, count),
        )  # fmt: skip

    a, b = some(n), some(m)
    for ours, reference in zip(
        similarities(a, b), association._similarities(a, b, slice(None, None, -(-k // 32) or 1)), strict=True
    ):
        np.testing.assert_allclose(ours, reference, rtol=1e-12, atol=1e-12)


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
