"""Where points are and how they move: one Kalman filter for every point of every body, all at once.

Every point moves with its body and on its own. The body has one velocity, which drifts (white-noise acceleration); a
point's own velocity is an Ornstein-Uhlenbeck process about the body's, v' = -(v - body) / damping + white noise.
With infinite damping and a body that stands still that is the constant-velocity model with filterpy's
`Q_continuous_white_noise`. The model is in continuous time, so one long step equals many short ones.

Noise is the same in x and y, so both share one covariance of position and velocity and every step has a closed form.
What is unknown of the body is common to all its points and kept apart (`common`), so that one look at a body that was
hidden moves all its points, those not seen included.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from trackers import compiled

Floats = NDArray[np.float64]
Triple = tuple[float, float, float]

# What one measurement may say at most of how much larger its noise is than was thought, and how far that may go.
MOST = 4.0
NOISE_RANGE = (0.05, 20.0)
# Process noise is so many times the mean square of `lean` beyond what chance makes it, up to a limit.
EAGER, CHANCE, LIMIT = 4.0, 0.25, 8.0


@dataclass(frozen=True, slots=True)
class Motion:
    """Positions and velocities of P points on each of T bodies, and how well they are known.

    Attributes:
        position: [T, P, 2] px.
        velocity: [T, P, 2] px/s.
        body: [T, 2] px/s, velocity of the whole body, towards which the points' velocities decay.
        pp, pv, vv: [T, P] variance of a point's own position (px^2), its covariance with velocity (px^2/s), variance of
            its velocity; beside what is in `common`.
        common: [3, T] the same three for what all points of a body share.
        noise: [T, P] how many times larger the measurements' variance is than was assumed, learnt from them.
        lean: [T, P, 2] running mean of the normalised innovations: 0 while the model is right.
    """

    position: Floats
    velocity: Floats
    body: Floats
    pp: Floats
    pv: Floats
    vv: Floats
    common: Floats
    noise: Floats
    lean: Floats

    @classmethod
    def at(
        cls, position: Floats, variance: Floats, velocity: Floats, velocity_variance: Floats, body_variance: Floats
    ) -> Motion:
        """Points [T, P, 2] known to within `variance` [T, P], on bodies moving at `velocity` [T, 2].

        The bodies' velocities are known to within `body_variance` [T, 1], the points' own to `velocity_variance`.
        """
        shape = position.shape[:2]
        common = np.zeros((3, shape[0]))
        common[2] = body_variance[:, 0]
        return cls(
            position,
            np.broadcast_to(velocity[:, None], position.shape).copy(),
            velocity,
            np.broadcast_to(variance, shape).copy(),
            np.zeros(shape),
            np.broadcast_to(velocity_variance, shape).copy(),
            common,
            np.ones(shape),
            np.zeros(position.shape),
        )

    def variance(self) -> Floats:
        """[T, P] px^2 of `position`, on each axis."""
        return self.pp + self.common[0][:, None]

    def predicted(self, interval: float, density: Floats, damping: float, body_density: Floats) -> Motion:
        """The same points `interval` s later.

        Args:
            interval: s, not negative.
            density: [T], spectral density of the points' own acceleration noise, px^2/s^3, while the model is right;
                more for points whose innovations keep one direction.
            damping: s; inf for constant velocity.
            body_density: [T] that of the bodies'.
        """
        reach, decay, spread = steps(interval, damping)
        if compiled.AVAILABLE:
            moved = compiled.predict(
                self.position, self.velocity, self.body, self.pp, self.pv, self.vv, self.common, self.lean, density,
                body_density, interval, reach, decay, spread, (EAGER, CHANCE, LIMIT),
            )  # fmt: skip
            position, velocity, pp, pv, vv, common = moved
            return Motion(position, velocity, self.body, pp, pv, vv, common, self.noise, self.lean)
        return self._predicted(density, body_density, interval, reach, decay, spread)

    def _predicted(
        self, density: Floats, body_density: Floats, interval: float, reach: float, decay: float, spread: Triple
    ) -> Motion:
        """The reference of `compiled.predict`."""
        density = density[:, None] * (1 + (EAGER * ((self.lean**2).sum(-1) / 2 - CHANCE)).clip(0.0, LIMIT))
        body = self.body[:, None]
        drift = self.velocity - body
        cpp, cpv, cvv = self.common
        common = np.stack(
            [
                cpp + 2 * interval * cpv + interval**2 * cvv + body_density * (interval**3 / 3),
                cpv + interval * cvv + body_density * (interval**2 / 2),
                cvv + body_density * interval,
            ]
        )
        return Motion(
            self.position + body * interval + drift * reach,
            body + drift * decay,
            self.body,
            self.pp + 2 * reach * self.pv + reach**2 * self.vv + density * spread[0],
            decay * (self.pv + reach * self.vv) + density * spread[1],
            decay**2 * self.vv + density * spread[2],
            common,
            self.noise,
            self.lean,
        )

    def corrected(
        self, measured: Floats, assumed: Floats, heaviness: Floats, guidance: Floats, learning: Floats, memory: Floats
    ) -> tuple[Motion, Floats]:
        """The same points after seeing some of them, and how much each measurement was believed.

        First the body moves by what its points' innovations have in common, then each point by the rest. A measurement
        far from where it can be gets the weight of Student's t: its variance is divided by a weight that falls to 0
        with distance. No hard gate: a point that really jumped is followed, only later.

        Args:
            measured: [T, P, 2] px, NaN where a point was not seen.
            assumed: [T, P] px^2, variance of the measurements before what `noise` has learnt.
            heaviness: [P] 1 / degrees of freedom of the noise; 0 for Gaussian.
            guidance: [P] how much a point tells of its body.
            learning: [P] share of the old in `noise` that the new replaces, 0..1.
            memory: the same for `lean`.

        Returns:
            The corrected motion and the weights [T, P], 0 where a point was not seen.
        """
        if compiled.AVAILABLE:
            *arrays, weights = compiled.correct(
                self.position, self.velocity, self.body, self.pp, self.pv, self.vv, self.common, self.noise, self.lean,
                measured, assumed, heaviness, guidance, learning, memory, MOST, NOISE_RANGE,
            )  # fmt: skip
            return Motion(*arrays), weights
        return self._corrected(measured, assumed, heaviness, guidance, learning, memory)

    def _corrected(
        self, measured: Floats, assumed: Floats, heaviness: Floats, guidance: Floats, learning: Floats, memory: Floats
    ) -> tuple[Motion, Floats]:
        """The reference of `compiled.correct`."""
        innovation = measured - self.position
        seen: NDArray[np.bool_] = ~np.isnan(innovation[..., 0] + innovation[..., 1])
        innovation = np.where(seen[..., None], innovation, 0.0)
        variance = assumed * self.noise
        shift, body, common = self._body_corrected(innovation, seen, variance, heaviness, guidance)
        innovation = np.where(seen[..., None], innovation - shift[:, None], 0.0)
        total = self.pp + variance
        surprise = (innovation**2).sum(-1) / total
        weight = np.minimum((1 + 2 * heaviness) / (1 + surprise * heaviness), 1.0)
        believed = variance / weight
        gain = np.where(seen, self.pp / (self.pp + believed), 0.0)
        velocity_gain = np.where(seen, self.pv / (self.pp + believed), 0.0)
        rest = 1.0 - gain
        left = np.where(seen, weight * rest**2 * (innovation**2).sum(-1) / 2 + rest * self.pp, variance)
        noise = self.noise + learning * seen * (np.minimum(left / variance, MOST) - 1.0) * self.noise
        tilt = np.sqrt(weight / total)[..., None] * innovation
        motion = Motion(
            self.position + shift[:, None] + gain[..., None] * innovation,
            self.velocity + (body - self.body)[:, None] + velocity_gain[..., None] * innovation,
            body,
            rest * self.pp,
            rest * self.pv,
            self.vv - velocity_gain * self.pv,
            common,
            noise.clip(*NOISE_RANGE),
            self.lean + (memory * seen)[..., None] * (tilt - self.lean),
        )
        return motion, np.where(seen, weight, 0.0)

    def _body_corrected(
        self, innovation: Floats, seen: NDArray[np.bool_], variance: Floats, heaviness: Floats, guidance: Floats
    ) -> tuple[Floats, Floats, Floats]:
        """How far each body is from where it was expected [T, 2], its new velocity, and what stays unknown of both."""
        total = self.variance() + variance
        weight = (1 + 2 * heaviness) / (1 + (innovation**2).sum(-1) / total * heaviness)
        information = seen * guidance * weight / (self.pp + variance)
        known = information.sum(1)
        mean = (information[..., None] * innovation).sum(1) / np.maximum(known, 1e-300)[:, None]
        cpp, cpv, cvv = self.common
        uncertain = np.maximum(cpp + 1 / np.maximum(known, 1e-300), 1e-300)
        gain, velocity_gain = cpp / uncertain, cpv / uncertain
        common = np.stack([cpp - gain * cpp, cpv - gain * cpv, cvv - velocity_gain * cpv])
        return gain[:, None] * mean, self.body + velocity_gain[:, None] * mean, common

    def where(self, points: NDArray[np.bool_], other: Motion) -> Motion:
        """These motions, but the other's for `points` [T, P]; bodies stay."""
        wide = points[..., None]
        mixed = {
            f.name: np.where(
                wide if getattr(self, f.name).ndim == 3 else points, getattr(other, f.name), getattr(self, f.name)
            )
            for f in fields(self)
            if f.name not in ("body", "common")
        }
        return Motion(**mixed, body=self.body, common=self.common)

    def __getitem__(self, rows: NDArray[np.bool_]) -> Motion:
        """Some of the bodies, by a mask [T]."""
        arrays = {f.name: getattr(self, f.name)[rows] for f in fields(self) if f.name != "common"}
        # Contiguous: compiled functions are compiled anew for another order in memory, within a stream.
        return Motion(**arrays, common=np.ascontiguousarray(self.common[:, rows]))

    def __add__(self, other: Motion) -> Motion:
        """The bodies of both."""
        arrays = {
            f.name: np.concatenate((getattr(self, f.name), getattr(other, f.name)))
            for f in fields(self)
            if f.name != "common"
        }
        return Motion(**arrays, common=np.concatenate((self.common, other.common), 1))


def steps(interval: float, damping: float) -> tuple[float, float, Triple]:
    """How far a unit of own velocity reaches in `interval` s, what is left of it, and a unit of noise in pp, pv, vv."""
    if np.isinf(damping):
        return interval, 1.0, (interval**3 / 3, interval**2 / 2, interval)
    decay = math.exp(-interval / damping)
    lost = -math.expm1(-interval / damping)
    reach = damping * lost
    spread = (damping**2 * (interval - reach - reach * lost / 2), reach**2 / 2, reach * (1 + decay) / 2)
    return reach, decay, spread
