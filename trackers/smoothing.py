"""Where the keypoints of a finished track were, knowing also what came later: Rauch-Tung-Striebel smoothing.

H. E. Rauch, F. Tung, C. T. Striebel, "Maximum likelihood estimates of linear dynamic systems", AIAA Journal 3(8), 1965.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from xpose_stream.trackers import compiled
from xpose_stream.trackers.config import TrackerConfig
from xpose_stream.trackers.kalman import CHANCE, EAGER, LIMIT, MOST, NOISE_RANGE, Motion, steps
from xpose_stream.trackers.state import LEAN_MEMORY, NOISE_MEMORY, UNKNOWN_SPEED

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Smoothed:
    """A track at all its times: keypoints [F, K, 2] px, velocities px/s, variances [F, K] px^2 on each axis.

    NaN for keypoints that were never seen.
    """

    keypoints: Floats
    velocities: Floats
    variances: Floats


def smooth(times: Floats, measured: Floats, sizes: Floats, centres: Floats, config: TrackerConfig) -> Smoothed:
    """Smooth one track.

    Args:
        times: [F] s, increasing.
        measured: [F, K, 2] px, NaN where there is nothing.
        sizes: [F] px, the longer side of the box.
        centres: [F, 2] px of the body, on its whole way.
        config: of the tracker that followed it.
    """
    known = ~np.isnan(measured[..., 0]).all(0)
    shape = measured.shape
    result = Smoothed(np.full(shape, np.nan), np.full(shape, np.nan), np.full(shape[:2], np.nan))
    if not known.any() or not len(times):
        return result
    gliding = replace(config, damping=math.inf, process_noise=2 * config.body_noise, outliers=math.inf)
    still = np.zeros((len(times), 2))
    _, body, _ = _both_ways(times, centres[:, None], sizes, still, np.ones((1, 1)), gliding)[:3]
    noise = np.ones((1, int(known.sum())))
    for _ in range(2):  # the second time with the noise that the first has learnt
        position, velocity, variance, noise = _both_ways(times, measured[:, known], sizes, body[:, 0], noise, config)
    result.keypoints[:, known], result.velocities[:, known] = position, velocity
    slow = config.slow * (config.measurement_noise * sizes[:, None]) ** 2 * noise
    result.variances[:, known] = variance + slow
    return result


def _both_ways(
    times: Floats, measured: Floats, sizes: Floats, body: Floats, noise: Floats, config: TrackerConfig
) -> tuple[Floats, Floats, Floats, Floats]:
    """Positions and velocities [F, P, 2], variances [F, P] px^2 and the noise learnt [1, P].

    The body's velocities [F, 2] are given; points move on their own beside it.
    """
    frames, points = measured.shape[:2]
    seen = ~np.isnan(measured[..., 0])
    first = measured[seen.argmax(0), np.arange(points)]
    unknown = np.full((1, points), sizes[0] ** 2)
    motion = Motion.at(first[None], unknown, body[:1], (UNKNOWN_SPEED * sizes[:1, None]) ** 2, np.zeros(1))
    if config.filter == "fast" and compiled.AVAILABLE:
        return _compiled(motion, times, measured, sizes, body, noise, config)
    terms = np.zeros((4, points))
    terms[0] = 1 / config.outliers
    ahead: list[Motion] = []
    after: list[Motion] = []
    learnt = np.zeros((1, points))
    for frame in range(frames):
        interval = times[frame] - times[frame - 1] if frame else 0.0
        area = sizes[frame : frame + 1] ** 2
        if frame:
            motion = motion.copy()
            motion.points["velocity"] += body[frame - 1] - motion.bodies["velocity"]
            motion.bodies["velocity"] = body[frame - 1]
            density = config.process_noise**2 * area
            motion = motion.predicted(interval, density, config.damping, np.zeros(1), config.filter)
        ahead.append(motion)
        terms[2:] = [[-math.expm1(-interval / seconds)] for seconds in (NOISE_MEMORY, LEAN_MEMORY)]
        assumed = np.broadcast_to(config.measurement_noise**2 * area[:, None] * noise, (1, points)).copy()
        motion = motion.corrected(measured[frame][None], assumed, terms, config.filter)
        after.append(motion)
        learnt += motion.points["noise"]
    position, velocity, variance = np.empty((frames, points, 2)), np.empty((frames, points, 2)), np.empty(seen.shape)
    x, p = _own(after[-1])
    for frame in range(frames - 1, -1, -1):
        if frame < frames - 1:
            reach, decay, _ = steps(times[frame + 1] - times[frame], config.damping)
            here, p_here = _own(after[frame])
            expected, p_expected = _own(ahead[frame + 1])
            gain = p_here @ np.array([[1.0, 0.0], [reach, decay]]) @ np.linalg.inv(p_expected)
            x = here + gain @ (x - expected)
            p = p_here + gain @ (p - p_expected) @ gain.transpose(0, 2, 1)
        position[frame], velocity[frame], variance[frame] = x[:, 0], x[:, 1] + body[frame], p[:, 0, 0]
    return position, velocity, variance, noise * learnt / frames


def _compiled(
    motion: Motion, times: Floats, measured: Floats, sizes: Floats, body: Floats, noise: Floats, config: TrackerConfig
) -> tuple[Floats, Floats, Floats, Floats]:
    times, measured, sizes, body = map(np.array, (times, measured, sizes, body))  # of one kind: compiled once
    states, learnt = compiled.smooth(
        motion.points, motion.bodies, times, measured, sizes, body,
        config.measurement_noise**2 * sizes[:, None] ** 2 * noise, 1 / config.outliers, (NOISE_MEMORY, LEAN_MEMORY),
        config.process_noise**2 * sizes**2, float(config.damping), (EAGER, CHANCE, LIMIT), MOST, NOISE_RANGE,
    )  # fmt: skip
    return states[..., :2], states[..., 2:4] + body[:, None], states[..., 4], noise * learnt[None] / len(times)


def _own(motion: Motion) -> tuple[Floats, Floats]:
    """Position and velocity beside the body's of each point of a body, [P, 2, 2], and their covariance [P, 2, 2]."""
    points = motion.points[0]
    x = np.stack([points["position"], points["velocity"] - motion.bodies["velocity"]], 1)
    p = np.stack([points["pp"], points["pv"], points["pv"], points["vv"]], 1)
    return x, p.reshape(-1, 2, 2)
