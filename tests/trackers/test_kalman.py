"""The filter agrees with filterpy where the models coincide, and its model is one of continuous time."""

from __future__ import annotations

import numpy as np
import pytest
from filterpy.common import Q_continuous_white_noise
from filterpy.kalman import KalmanFilter
from hypothesis import given, settings
from hypothesis import strategies as st

from trackers.kalman import Motion

GAUSSIAN = np.zeros(3)
ALIKE = np.ones((1, 3))
STEP = st.tuples(st.floats(1e-3, 2.0), st.lists(st.booleans(), min_size=6, max_size=6))


def start(rng: np.random.Generator, bodies: int = 2, points: int = 3) -> Motion:
    position = rng.uniform(0, 640, (bodies, points, 2))
    return Motion.at(position, rng.uniform(1, 50, (bodies, points)), rng.normal(0, 40, (bodies, 2)), np.array(900.0))


def oracles(motion: Motion) -> list[KalmanFilter]:
    filters = []
    for body, point in np.ndindex(motion.pp.shape):
        kf = KalmanFilter(4, 2)  # x, vx, y, vy
        kf.x = np.stack([motion.position[body, point], motion.velocity[body, point]], 1).ravel()
        kf.P = np.kron(np.eye(2), np.diag([motion.pp[body, point], motion.vv[body, point]]))
        kf.H = np.array([[1.0, 0, 0, 0], [0, 0, 1, 0]])
        filters.append(kf)
    return filters


@given(st.lists(STEP, min_size=1, max_size=25), st.integers(0, 2**32 - 1))
@settings(max_examples=30, deadline=None)
def test_constant_velocity_equals_filterpy(steps: list[tuple[float, list[bool]]], seed: int) -> None:
    rng = np.random.default_rng(seed)
    motion = start(rng)
    filters = oracles(motion)
    density, noise = rng.uniform(1, 1e4, (2, 1)), rng.uniform(1, 100, (2, 1))
    for interval, seen in steps:
        measured = motion.position + rng.normal(0, 20, motion.position.shape)
        measured[~np.array(seen).reshape(2, 3)] = np.nan
        motion = motion.predicted(interval, density, np.inf)
        motion, _ = motion.corrected(measured, noise, GAUSSIAN, ALIKE)
        for kf, (body, point) in zip(filters, np.ndindex(2, 3), strict=True):
            kf.F = np.kron(np.eye(2), [[1, interval], [0, 1]])
            kf.Q = Q_continuous_white_noise(2, interval, density[body, 0], block_size=2)
            kf.R = np.eye(2) * noise[body, 0]
            kf.predict()
            kf.update(None if np.isnan(measured[body, point, 0]) else measured[body, point])
    for kf, (body, point) in zip(filters, np.ndindex(2, 3), strict=True):
        np.testing.assert_allclose(motion.position[body, point], kf.x[::2], rtol=0, atol=1e-9)
        np.testing.assert_allclose(motion.velocity[body, point], kf.x[1::2], rtol=1e-11, atol=1e-9)
        ours = [motion.pp[body, point], motion.pv[body, point], motion.vv[body, point]]
        np.testing.assert_allclose(ours, kf.P[[0, 0, 1], [0, 1, 1]], rtol=1e-9)


@given(st.floats(1e-3, 1.0), st.floats(1e-3, 1.0), st.sampled_from([0.02, 0.04, 0.5, np.inf]))
@settings(deadline=None)
def test_one_long_step_equals_two_short_ones(first: float, second: float, damping: float) -> None:
    motion = start(np.random.default_rng(0))
    motion, _ = motion.corrected(motion.position + 7, np.full((2, 1), 4.0), GAUSSIAN, ALIKE)
    density = np.full((2, 1), 1e3)
    once = motion.predicted(first + second, density, damping)
    twice = motion.predicted(first, density, damping).predicted(second, density, damping)
    for name in ("position", "velocity", "pp", "pv", "vv"):
        np.testing.assert_allclose(getattr(twice, name), getattr(once, name), rtol=1e-8, atol=1e-8)


def test_weak_damping_is_constant_velocity() -> None:
    motion, density = start(np.random.default_rng(1)), np.full((2, 1), 100.0)
    weak, none = motion.predicted(0.1, density, 1e4), motion.predicted(0.1, density, np.inf)
    for name in ("position", "velocity", "pp", "pv", "vv"):
        np.testing.assert_allclose(getattr(weak, name), getattr(none, name), rtol=1e-4)


def test_a_point_that_is_not_seen_soon_moves_with_its_body() -> None:
    motion = start(np.random.default_rng(2), bodies=1)
    motion = Motion(motion.position, motion.velocity + 300, motion.body, motion.pp, motion.pv, motion.vv)
    later = motion.predicted(1.0, np.full((1, 1), 10.0), 0.04)
    np.testing.assert_allclose(later.velocity, np.broadcast_to(motion.body, (1, 3, 2)), atol=1e-6)
    np.testing.assert_allclose(later.position, motion.position + motion.body + 300 * 0.04, atol=1e-6)


def test_an_outlier_is_weighted_down_and_a_plain_measurement_is_not() -> None:
    motion = start(np.random.default_rng(3), bodies=1)
    offset = np.array([0.5, 400.0, np.nan])[:, None] * np.ones(2)
    robust, weight = motion.corrected(motion.position + offset, np.full((1, 1), 4.0), np.full(3, 0.2), ALIKE)
    plain, _ = motion.corrected(motion.position + offset, np.full((1, 1), 4.0), GAUSSIAN, ALIKE)
    assert weight[0, 0] == 1.0 and 0 < weight[0, 1] < 0.01 and weight[0, 2] == 0.0
    np.testing.assert_array_equal(robust.position[0, 0], plain.position[0, 0])
    assert np.abs(robust.position[0, 1] - motion.position[0, 1]).max() < 40
    np.testing.assert_array_equal(robust.position[0, 2], motion.position[0, 2])


def test_the_body_moves_as_its_best_known_points_do() -> None:
    motion = start(np.random.default_rng(4), bodies=1)
    motion = Motion(
        motion.position, np.array([[[10.0, 0], [10, 0], [90, 90]]]), motion.body, motion.pp, motion.pv,
        np.array([[1.0, 1.0, 1e12]]),
    )  # fmt: skip
    corrected, _ = motion.corrected(np.full((1, 3, 2), np.nan), np.full((1, 1), 4.0), GAUSSIAN, ALIKE)
    assert corrected.body[0] == pytest.approx([10, 0], abs=1e-6)
    led, _ = motion.corrected(np.full((1, 3, 2), np.nan), np.full((1, 1), 4.0), GAUSSIAN, np.array([[0, 0, 1.0]]))
    assert led.body[0] == pytest.approx([90, 90])
