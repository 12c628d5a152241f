"""Where points are and how they move: one Kalman filter for every point of every body, all at once.

Every point moves with its body and on its own. The body has one velocity, which drifts (white-noise acceleration); a
point's own velocity is an Ornstein-Uhlenbeck process about the body's, v' = -(v - body) / damping + white noise.
With infinite damping and a body that stands still that is the constant-velocity model with filterpy's
`Q_continuous_white_noise`. The model is in continuous time, so one long step equals many short ones.

Noise is the same in x and y, so both share one covariance of position and velocity and every step has a closed form.
What is unknown of the body is common to all its points and kept apart (in `bodies`), so that one look at a body that
was hidden moves all its points, those not seen included.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from xpose_stream.trackers import compiled

Floats = NDArray[np.float64]
Records = NDArray[np.void]
Triple = tuple[float, float, float]
# [4, P] of each point: heaviness (1 / degrees of freedom of its noise, 0 for Gaussian), guidance (how much it tells of
# its body), learning and memory (shares of the old in `noise` and in `lean` that the new replaces, 0..1).
Terms = Floats
# fast: numba where it is installed, else NumPy; reference: filterpy.
Filter = Literal["fast", "reference"]

# What one measurement may say at most of how much larger its noise is than was thought, and how far that may go.
MOST = 4.0
NOISE_RANGE = (0.05, 20.0)
# Process noise is so many times the mean square of `lean` beyond what chance makes it, up to a limit.
EAGER, CHANCE, LIMIT = 4.0, 0.25, 8.0


# What is known of a point, and of a body.
POINT = np.dtype(
    [
        ("position", "f8", 2),  # px
        ("velocity", "f8", 2),  # px/s
        ("pp", "f8"),  # px^2, variance of the point's own position, beside what the body shares
        ("pv", "f8"),  # px^2/s, its covariance with velocity
        ("vv", "f8"),  # px^2/s^2, variance of the point's own velocity
        ("noise", "f8"),  # how many times larger the measurements' variance is than was assumed, learnt from them
        ("lean", "f8", 2),  # running mean of the normalised innovations: 0 while the model is right
        ("measured", "f8", 2),  # px, what was seen at this time, else NaN
        ("score", "f8"),  # 0..1 of what was seen, else NaN
        ("weight", "f8"),  # how much that was believed, 0..1; 0 where nothing was seen
        ("ever", "?"),  # seen at least once
    ],
    align=True,
)
BODY = np.dtype([("velocity", "f8", 2), ("pp", "f8"), ("pv", "f8"), ("vv", "f8")])


@dataclass(frozen=True, slots=True)
class Motion:
    """Positions and velocities of P points on each of T bodies, and how well they are known.

    One array of structures each, so that choosing and adding bodies is one operation and compiled functions take few
    arguments; `motion.points["position"]` is [T, P, 2].

    Attributes:
        points: [T, P] of `POINT`.
        bodies: [T] of `BODY`: the velocity towards which the points' velocities decay, and the same three for what all
            points of a body share.
    """

    points: Records
    bodies: Records

    @classmethod
    def at(
        cls, position: Floats, variance: Floats, velocity: Floats, velocity_variance: Floats, body_variance: Floats
    ) -> Motion:
        """Points [T, P, 2] known to within `variance` [T, P], on bodies moving at `velocity` [T, 2].

        The bodies' velocities are known to within `body_variance` [T], the points' own to `velocity_variance` [T, 1].
        """
        points, bodies = np.zeros(position.shape[:2], POINT), np.zeros(len(position), BODY)
        points["position"], points["velocity"] = position, velocity[:, None]
        points["pp"], points["vv"], points["noise"] = variance, velocity_variance, 1.0
        points["measured"], points["score"] = np.nan, np.nan
        bodies["velocity"], bodies["vv"] = velocity, body_variance
        return cls(points, bodies)

    def variance(self) -> Floats:
        """[T, P] px^2 of the positions, on each axis."""
        return np.asarray(self.points["pp"] + self.bodies["pp"][:, None])

    def copy(self) -> Motion:
        """The same, to be changed."""
        return Motion(_plain(self.points).copy().view(POINT), self.bodies.copy())

    def __getitem__(self, rows: NDArray[np.bool_]) -> Motion:
        """Some of the bodies, by a mask [T]."""
        return Motion(_plain(self.points)[rows].view(POINT), self.bodies[rows])

    def __add__(self, other: Motion) -> Motion:
        """The bodies of both."""
        points = np.concatenate((_plain(self.points), _plain(other.points))).view(POINT)
        return Motion(points, np.concatenate((self.bodies, other.bodies)))

    def predicted(
        self, interval: float, density: Floats, damping: float, body_density: Floats, by: Filter = "fast"
    ) -> Motion:
        """The same points `interval` s later, where nothing is measured yet.

        Args:
            interval: s, not negative.
            density: [T], spectral density of the points' own acceleration noise, px^2/s^3, while the model is right;
                more for points whose innovations keep one direction.
            damping: s; inf for constant velocity.
            body_density: [T] that of the bodies'.
            by: which implementation.
        """
        later = self.copy()
        if by == "reference":
            _reference().predict(
                later.points, later.bodies, density, body_density, interval, damping, (EAGER, CHANCE, LIMIT)
            )
            return later
        function: Any = compiled.predict if compiled.AVAILABLE else _predict
        function(
            later.points, later.bodies, density, body_density, interval, *steps(interval, damping),
            (EAGER, CHANCE, LIMIT),
        )  # fmt: skip
        return later

    def corrected(self, measured: Floats, assumed: Floats, terms: Terms, by: Filter = "fast") -> Motion:
        """The same points after seeing some of them.

        First the body moves by what its points' innovations have in common, then each point by the rest. A measurement
        far from where it can be gets the weight of Student's t: its variance is divided by a weight that falls to 0
        with distance. No hard gate: a point that really jumped is followed, only later.

        Args:
            measured: [T, P, 2] px, NaN where a point was not seen.
            assumed: [T, P] px^2, variance of the measurements before what `noise` has learnt.
            terms: on which its points are corrected.
            by: which implementation.
        """
        after = self.copy()
        fast: Any = compiled.correct if compiled.AVAILABLE else _correct
        function = fast if by == "fast" else _reference().correct
        function(after.points, after.bodies, measured, assumed, terms, MOST, NOISE_RANGE)
        return after


def _reference() -> Any:
    """Imported when it is asked for: filterpy takes half a second."""
    from xpose_stream.trackers import reference

    return reference


def _plain(points: Records) -> NDArray[np.int64]:
    """[T, P * fields], the same memory: NumPy copies structures field by field, ten times as slowly."""
    return points.view(np.int64)


def _predict(
    points: Records,
    bodies: Records,
    density: Floats,
    body_density: Floats,
    interval: float,
    reach: float,
    decay: float,
    spread: Triple,
    eager: Triple,
) -> None:
    """Move points and bodies on: the reference of `compiled.predict`."""
    strength, chance, limit = eager
    lean = (points["lean"] ** 2).sum(-1) / 2
    density = density[:, None] * (1 + (strength * (lean - chance)).clip(0.0, limit))
    body = bodies["velocity"][:, None]
    drift = points["velocity"] - body
    points["position"] += body * interval + drift * reach
    points["velocity"] = body + drift * decay
    points["pp"] += 2 * reach * points["pv"] + reach**2 * points["vv"] + density * spread[0]
    points["pv"] = decay * (points["pv"] + reach * points["vv"]) + density * spread[1]
    points["vv"] = decay**2 * points["vv"] + density * spread[2]
    points["measured"], points["score"], points["weight"] = np.nan, np.nan, 0.0
    bodies["pp"] += interval * (2 * bodies["pv"] + interval * bodies["vv"]) + body_density * (interval**3 / 3)
    bodies["pv"] += interval * bodies["vv"] + body_density * (interval**2 / 2)
    bodies["vv"] += body_density * interval


def _correct(
    points: Records,
    bodies: Records,
    measured: Floats,
    assumed: Floats,
    terms: Terms,
    most: float,
    noise_range: tuple[float, float],
) -> None:
    """Correct points and bodies by what was measured: the reference of `compiled.correct`."""
    heaviness, guidance, learning, memory = terms
    points["measured"] = measured
    innovation = measured - points["position"]
    seen: NDArray[np.bool_] = ~np.isnan(innovation[..., 0] + innovation[..., 1])
    variance = assumed * points["noise"]
    innovation = np.where(seen[..., None], innovation, 0.0)
    shift, faster = _correct_bodies(points, bodies, innovation, seen, variance, heaviness, guidance)
    points["position"] += shift[:, None]
    points["velocity"] += faster[:, None]
    innovation = np.where(seen[..., None], innovation - shift[:, None], 0.0)
    square = (innovation**2).sum(-1)
    total = points["pp"] + variance
    weight = np.minimum((1 + 2 * heaviness) / (1 + square / total * heaviness), 1.0)
    believed = points["pp"] + variance / weight
    gain, velocity_gain = (np.where(seen, points[name] / believed, 0.0) for name in ("pp", "pv"))
    rest = 1.0 - gain
    left = (weight * rest**2 * square / 2 + rest * points["pp"]) / variance
    learnt = points["noise"] * (1 + learning * (np.minimum(left, most) - 1.0))
    points["noise"] = np.where(seen, learnt.clip(*noise_range), points["noise"])
    tilt = np.sqrt(weight / total)[..., None] * innovation
    points["lean"] += (memory * seen)[..., None] * (tilt - points["lean"])
    points["position"] += gain[..., None] * innovation
    points["velocity"] += velocity_gain[..., None] * innovation
    points["vv"] -= velocity_gain * points["pv"]
    points["pp"] *= rest
    points["pv"] *= rest
    points["weight"] = np.where(seen, weight, 0.0)


def _correct_bodies(
    points: Records,
    bodies: Records,
    innovation: Floats,
    seen: NDArray[np.bool_],
    variance: Floats,
    heaviness: Floats,
    guidance: Floats,
) -> tuple[Floats, Floats]:
    """How far each body is from where it was expected [T, 2] px and how much faster [T, 2] px/s."""
    own = points["pp"] + variance
    weight = (1 + 2 * heaviness) / (1 + (innovation**2).sum(-1) / (own + bodies["pp"][:, None]) * heaviness)
    information = seen * guidance * weight / own
    known = information.sum(1)
    mean = (information[..., None] * innovation).sum(1) / np.maximum(known, 1e-300)[:, None]
    uncertain = np.maximum(bodies["pp"] + 1 / np.maximum(known, 1e-300), 1e-300)
    gain, velocity_gain = bodies["pp"] / uncertain, bodies["pv"] / uncertain
    faster = velocity_gain[:, None] * mean
    bodies["velocity"] += faster
    bodies["vv"] -= velocity_gain * bodies["pv"]
    bodies["pv"] -= gain * bodies["pv"]
    bodies["pp"] -= gain * bodies["pp"]
    return gain[:, None] * mean, faster


def steps(interval: float, damping: float) -> tuple[float, float, Triple]:
    """How far a unit of own velocity reaches in `interval` s, what is left of it, and a unit of noise in pp, pv, vv."""
    if np.isinf(damping):
        return interval, 1.0, (interval**3 / 3, interval**2 / 2, interval)
    decay = math.exp(-interval / damping)
    lost = -math.expm1(-interval / damping)
    reach = damping * lost
    spread = (damping**2 * (interval - reach - reach * lost / 2), reach**2 / 2, reach * (1 + decay) / 2)
    return reach, decay, spread
