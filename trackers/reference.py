"""The motion's filter written with filterpy, a point at a time: slow, and what the fast ones must equal.

A tracker uses it where `TrackerConfig.filter` is "reference" (`--tracker reference`). Only what is no
Kalman filter's is our own: the weights of Student's t, how a body moves with its points, and what is learnt of noise.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from filterpy.common import Q_continuous_white_noise, van_loan_discretization
from filterpy.kalman import predict as kalman_predict
from filterpy.kalman import update as kalman_update
from numpy.typing import NDArray

Floats = NDArray[np.float64]
_MEASURED = np.array([[1.0, 0.0]])  # of a state [position, velocity]


def predict(
    points: Any, bodies: Any, density: Floats, body_density: Floats, interval: float, damping: float, eager: Any
) -> None:
    """Move points [T, P] on bodies [T] on by `interval` s: see `Motion.predicted`.

    A point's own velocity is an Ornstein-Uhlenbeck process about its body's, made discrete by van Loan's method.
    """
    strength, chance, limit = eager
    process = np.array([[0.0, 1.0], [0.0, -1.0 / damping]])
    for body, own, noise, body_noise in zip(bodies, points, density, body_density, strict=True):
        velocity = body["velocity"].copy()
        for point in own:
            surprise = (point["lean"] ** 2).sum() / 2
            acceleration = noise * (1 + np.clip(strength * (surprise - chance), 0.0, limit))
            step, spread = van_loan_discretization(process, np.array([[0.0], [np.sqrt(acceleration)]]), interval)
            state = np.array([point["position"], point["velocity"] - velocity])
            state, covariance = kalman_predict(state, _covariance(point), step, spread)
            point["position"], point["velocity"] = state[0] + interval * velocity, state[1] + velocity
            _keep(point, covariance)
            point["measured"], point["score"], point["weight"] = np.nan, np.nan, 0.0
        drift = Q_continuous_white_noise(2, interval, body_noise)
        _keep(body, kalman_predict(np.zeros(2), _covariance(body), np.array([[1.0, interval], [0.0, 1.0]]), drift)[1])


def correct(
    points: Any, bodies: Any, measured: Floats, assumed: Floats, terms: Floats, most: float, noise_range: Any
) -> None:
    """Correct points and bodies by what was measured [T, P, 2]: see `Motion.corrected`."""
    points["measured"], points["weight"] = measured, 0.0
    variance = assumed * points["noise"]
    for body, own, seen_at, noise in zip(bodies, points, measured, variance, strict=True):
        seen = ~np.isnan(seen_at.sum(1))
        shift, faster = _correct_body(body, own[seen], seen_at[seen], noise[seen], terms[:, seen])
        own["position"] += shift
        own["velocity"] += faster
        for index in np.flatnonzero(seen):
            _correct_point(own[index], seen_at[index], noise[index], terms[:, index], most, noise_range)


def _correct_body(body: Any, points: Any, measured: Floats, variance: Floats, terms: Floats) -> tuple[Floats, Floats]:
    """Update a body by the mean of its points' innovations; returns how it moved [2] px and got faster [2] px/s."""
    heaviness, guidance, _, _ = terms
    innovation = measured - points["position"]
    alone = points["pp"] + variance
    information = guidance * _weight((innovation**2).sum(1), alone + body["pp"], heaviness) / alone
    if not information.sum() > 0:
        return np.zeros(2), np.zeros(2)
    mean, noise = information @ innovation / information.sum(), 1 / information.sum()
    before, covariance = body["velocity"].copy(), _covariance(body)
    axes = zip(mean, before, strict=True)
    states = [kalman_update(np.array([0.0, speed]), covariance, at, noise, _MEASURED) for at, speed in axes]
    body["velocity"] = [state[1] for state, _ in states]
    _keep(body, states[0][1])
    return np.array([state[0] for state, _ in states]), body["velocity"] - before


def _correct_point(
    point: Any, measured: Floats, variance: float, terms: Floats, most: float, noise_range: Any
) -> None:
    heaviness, _, learning, memory = terms
    innovation = measured - point["position"]
    square, total = (innovation**2).sum(), point["pp"] + variance
    weight = min(_weight(square, total, heaviness), 1.0)
    point["lean"] += memory * (np.sqrt(weight / total) * innovation - point["lean"])
    before = _covariance(point)
    states = [
        kalman_update(np.array([p, v]), before, m, variance / weight, _MEASURED)
        for p, v, m in zip(point["position"], point["velocity"], measured, strict=True)
    ]
    point["position"], point["velocity"] = np.array([state for state, _ in states]).T
    _keep(point, states[0][1])
    left = measured - point["position"]
    excess = (weight * (left**2).sum() / 2 + point["pp"]) / variance
    point["noise"] = np.clip(point["noise"] * (1 + learning * (min(excess, most) - 1)), *noise_range)
    point["weight"] = weight


def _weight(square: Any, variance: Any, heaviness: Any) -> Any:
    """Of Student's t with 1 / heaviness degrees of freedom, at a squared distance."""
    return (1 + 2 * heaviness) / (1 + square / variance * heaviness)


def _covariance(record: Any) -> Floats:
    return np.array([[record["pp"], record["pv"]], [record["pv"], record["vv"]]])


def _keep(record: Any, covariance: Floats) -> None:
    record["pp"], record["pv"], record["vv"] = covariance[0, 0], covariance[0, 1], covariance[1, 1]
