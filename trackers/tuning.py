"""Fits what a tracker assumes of motion and noise to tracks that were recorded."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from xpose_stream.trackers.config import TrackerConfig
from xpose_stream.trackers.kalman import Motion
from xpose_stream.trackers.state import OWN_SPEED

Floats = NDArray[np.float64]

FITTED = ("measurement_noise", "process_noise", "damping", "body_noise")
RANGES = ((1e-4, 0.3), (0.05, 100.0), (0.01, 2.0), (0.01, 20.0))
ROUNDS = 120  # evaluations of the likelihood
LEANING = 0.3  # share of a new innovation in the running mean, at 30 frames/s
FREEDOM = 5.0  # degrees of freedom of the likelihood where the tracker's noise is Gaussian


@dataclass(frozen=True, slots=True)
class Way:
    """What was measured of one track: times [F] s, keypoints [F, K, 2] px (NaN: nothing), sizes [F] px."""

    times: Floats
    measured: Floats
    sizes: Floats


def fit(ways: Sequence[Way], start: TrackerConfig, progress: Callable[[int, int], None] | None = None) -> TrackerConfig:
    """`start` with the `FITTED` settings under which the next measurement is foretold best (maximum likelihood).

    Args:
        ways: of tracks, longer ones tell more.
        start: where the search begins, and the other settings.
        progress: called with evaluations done and at most to be done.

    Raises:
        ValueError: nothing was measured twice.
    """
    if not any((~np.isnan(way.measured[..., 0])).sum() > way.measured.shape[1] for way in ways):
        raise ValueError("No track has been measured twice; record something that moves for some seconds.")
    done = 0

    def cost(logs: Floats) -> float:
        nonlocal done
        done += 1
        if progress:
            progress(min(done, ROUNDS), ROUNDS)
        values = [float(np.clip(math.exp(v), *r)) for v, r in zip(logs, RANGES, strict=True)]
        away = sum(max(math.log(r[0]) - v, v - math.log(r[1]), 0.0) for v, r in zip(logs, RANGES, strict=True))
        return surprise(ways, _with(start, values)) + away

    first = [math.log(float(np.clip(getattr(start, name), *r))) for name, r in zip(FITTED, RANGES, strict=True)]
    found = minimize(
        cost, np.array(first), method="Nelder-Mead", options={"maxfev": ROUNDS, "xatol": 0.02, "fatol": 1e-4}
    )
    values = [float(np.clip(math.exp(v), *r)) for v, r in zip(found.x, RANGES, strict=True)]
    return _with(start, values)


def _with(config: TrackerConfig, values: Sequence[float]) -> TrackerConfig:
    fitted: dict[str, Any] = dict(zip(FITTED, values, strict=True))
    return replace(config, **fitted)


def surprise(ways: Sequence[Way], config: TrackerConfig) -> float:
    """Mean negative log-likelihood of the measurements, each foretold from those before it, Student-t noise."""
    freedom = config.outliers if math.isfinite(config.outliers) else FREEDOM
    total, count = 0.0, 0
    for way in ways:
        size = way.sizes[:1, None]
        points = way.measured.shape[1]
        # Learning nothing of the noise here: its size is what is looked for.
        terms = np.array([1 / config.outliers, 1.0, 0.0, LEANING])[:, None].repeat(points, 1)
        seen: Any = np.isfinite(way.measured).all(-1)
        first = np.where(seen.any(0)[:, None], way.measured[seen.argmax(0), np.arange(points)], 0.0)
        motion = Motion.at(first[None], size**2, np.zeros((1, 2)), (OWN_SPEED * size) ** 2, size[0] ** 2)
        for frame in range(len(way.times)):
            area = way.sizes[frame : frame + 1] ** 2
            if frame:
                interval = way.times[frame] - way.times[frame - 1]
                motion = motion.predicted(
                    interval, config.process_noise**2 * area, config.damping, config.body_noise**2 * area
                )
            assumed = np.full((1, points), config.measurement_noise**2 * area[0])
            if frame:
                spread = (motion.variance() + assumed)[0]
                off = ((way.measured[frame] - motion.points["position"][0]) ** 2).sum(-1)
                loss = np.log(spread) + (freedom + 2) / 2 * np.log1p(off / (freedom * spread))
                earlier = seen[:frame].any(0) & seen[frame]
                total += float(loss[earlier].sum())
                count += int(earlier.sum())
            motion = motion.corrected(way.measured[frame][None], assumed, terms)
    return total / max(count, 1)
