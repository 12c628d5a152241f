"""The filter agrees with filterpy where the models coincide, and its model is one of continuous time."""

from __future__ import annotations

import numpy as np
import pytest
from filterpy.common import Q_continuous_white_noise
from filterpy.kalman import KalmanFilter
from hypothesis import given, settings
from hypothesis import strategies as st

from xpose_stream.trackers import compiled
from xpose_stream.trackers.kalman import BODY, POINT, Motion

PLAIN = np.array([[0.0], [1], [0], [0]]) * np.ones(3)  # Gaussian noise, points alike, nothing learnt
STILL = np.zeros(2)  # bodies whose velocity does not change
STEP = st.tuples(st.floats(1e-3, 2.0), st.lists(st.booleans(), min_size=6, max_size=6))


def start(rng: np.random.Generator, bodies: int = 2, points: int = 3) -> Motion:
    position = rng.uniform(0, 640, (bodies, points, 2))
    return Motion.at(
        position,
        rng.uniform(1, 50, (bodies, points)),
        rng.normal(0, 40, (bodies, 2)),
        np.array([[900.0]]),
        np.zeros(bodies),
    )


def but(motion: Motion, **fields: np.ndarray) -> Motion:
    """The same with other `fields` of its points."""
    other = motion.copy()
    for name, value in fields.items():
        other.points[name] = value
    return other


def oracles(motion: Motion) -> list[KalmanFilter]:
    filters = []
    for point in motion.points.ravel():
        kf = KalmanFilter(4, 2)  # x, vx, y, vy
        kf.x = np.stack([point["position"], point["velocity"]], 1).ravel()
        kf.P = np.kron(np.eye(2), np.diag([point["pp"], point["vv"]]))
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
        measured = motion.points["position"] + rng.normal(0, 20, (2, 3, 2))
        measured[~np.array(seen).reshape(2, 3)] = np.nan
        motion = but(motion, lean=0.0)  # no more noise than filterpy is told of
        motion = motion.predicted(interval, density, np.inf, STILL)
        motion = motion.corrected(measured, noise, PLAIN)
        for kf, (body, point) in zip(filters, np.ndindex(2, 3), strict=True):
            kf.F = np.kron(np.eye(2), [[1, interval], [0, 1]])
            kf.Q = Q_continuous_white_noise(2, interval, density[body], block_size=2)
            kf.R = np.eye(2) * noise[body, point]
            kf.predict()
            kf.update(None if np.isnan(measured[body, point, 0]) else measured[body, point])
    for kf, (body, point) in zip(filters, np.ndindex(2, 3), strict=True):
        found = motion.points[body, point]
        np.testing.assert_allclose(found["position"], kf.x[::2], rtol=0, atol=1e-9)
        np.testing.assert_allclose(found["velocity"], kf.x[1::2], rtol=1e-11, atol=1e-9)
        ours = [found["pp"], found["pv"], found["vv"]]
        np.testing.assert_allclose(ours, kf.P[[0, 0, 1], [0, 1, 1]], rtol=1e-9)


@given(st.floats(1e-3, 1.0), st.floats(1e-3, 1.0), st.sampled_from([0.02, 0.04, 0.5, np.inf]))
@settings(deadline=None)
def test_one_long_step_equals_two_short_ones(first: float, second: float, damping: float) -> None:
    motion = start(np.random.default_rng(0))
    terms = np.array([[0.0], [1], [0.1], [0.1]]) * np.ones(3)
    motion = motion.corrected(motion.points["position"] + 7, np.full((2, 3), 4.0), terms)
    density, body_density = np.full(2, 1e3), np.full(2, 50.0)
    once = motion.predicted(first + second, density, damping, body_density)
    twice = motion.predicted(first, density, damping, body_density).predicted(second, density, damping, body_density)
    agree(once, twice, 1e-8)


def test_weak_damping_is_constant_velocity() -> None:
    motion, density = start(np.random.default_rng(1)), np.full(2, 100.0)
    weak, none = (motion.predicted(0.1, density, damping, STILL) for damping in (1e4, np.inf))
    for name in ("position", "velocity", "pp", "pv", "vv"):
        np.testing.assert_allclose(weak.points[name], none.points[name], rtol=1e-4)


def test_a_point_that_is_not_seen_soon_moves_with_its_body() -> None:
    motion = start(np.random.default_rng(2), bodies=1)
    motion = but(motion, velocity=motion.points["velocity"] + 300)
    later = motion.predicted(1.0, np.full(1, 10.0), 0.04, STILL[:1])
    body = motion.bodies["velocity"]
    np.testing.assert_allclose(later.points["velocity"], np.broadcast_to(body, (1, 3, 2)), atol=1e-6)
    np.testing.assert_allclose(later.points["position"], motion.points["position"] + body + 300 * 0.04, atol=1e-6)


def test_an_outlier_is_weighted_down_and_a_plain_measurement_is_not() -> None:
    motion = start(np.random.default_rng(3), bodies=1)
    offset = np.array([0.5, 400.0, np.nan])[:, None] * np.ones(2)
    here, noise = motion.points["position"], np.full((1, 3), 4.0)
    heavy = np.array([[0.2], [1], [0], [0]]) * np.ones(3)
    robust, plain = (motion.corrected(here + offset, noise, terms).points for terms in (heavy, PLAIN))
    weight = robust["weight"]
    assert weight[0, 0] == 1.0 and 0 < weight[0, 1] < 0.01 and weight[0, 2] == 0.0
    np.testing.assert_array_equal(robust["position"][0, 0], plain["position"][0, 0])
    assert np.abs(robust["position"][0, 1] - here[0, 1]).max() < 40
    np.testing.assert_array_equal(robust["position"][0, 2], here[0, 2])


def test_what_all_points_have_in_common_moves_the_body_and_those_not_seen() -> None:
    motion = start(np.random.default_rng(4), bodies=1, points=9)
    motion.bodies["pp"], motion.bodies["pv"], motion.bodies["vv"] = 400.0, 900.0, 2500.0
    measured = motion.points["position"] + 20.0
    measured[0, 8] = np.nan
    later = motion.corrected(measured, np.full((1, 9), 4.0), np.array([[0.0], [1], [0], [0]]) * np.ones(9))
    moved = later.points["position"] - motion.points["position"]
    assert (moved[0, 8] > 18).all() and (moved[0, :8] > moved[0, 8]).all()
    assert (later.bodies["velocity"] - motion.bodies["velocity"] > 40).all()
    assert later.bodies["pp"] < 5 and later.bodies["vv"] < motion.bodies["vv"]


def test_noise_is_learnt_from_the_measurements() -> None:
    rng = np.random.default_rng(5)
    for sigma in (1.0, 6.0):
        motion = start(rng, bodies=1, points=20)
        motion = but(motion, velocity=0.0)
        motion.bodies["velocity"] = 0.0
        truth, learnt = motion.points["position"], []
        terms = np.array([[0.0], [1], [0.02], [0.3]]) * np.ones(20)
        for frame in range(600):
            motion = motion.predicted(1 / 30, np.full(1, 10.0), 0.1, STILL[:1])
            measured = truth + rng.normal(0, sigma, truth.shape)
            motion = motion.corrected(measured, np.full((1, 20), 9.0), terms)
            if frame > 200:
                learnt.append(motion.points["noise"].mean() * 9.0)
        assert np.mean(learnt) == pytest.approx(sigma**2, rel=0.25)


def test_points_that_keep_leaving_in_one_direction_are_followed_sooner() -> None:
    motion = start(np.random.default_rng(6), bodies=1)
    both = (motion, but(motion, lean=1.5))
    calm, eager = (m.predicted(0.1, np.full(1, 100.0), 0.1, STILL[:1]).points for m in both)
    assert (eager["pp"] > calm["pp"]).all() and (eager["vv"] > 2 * calm["vv"] - 900).all()


@pytest.mark.skipif(not compiled.AVAILABLE, reason="numba is not installed")
@given(st.integers(0, 4), st.integers(2, 9), st.integers(0, 2**32 - 1))
@settings(max_examples=50, deadline=None)
def test_compiled_and_numpy_agree(bodies: int, points: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    motion, shape = start(rng, bodies, points), (bodies, points)
    motion = but(
        motion, noise=rng.uniform(0.2, 5, shape), lean=rng.normal(0, 1, (*shape, 2)), pv=rng.uniform(0, 1, shape)
    )
    for name, value in (("pp", 9.0), ("pv", 4.5), ("vv", 81.0)):
        motion.bodies[name] = value * rng.uniform(0, 1)
    densities, interval = rng.uniform(0, 1e4, (2, bodies)), rng.uniform(0, 0.5)
    measured = motion.points["position"] + rng.normal(0, 30, (*shape, 2))
    measured[rng.random(shape) < 0.3] = np.nan
    assumed = rng.uniform(1, 90, shape)
    terms = np.array([rng.uniform(0, most, points) for most in (0.3, 1, 0.5, 0.5)])
    results = []
    for available in (True, False):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(compiled, "AVAILABLE", available)
            moved = motion.predicted(interval, densities[0], 0.07, densities[1])
            results.append((moved, moved.corrected(measured, assumed, terms)))
    for ours, reference in zip(*results, strict=True):
        agree(ours, reference, 1e-9)


def agree(a: Motion, b: Motion, tolerance: float) -> None:
    for one, other, kind in ((a.points, b.points, POINT), (a.bodies, b.bodies, BODY)):
        for name in kind.names or ():
            np.testing.assert_allclose(one[name], other[name], rtol=tolerance, atol=tolerance, err_msg=name)
