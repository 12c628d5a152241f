"""Poses and motions: angles of the joints of a figure.

A pose is an array [16, 3] of (flexion, spread, twist) in radians, one row per part (`figure.PARTS`), relative to its
parent. Flexion bends forward (knees: backward), spread moves a limb away from the body, twist turns it inward. The row
of the pelvis is the lean of the whole body.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from xpose_stream.training.world.body import Body
from xpose_stream.training.world.draw import Draw
from xpose_stream.training.world.figure import PART, PARTS, Build, Figure

_SIDE = np.array([-1.0 if name.startswith("right") else 1.0 for name, _ in PARTS])
# rotation about +y takes a hanging limb backward, a trunk forward
_FLEX = np.array([-1.0 if name.endswith(("arm", "forearm", "hand", "thigh", "foot")) else 1.0 for name, _ in PARTS])
_LIMITS = np.radians(
    [
        {
            "pelvis": (-180, 180, -180, 180, -180, 180),
            "abdomen": (-20, 50, -20, 20, -25, 25),
            "chest": (-20, 40, -20, 20, -25, 25),
            "head": (-40, 45, -25, 25, -65, 65),
            "arm": (-50, 175, -25, 175, -80, 80),
            "forearm": (0, 145, 0, 0, -60, 60),
            "hand": (-50, 50, -20, 20, -20, 20),
            "thigh": (-25, 125, -15, 70, -35, 35),
            "shin": (0, 145, 0, 0, 0, 0),
            "foot": (-45, 30, -10, 10, -10, 10),
        }[name.rpartition("_")[2]]
        for name, _ in PARTS
    ]
).reshape(len(PARTS), 3, 2)


def within_limits(pose: np.ndarray) -> np.ndarray:
    """The pose [16, 3] with every angle inside the range of its joint."""
    return np.clip(pose, _LIMITS[..., 0], _LIMITS[..., 1])


def rotations(pose: np.ndarray) -> np.ndarray:
    """Rotations [16, 3, 3] of the parts against their parents: spread, then flexion, then twist."""
    angles = pose * np.stack([_FLEX, _SIDE, -_SIDE], axis=1)
    (cy, cx, cz), (sy, sx, sz) = np.cos(angles).T, np.sin(angles).T
    # x-rotation * y-rotation * z-rotation, multiplied out
    rows = [
        [cy * cz, -cy * sz, sy],
        [cx * sz + sx * sy * cz, cx * cz - sx * sy * sz, -sx * cy],
        [sx * sz - cx * sy * cz, sx * cz + cx * sy * sz, cx * cy],
    ]
    return np.moveaxis(np.array(rows), 2, 0)


@dataclass(frozen=True, slots=True)
class Gait:
    """A walking style. Step: way of a foot on the ground as a share of the leg; angles in radians; period in s."""

    step: float = 0.75
    period: float = 1.1
    lift: float = 0.09
    swing: float = 0.5
    elbow: float = 0.35
    lean: float = 0.05
    sway: float = 0.1
    spread: float = 0.12
    duty: float = 0.62

    @classmethod
    def random(cls, draw: Draw) -> Gait:
        """A walking style of the draw's split, from a stroll to a jog."""
        return cls(
            step=draw.held(0.3, 1.0),
            period=draw.held(0.95, 1.35),
            lift=draw.held(0.05, 0.3),
            swing=draw.held(0.15, 0.9),
            elbow=draw.held(0.1, 1.3),
            lean=draw.held(-0.05, 0.2),
            sway=draw.held(0.02, 0.2),
            spread=draw.held(0.05, 0.3),
        )

    def speed(self, build: Build) -> float:
        """How fast a body walks in this style, m/s."""
        return self.step * sum(build.legs) / (self.duty * self.period)


def walk(phase: float, gait: Gait, build: Build) -> np.ndarray:
    """The pose [16, 3] at a phase (1 = two steps); the foot on the ground moves back at the gait's speed."""
    pose = np.zeros((len(PARTS), 3))
    thigh, shin = build.legs
    leg = thigh + shin
    reach = gait.step * leg
    height = min(np.sqrt((0.995 * leg) ** 2 - (0.36 * reach) ** 2), 0.985 * leg)
    for side, offset in (("left", 0.0), ("right", 0.5)):
        p = (phase + offset) % 1.0
        if p < gait.duty:
            q = p / gait.duty
            x = reach * (0.5 - q)
            pitch = -0.28 * max(0.0, 1 - q / 0.15) + 0.75 * max(0.0, (q - 0.6) / 0.4) ** 1.5
            rise = 0.0
        else:
            q = (p - gait.duty) / (1 - gait.duty)
            ease = q * q * (3 - 2 * q)
            x = reach * (ease - 0.5)
            pitch = 0.75 * (1 - ease) - 0.28 * ease
            rise = gait.lift * leg * np.sin(np.pi * q)
        # a foot that pitches rests on its toe or its heel, which lifts the ankle
        lever = 0.105 * build.stature if pitch > 0 else 0.03 * build.stature
        z = rise + abs(np.sin(pitch)) * lever - height
        far = min(float(np.hypot(x, z)), 0.999 * leg)
        knee = np.pi - np.arccos(np.clip((thigh**2 + shin**2 - far**2) / (2 * thigh * shin), -1, 1))
        hip = np.arctan2(x, -z) + np.arccos(np.clip((thigh**2 + far**2 - shin**2) / (2 * thigh * far), -1, 1))
        pose[PART[f"{side}_thigh"], 0] = hip + gait.lean
        pose[PART[f"{side}_shin"], 0] = knee
        pose[PART[f"{side}_foot"], 0] = knee - hip - pitch
        beat = -np.cos(2 * np.pi * (p - 0.04))
        pose[PART[f"{side}_arm"]] = 0.05 + gait.swing * beat, gait.spread, 0.1
        pose[PART[f"{side}_forearm"], 0] = gait.elbow + 0.35 * gait.swing * (1 + beat)
    sway = gait.sway * np.cos(2 * np.pi * phase)
    pose[PART["pelvis"]] = gait.lean, 0.25 * gait.sway * np.sin(2 * np.pi * phase), 0.5 * sway
    pose[PART["chest"], 2] = -1.3 * sway
    pose[PART["head"]] = -gait.lean, 0.0, 0.8 * sway
    return pose


def _arms(draw: Draw, pose: np.ndarray) -> None:
    """Arms of a person that does something with them, each on its own."""
    for side in ("left", "right"):
        how = draw.pick({"hang": 0.3, "free": 0.3, "raise": 0.15, "reach": 0.15, "hip": 0.1, "face": 0.1})
        arm, forearm = PART[f"{side}_arm"], PART[f"{side}_forearm"]
        twist = draw.held(-0.6, 0.9)
        if how == "hang":
            pose[arm], pose[forearm, 0] = (draw.held(-0.3, 0.4), draw.held(0, 0.4), twist), draw.held(0, 0.6)
        elif how == "free":
            pose[arm], pose[forearm, 0] = (draw.held(-0.6, 1.6), draw.held(-0.2, 1.8), twist), draw.held(0, 2.3)
        elif how == "raise":
            pose[arm], pose[forearm, 0] = (draw.held(-0.3, 0.6), draw.held(1.8, 3.0), twist), draw.held(0, 1.6)
        elif how == "reach":
            pose[arm], pose[forearm, 0] = (draw.held(0.9, 2.6), draw.held(-0.2, 0.5), twist), draw.held(0, 0.8)
        elif how == "hip":
            pose[arm] = draw.held(-0.6, -0.1), draw.held(0.6, 1.0), draw.held(0.8, 1.3)
            pose[forearm, 0] = draw.held(1.3, 1.9)
        else:
            pose[arm], pose[forearm, 0] = (
                (draw.held(0.5, 1.2), draw.held(0.0, 0.7), draw.held(0.2, 1)),
                draw.held(1.9, 2.4),
            )


def _legs(draw: Draw, pose: np.ndarray, hip: tuple[float, float], knee: tuple[float, float], spread: float) -> None:
    for side in ("left", "right"):
        bend, fold = draw.held(*hip), draw.held(*knee)
        pose[PART[f"{side}_thigh"]] = bend, draw.held(0, spread), draw.held(-0.5, 0.2)
        pose[PART[f"{side}_shin"], 0] = fold
        pose[PART[f"{side}_foot"], 0] = np.clip(fold - bend, -0.6, 0.5)


def random_pose(draw: Draw, build: Build) -> np.ndarray:
    """A pose [16, 3] of a random kind."""
    pose = np.zeros((len(PARTS), 3))
    kind = draw.pick(
        {"walk": 0.34, "stand": 0.28, "sit": 0.11, "crouch": 0.07, "bend": 0.07, "stride": 0.06, "any": 0.07}
    )
    if kind == "walk":
        pose = walk(draw.held(0, 1), Gait.random(draw), build)
        if draw.chance(0.35):
            _arms(draw, pose)
    else:
        _arms(draw, pose)
        if kind == "stand":
            _legs(draw, pose, (-0.1, 0.15), (0.0, 0.2), 0.3)
        elif kind == "sit":
            _legs(draw, pose, (1.25, 1.7), (1.0, 1.8), 0.4)
            pose[0, 0] = draw.held(-0.15, 0.25)
        elif kind == "crouch":
            _legs(draw, pose, (1.4, 2.1), (1.6, 2.5), 0.5)
            pose[0, 0] = draw.held(0.2, 0.7)
        elif kind == "bend":
            _legs(draw, pose, (0.5, 1.1), (0.0, 0.6), 0.3)
            pose[0, 0] = draw.held(0.5, 1.0)
            pose[PART["abdomen"], 0] = draw.held(0, 0.6)
        elif kind == "stride":
            _legs(draw, pose, (-0.4, 1.5), (0.0, 1.6), 0.7)
        else:
            _legs(draw, pose, (-0.4, 2.0), (0.0, 2.3), 1.1)
            pose[0, :2] = draw.held(-0.5, 0.9), draw.held(-0.5, 0.5)
        pose[PART["chest"]] = draw.held(-0.1, 0.3), draw.held(-0.2, 0.2), draw.held(-0.35, 0.35)
    if draw.chance(0.6):
        pose[PART["head"]] = draw.held(-0.4, 0.5), draw.held(-0.3, 0.3), draw.held(-1.0, 1.0)
    loose = draw.rng.normal(0, draw.uniform(0.02, 0.15), pose.shape)
    loose[0] *= 0.5
    return within_limits(pose + loose)


def person(draw: Draw) -> tuple[Body, np.ndarray]:
    """A random person in a random pose."""
    figure = Figure.random(draw)
    return figure.body(), rotations(random_pose(draw, figure.build))
