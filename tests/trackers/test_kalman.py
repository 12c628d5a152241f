"""The filter agrees with filterpy where the models coincide, and its model is one of continuous time."""

from __future__ import annotations

from dataclasses import fields, replace

import numpy as np
import pytest
from filterpy.common import Q_continuous_white_noise
from filterpy.kalman import KalmanFilter
from hypothesis import given, settings
from hypothesis import strategies as st

from trackers import compiled
from trackers.kalman import Motion, steps

GAUSSIAN = np.zeros(3)
ALIKE = np.ones(3)
NEVER = np.zeros(3)
STILL = np.zeros(2)  # bodies whose velocity does not change
STEP = st.tuples(st.floats(1e-3, 2.0), st.lists(st.booleans(), min_size=6, max_size=6))


def start(rng: np.random.Generator, bodies: int = 2, points: int = 3) -> Motion:
    position = rng.uniform(0, 640, (bodies, points, 2))
    return Motion.at(
        position,
        rng.uniform(1, 50, (bodies, points)),
        rng.normal(0, 40, (bodies, 2)),
        np.array(900.0),
        np.zeros((bodies, 1)),
    )


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
    density, noise = rng.uniform(1, 1e4, 2), rng.uniform(1, 100, (2, 3))
    for interval, seen in steps:
        measured = motion.position + rng.normal(0, 20, motion.position.shape)
        measured[~np.array(seen).reshape(2, 3)] = np.nan
        motion = replace(motion, lean=np.zeros_like(motion.lean))  # no more noise than filterpy is told of
        motion = motion.predicted(interval, density, np.inf, STILL)
        motion, _ = motion.corrected(measured, noise, GAUSSIAN, ALIKE, NEVER, NEVER)
        for kf, (body, point) in zip(filters, np.ndindex(2, 3), strict=True):
            kf.F = np.kron(np.eye(2), [[1, interval], [0, 1]])
            kf.Q = Q_continuous_white_noise(2, interval, density[body], block_size=2)
            kf.R = np.eye(2) * noise[body, point]
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
    motion, _ = motion.corrected(motion.position + 7, np.full((2, 3), 4.0), GAUSSIAN, ALIKE, NEVER + 0.1, NEVER + 0.1)
    density, body_density = np.full(2, 1e3), np.full(2, 50.0)
    once = motion.predicted(first + second, density, damping, body_density)
    twice = motion.predicted(first, density, damping, body_density).predicted(second, density, damping, body_density)
    for name in ("position", "velocity", "pp", "pv", "vv", "common"):
        np.testing.assert_allclose(getattr(twice, name), getattr(once, name), rtol=1e-8, atol=1e-8)


def test_weak_damping_is_constant_velocity() -> None:
    motion, density = start(np.random.default_rng(1)), np.full(2, 100.0)
    weak, none = (motion.predicted(0.1, density, damping, STILL) for damping in (1e4, np.inf))
    for name in ("position", "velocity", "pp", "pv", "vv"):
        np.testing.assert_allclose(getattr(weak, name), getattr(none, name), rtol=1e-4)


def test_a_point_that_is_not_seen_soon_moves_with_its_body() -> None:
    motion = start(np.random.default_rng(2), bodies=1)
    motion = replace(motion, velocity=motion.velocity + 300)
    later = motion.predicted(1.0, np.full(1, 10.0), 0.04, STILL[:1])
    np.testing.assert_allclose(later.velocity, np.broadcast_to(motion.body, (1, 3, 2)), atol=1e-6)
    np.testing.assert_allclose(later.position, motion.position + motion.body + 300 * 0.04, atol=1e-6)


def test_an_outlier_is_weighted_down_and_a_plain_measurement_is_not() -> None:
    motion = start(np.random.default_rng(3), bodies=1)
    offset = np.array([0.5, 400.0, np.nan])[:, None] * np.ones(2)
    robust, weight = motion.corrected(
        motion.position + offset, np.full((1, 3), 4.0), np.full(3, 0.2), ALIKE, NEVER, NEVER
    )
    plain, _ = motion.corrected(motion.position + offset, np.full((1, 3), 4.0), GAUSSIAN, ALIKE, NEVER, NEVER)
    assert weight[0, 0] == 1.0 and 0 < weight[0, 1] < 0.01 and weight[0, 2] == 0.0
    np.testing.assert_array_equal(robust.position[0, 0], plain.position[0, 0])
    assert np.abs(robust.position[0, 1] - motion.position[0, 1]).max() < 40
    np.testing.assert_array_equal(robust.position[0, 2], motion.position[0, 2])


def test_what_all_points_have_in_common_moves_the_body_and_those_not_seen() -> None:
    motion = start(np.random.default_rng(4), bodies=1, points=9)
    motion = replace(motion, common=np.array([[400.0], [900.0], [2500.0]]))
    measured = motion.position + 20.0
    measured[0, 8] = np.nan
    later, _ = motion.corrected(measured, np.full((1, 9), 4.0), np.zeros(9), np.ones(9), np.zeros(9), np.zeros(9))
    moved = later.position - motion.position
    assert (moved[0, 8] > 18).all() and (moved[0, :8] > moved[0, 8]).all()
    assert (later.body - motion.body > 40).all()
    assert later.common[0, 0] < 5 and later.common[2, 0] < motion.common[2, 0]


def test_noise_is_learnt_from_the_measurements() -> None:
    rng = np.random.default_rng(5)
    for sigma in (1.0, 6.0):
        motion = start(rng, bodies=1, points=20)
        motion = replace(motion, velocity=np.zeros((1, 20, 2)), body=np.zeros((1, 2)))
        truth, learnt = motion.position, []
        for frame in range(600):
            motion = motion.predicted(1 / 30, np.full(1, 10.0), 0.1, STILL[:1])
            measured = truth + rng.normal(0, sigma, truth.shape)
            motion, _ = motion.corrected(
                measured, np.full((1, 20), 9.0), np.zeros(20), np.ones(20), np.full(20, 0.02), np.full(20, 0.3)
            )
            if frame > 200:
                learnt.append(motion.noise.mean() * 9.0)
        assert np.mean(learnt) == pytest.approx(sigma**2, rel=0.25)


def test_points_that_keep_leaving_in_one_direction_are_followed_sooner() -> None:
    motion = start(np.random.default_rng(6), bodies=1)
    leaning = replace(motion, lean=np.full(motion.lean.shape, 1.5))
    calm, eager = (m.predicted(0.1, np.full(1, 100.0), 0.1, STILL[:1]) for m in (motion, leaning))
    assert (eager.pp > calm.pp).all() and (eager.vv > 2 * calm.vv - 900).all()


@pytest.mark.skipif(not compiled.AVAILABLE, reason="numba is not installed")
@given(st.integers(0, 4), st.integers(2, 9), st.integers(0, 2**32 - 1))
@settings(max_examples=50, deadline=None)
def test_compiled_and_numpy_agree(bodies: int, points: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    motion = start(rng, bodies, points)
    shape = motion.pp.shape
    motion = replace(
        motion, common=rng.uniform(0, 9, (3, 1)) * np.array([[1.0], [0.5], [9]]) * np.ones(bodies),
        noise=rng.uniform(0.2, 5, shape), lean=rng.normal(0, 1, (*shape, 2)), pv=rng.uniform(0, 1, shape),
    )  # fmt: skip
    density, body_density = rng.uniform(0, 1e4, (2, bodies))
    interval, damping = rng.uniform(0, 0.5), 0.07
    ours = motion.predicted(interval, density, damping, body_density)
    agree(ours, motion._predicted(density, body_density, interval, *steps(interval, damping)))
    measured = ours.position + rng.normal(0, 30, ours.position.shape)
    measured[rng.random(shape) < 0.3] = np.nan
    given_ = (
        measured,
        rng.uniform(1, 90, shape),
        rng.uniform(0, 0.3, points),
        rng.uniform(0.01, 1, points),
        *rng.uniform(0, 0.5, (2, points)),
    )
    (seen, weight), (reference, weights) = ours.corrected(*given_), ours._corrected(*given_)
    agree(seen, reference)
    np.testing.assert_allclose(weight, weights, rtol=1e-10)


def agree(a: Motion, b: Motion) -> None:
    for field in fields(a):
        np.testing.assert_allclose(getattr(a, field.name), getattr(b, field.name), rtol=1e-9, atol=1e-9)
