"""Where the keypoints of a finished track were, knowing also what came later: Rauch-Tung-Striebel smoothing.

H. E. Rauch, F. Tung, C. T. Striebel, "Maximum likelihood estimates of linear dynamic systems", AIAA Journal 3(8), 1965.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from trackers.config import TrackerConfig
from trackers.kalman import Motion, steps

Floats = NDArray[np.float64]

UNKNOWN_SPEED = 1.0  # sizes / s
MEMORY = 2.0, 0.1  # s, of the noise and of the lean; see `trackers.tracker`


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
    times: Floats,
    measured: Floats,
    sizes: Floats,
    body: Floats,
    noise: Floats,
    config: TrackerConfig,
    learn: bool = True,
) -> tuple[Floats, Floats, Floats, Floats]:
    """Positions and velocities [F, P, 2], variances [F, P] px^2 and the noise learnt [1, P].

    The body's velocities [F, 2] are given; points move on their own beside it. Without `learn` noise is as given.
    """
    frames, points = measured.shape[:2]
    seen = ~np.isnan(measured[..., 0])
    first = measured[seen.argmax(0), np.arange(points)]
    unknown = np.full((1, points), sizes[0] ** 2)
    still = np.zeros((1, 1))
    motion = Motion.at(first[None], unknown, body[:1], (UNKNOWN_SPEED * sizes[:1, None]) ** 2, still)
    heaviness = np.full(points, 1 / config.outliers)
    ahead: list[Motion] = []
    after: list[Motion] = []
    learnt = np.zeros((1, points))
    for frame in range(frames):
        interval = times[frame] - times[frame - 1] if frame else 0.0
        area = sizes[frame : frame + 1] ** 2
        if frame:
            turn = body[frame - 1 : frame] - motion.body
            motion = replace(motion, body=body[frame - 1 : frame], velocity=motion.velocity + turn[:, None])
            motion = motion.predicted(interval, config.process_noise**2 * area, config.damping, np.zeros(1))
        ahead.append(motion)
        learning, memory = (np.full(points, -math.expm1(-interval / seconds) * learn) for seconds in MEMORY)
        assumed = np.broadcast_to(config.measurement_noise**2 * area[:, None] * noise, (1, points)).copy()
        motion, _ = motion.corrected(measured[frame][None], assumed, heaviness, np.zeros(points), learning, memory)
        after.append(motion)
        learnt += motion.noise
    position, velocity, variance = np.empty((frames, points, 2)), np.empty((frames, points, 2)), np.empty(seen.shape)
    later = after[-1]
    x, u = later.position[0], later.velocity[0] - later.body[0]
    pp, pv, vv = later.pp[0], later.pv[0], later.vv[0]
    for frame in range(frames - 1, -1, -1):
        here = after[frame]
        if frame < frames - 1:
            expected = ahead[frame + 1]
            reach, decay, _ = steps(times[frame + 1] - times[frame], config.damping)
            determinant = expected.pp[0] * expected.vv[0] - expected.pv[0] ** 2
            a, b, c = here.pp[0], here.pv[0], here.vv[0]
            cross = a + reach * b, decay * b, b + reach * c, decay * c  # P F'
            g = (
                (cross[0] * expected.vv[0] - cross[1] * expected.pv[0]) / determinant,
                (cross[1] * expected.pp[0] - cross[0] * expected.pv[0]) / determinant,
                (cross[2] * expected.vv[0] - cross[3] * expected.pv[0]) / determinant,
                (cross[3] * expected.pp[0] - cross[2] * expected.pv[0]) / determinant,
            )
            dx, du = x - expected.position[0], u - (expected.velocity[0] - expected.body[0])
            dpp, dpv, dvv = pp - expected.pp[0], pv - expected.pv[0], vv - expected.vv[0]
            x = here.position[0] + g[0][:, None] * dx + g[1][:, None] * du
            u = here.velocity[0] - _body_of(ahead, frame) + g[2][:, None] * dx + g[3][:, None] * du
            pp = a + g[0] ** 2 * dpp + 2 * g[0] * g[1] * dpv + g[1] ** 2 * dvv
            vv_new = c + g[2] ** 2 * dpp + 2 * g[2] * g[3] * dpv + g[3] ** 2 * dvv
            pv = b + g[0] * g[2] * dpp + (g[0] * g[3] + g[1] * g[2]) * dpv + g[1] * g[3] * dvv
            vv = vv_new
        position[frame], velocity[frame], variance[frame] = x, u + body[frame], pp
    return position, velocity, variance, noise * learnt / frames


def _body_of(ahead: list[Motion], frame: int) -> Floats:
    return ahead[frame].body[0]
