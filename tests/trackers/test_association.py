"""Similarity falls with distance and uncertainty and never crosses classes; assignment is the best one."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trackers.association import Bodies, assign, similarity


def bodies(shift: float = 0.0, *, class_id: int = 0, variance: float = 0.0, k: int = 5, seen: bool = True) -> Bodies:
    keypoints = np.column_stack([np.linspace(10, 40, k), np.linspace(10, 90, k)])
    keypoints[:, 0] += shift
    box = np.array([[shift, 0, shift + 50, 100.0]])
    one = np.ones((1, k))
    return Bodies(box, np.array([class_id]), keypoints[None], one > (not seen), variance * one, 8.0 * one)


def test_the_same_thing_is_wholly_similar() -> None:
    assert similarity(bodies(), bodies()) == pytest.approx(1.0)


def test_similarity_falls_with_distance_and_with_the_tracks_uncertainty() -> None:
    near, far = (similarity(bodies(), bodies(shift))[0, 0] for shift in (4.0, 12.0))
    assert 1 > near > far > 0
    assert similarity(bodies(variance=100.0), bodies())[0, 0] < 1
    assert similarity(bodies(variance=100.0), bodies(24.0)) > similarity(bodies(), bodies(24.0))


def test_classes_are_never_similar() -> None:
    assert similarity(bodies(class_id=1), bodies(class_id=2)) == 0.0


def test_without_common_keypoints_boxes_decide() -> None:
    assert similarity(bodies(), bodies(25.0, seen=False)) == pytest.approx(1 / 3)


@pytest.mark.parametrize("k", [0, 1, 32, 33, 133])
def test_any_number_of_keypoints_is_compared(k: int) -> None:
    assert similarity(bodies(k=k), bodies(k=k)) == pytest.approx(1.0)


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
