"""Smoothing is nearer the truth and steadier than filtering, fills gaps, and equals filterpy where models coincide."""

from __future__ import annotations

import math

import numpy as np
import pytest
from filterpy.common import Q_continuous_white_noise
from filterpy.kalman import KalmanFilter

from xpose_stream.trackers import TrackerConfig, compiled, smoothing
from xpose_stream.trackers.smoothing import _both_ways, smooth

SIZE = 200.0


def swing(frames: int = 200) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Times, truth [F, 3, 2] and noisy measurements of three points on a body that walks."""
    rng = np.random.default_rng(0)
    times = np.cumsum(rng.uniform(0.02, 0.05, frames))
    phase = 5 * times[:, None] + np.arange(3)
    truth = np.stack([60 * times[:, None] + 25 * np.sin(phase), 100 + 10 * np.cos(phase)], -1)
    return times, truth, truth + rng.normal(0, 3, truth.shape)


def test_a_smoothed_track_is_near_the_truth_and_its_variance_says_how_near() -> None:
    times, truth, measured = swing()
    result = smooth(times, measured, np.full(200, SIZE), truth.mean(1), TrackerConfig())
    error = result.keypoints - truth
    assert np.sqrt((error**2).mean()) < 0.6 * 3
    assert ((error**2).sum(-1) / result.variances < 5.991).mean() > 0.9
    speed = np.gradient(truth, times, axis=0)
    assert np.abs(result.velocities - speed)[5:-5].mean() < 25


def test_gaps_are_filled_and_what_was_never_seen_stays_unknown() -> None:
    times, truth, measured = swing()
    measured[80:92, 1] = np.nan
    measured[:, 2] = np.nan
    result = smooth(times, measured, np.full(200, SIZE), truth.mean(1), TrackerConfig())
    assert np.abs(result.keypoints[80:92, 1] - truth[80:92, 1]).max() < 20
    assert result.variances[86, 1] > 2 * result.variances[60, 1]
    assert np.isnan(result.keypoints[:, 2]).all() and np.isnan(result.variances[:, 2]).all()


@pytest.mark.parametrize("frames", [1, 2])
def test_the_shortest_tracks_can_be_smoothed(frames: int) -> None:
    times, truth, measured = swing(frames)
    result = smooth(times, measured, np.full(frames, SIZE), truth.mean(1), TrackerConfig())
    assert np.isfinite(result.keypoints).all() and (result.variances > 0).all()


def test_constant_velocity_equals_filterpys_rts_smoother(monkeypatch: pytest.MonkeyPatch) -> None:
    for memory in ("NOISE_MEMORY", "LEAN_MEMORY"):  # so long that nothing is learnt
        monkeypatch.setattr(smoothing, memory, math.inf)
    times, _, measured = swing(30)
    config = TrackerConfig(damping=math.inf, outliers=math.inf, process_noise=0.1)
    sizes = np.full(30, SIZE)
    noise = np.ones((1, 3))
    position, _, variance, _ = _both_ways(times, measured, sizes, np.zeros((30, 2)), noise, config)
    for point in range(3):
        kf = KalmanFilter(2, 1)
        kf.x, kf.P = np.array([measured[0, point, 0], 0.0]), np.diag([SIZE**2, SIZE**2])
        kf.H, kf.R = np.array([[1.0, 0]]), np.eye(1) * (config.measurement_noise * SIZE) ** 2
        kf.update(measured[0, point, 0])
        means, covariances, steps, noises = [kf.x.copy()], [kf.P.copy()], [np.eye(2)], [np.eye(2)]
        for interval, z in zip(np.diff(times), measured[1:, point, 0], strict=True):
            kf.F = np.array([[1, interval], [0, 1]])
            kf.Q = Q_continuous_white_noise(2, interval, (config.process_noise * SIZE) ** 2)
            kf.predict()
            kf.update(z)
            means.append(kf.x.copy())
            covariances.append(kf.P.copy())
            steps.append(kf.F.copy())
            noises.append(kf.Q.copy())
        x, p, _, _ = kf.rts_smoother(np.array(means), np.array(covariances), steps, noises)
        np.testing.assert_allclose(position[:, point, 0], x[:, 0], atol=1e-6)
        np.testing.assert_allclose(variance[:, point], p[:, 0, 0], rtol=1e-6)


@pytest.mark.parametrize("config", [TrackerConfig(), TrackerConfig(damping=math.inf), TrackerConfig.preset("mocap")])
def test_compiled_smoothing_equals_numpys(config: TrackerConfig, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("numba")
    times, truth, measured = swing()
    measured[50:70, 1] = np.nan
    ours = smooth(times, measured, np.linspace(180, 220, 200), truth.mean(1), config)
    monkeypatch.setattr(compiled, "AVAILABLE", False)
    theirs = smooth(times, measured, np.linspace(180, 220, 200), truth.mean(1), config)
    for name in ("keypoints", "velocities", "variances"):
        np.testing.assert_allclose(getattr(ours, name), getattr(theirs, name), rtol=1e-8, atol=1e-8)
