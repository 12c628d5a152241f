"""Where points are and how they move: one Kalman filter for every point of every body, all at once.

Noise is the same in x and y, so both share one covariance of position and velocity and every step has a closed form.
Velocity follows the body's as an Ornstein-Uhlenbeck process: v' = -(v - body) / damping + white noise. With infinite
damping that is the constant-velocity model with filterpy's `Q_continuous_white_noise`. The model is in continuous
time, so one long step equals many short ones.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Motion:
    """Positions and velocities of P points on each of T bodies, and how well they are known.

    Attributes:
        position: [T, P, 2] px.
        velocity: [T, P, 2] px/s.
        body: [T, 2] px/s, velocity of the whole body, towards which the points' velocities decay.
        pp, pv, vv: [T, P] variance of position (px^2), its covariance with velocity (px^2/s), variance of velocity.
    """

    position: Floats
    velocity: Floats
    body: Floats
    pp: Floats
    pv: Floats
    vv: Floats

    @classmethod
    def at(cls, position: Floats, variance: Floats, velocity: Floats, velocity_variance: Floats) -> Motion:
        """Points [T, P, 2] known to within `variance` [T, P], on bodies moving at `velocity` [T, 2]."""
        shape = position.shape[:2]
        return cls(
            position,
            np.broadcast_to(velocity[:, None], position.shape),
            velocity,
            np.broadcast_to(variance, shape),
            np.zeros(shape),
            np.broadcast_to(velocity_variance, shape),
        )

    def predicted(self, interval: float, density: Floats, damping: float) -> Motion:
        """The same points `interval` s later.

        Args:
            interval: s, not negative.
            density: [T, 1] or [T, P], spectral density of the acceleration noise, px^2/s^3.
            damping: s; inf for constant velocity.
        """
        if np.isinf(damping):
            reach, decay = interval, 1.0
            spread = (interval**3 / 3, interval**2 / 2, interval)
        else:
            decay = float(np.exp(-interval / damping))
            lost = float(-np.expm1(-interval / damping))
            reach = damping * lost
            spread = (
                damping**2 * (interval - reach - reach * lost / 2),
                reach**2 / 2,
                reach * (1 + decay) / 2,
            )
        drift = self.velocity - self.body[:, None]
        return Motion(
            self.position + self.body[:, None] * interval + drift * reach,
            self.body[:, None] + drift * decay,
            self.body,
            self.pp + 2 * reach * self.pv + reach**2 * self.vv + density * spread[0],
            decay * (self.pv + reach * self.vv) + density * spread[1],
            decay**2 * self.vv + density * spread[2],
        )

    def corrected(
        self, measured: Floats, variance: Floats, heaviness: Floats, guidance: Floats
    ) -> tuple[Motion, Floats]:
        """The same points after seeing some of them, and how much each measurement was believed.

        A measurement far from where it can be gets the weight of Student's t: its variance is divided by a weight
        that falls to 0 with distance. No hard gate: a point that really jumped is followed, only later.

        Args:
            measured: [T, P, 2] px, NaN where a point was not seen.
            variance: [T, 1] or [T, P] px^2 of the measurements.
            heaviness: [P] 1 / degrees of freedom of the noise; 0 for Gaussian.
            guidance: [T, P] how much a point tells of its body's velocity, beside how well its own is known;
                on no body 0 for all points.

        Returns:
            The corrected motion and the weights [T, P], 0 where a point was not seen.
        """
        innovation = measured - self.position
        seen: NDArray[np.bool_] = ~np.isnan(innovation[..., 0] + innovation[..., 1])
        innovation = np.where(seen[..., None], innovation, 0.0)
        surprise = (innovation**2).sum(-1) / (self.pp + variance)
        weight = np.minimum((1 + 2 * heaviness) / (1 + surprise * heaviness), 1.0)
        noise = variance / weight
        total = self.pp + noise
        gain = np.where(seen, self.pp / total, 0.0)
        velocity_gain = np.where(seen, self.pv / total, 0.0)
        rest = np.where(seen, noise / total, 1.0)
        velocity = self.velocity + velocity_gain[..., None] * innovation
        vv = self.vv - velocity_gain * self.pv
        precision = guidance / vv
        body = (precision[..., None] * velocity).sum(1) / precision.sum(1)[:, None]
        position = self.position + gain[..., None] * innovation
        motion = Motion(position, velocity, body, rest * self.pp, rest * self.pv, vv)
        return motion, np.where(seen, weight, 0.0)

    def where(self, points: NDArray[np.bool_], other: Motion) -> Motion:
        """These motions, but the other's for `points` [T, P]; bodies stay."""
        wide = points[..., None]
        return Motion(
            np.where(wide, other.position, self.position),
            np.where(wide, other.velocity, self.velocity),
            self.body,
            np.where(points, other.pp, self.pp),
            np.where(points, other.pv, self.pv),
            np.where(points, other.vv, self.vv),
        )

    def __getitem__(self, rows: NDArray[np.bool_]) -> Motion:
        """Some of the bodies, by a mask [T]."""
        return Motion(*(getattr(self, field.name)[rows] for field in fields(self)))

    def __add__(self, other: Motion) -> Motion:
        """The bodies of both."""
        pairs = ((getattr(self, f.name), getattr(other, f.name)) for f in fields(self))
        return Motion(*(np.concatenate(pair) for pair in pairs))
