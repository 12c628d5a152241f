"""Random moments of the world: who stands where, what stands around, how it is lit and seen."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from training.world.draw import Draw
from training.world.figure import Figure
from training.world.pose import random_pose
from training.world.scene import PATTERNS, Camera, Scene
from training.world.texture import colour

_KINDS = {"box": 0.35, "cylinder": 0.2, "sphere": 0.1, "capsule": 0.25, "ellipsoid": 0.1}


@dataclass(frozen=True, slots=True)
class Frustum:
    """Camera of a moment and the shape of its picture."""

    camera: Camera
    aspect: float

    def ground(self, across: float, distance: float) -> np.ndarray:
        """The place [2] on the floor a distance (m) ahead, at a share -1..1 of the picture's half width."""
        ahead = -self.camera.axes[:2, 2]
        ahead = ahead / np.linalg.norm(ahead)
        right = np.array([ahead[1], -ahead[0]])
        half = np.tan(0.5 * self.camera.fov) * self.aspect * distance
        return self.camera.position[:2] + ahead * distance + right * across * half


def compose(scene: Scene, draw: Draw, aspect: float = 4 / 3) -> None:
    """Fills the scene with a random moment: 1 to 5 persons, most of them 35 to 95 % of the picture high."""
    scene.clear()
    fov = np.radians(draw.uniform(28, 75))
    share = draw.uniform(0.45, 0.95) if draw.chance(0.85) else draw.uniform(0.22, 0.45)
    if draw.chance(0.12):
        share = draw.uniform(0.95, 1.5)
    first = Figure.random(draw, PATTERNS)
    # the first person fixes the distance; the camera stands there, anywhere between knee and lamp post
    distance = first.build.stature / (2 * np.tan(0.5 * fov) * share)
    low = draw.chance(0.75)
    height = draw.uniform(0.3, 2.2) if low else draw.uniform(2.2, 5.0)
    height = min(height, 0.4 + 0.75 * distance)
    azimuth = draw.uniform(-np.pi, np.pi)
    flat = np.sqrt(max(distance**2 - (height - 0.9) ** 2, (0.6 * distance) ** 2))
    position = np.array([flat * np.cos(azimuth), flat * np.sin(azimuth), height])
    drift = distance * np.tan(0.5 * fov)
    slack = max(0.12, 1.0 - share)
    target = np.array([0, 0, 0.5 * first.build.stature + draw.uniform(-0.5, 0.5) * slack * drift])
    roll = draw.rng.normal(0, 0.05)
    scene.look(Camera.looking(position, target, fov, roll))
    frustum = Frustum(scene.camera, aspect)
    _people(scene, draw, frustum, first, flat)
    _things(scene, draw, frustum, flat)
    _surroundings(scene, draw, frustum, flat)
    scene.settle()


def _people(scene: Scene, draw: Draw, frustum: Frustum, first: Figure, flat: float) -> None:
    taken: list[np.ndarray] = []
    count = 1 + int(draw.rng.choice(5, p=[0.27, 0.27, 0.22, 0.14, 0.10]))
    for person in range(count):
        figure = first if person == 0 else Figure.random(draw, PATTERNS)
        for _ in range(6):
            nearness = draw.uniform(0.92, 1.08) if person == 0 else np.exp(draw.uniform(-0.35, 0.55))
            at = frustum.ground(draw.uniform(-0.95, 0.95), flat * nearness)
            if all(np.linalg.norm(at - other) > 0.5 for other in taken):
                break
        else:
            continue
        taken.append(at)
        scene.dress(person, figure)
        pose, kind = random_pose(draw, figure.build)
        heading = draw.uniform(-np.pi, np.pi)
        scene.place(person, pose, at, heading, draw.uniform(0, 0.4) if draw.chance(0.08) else 0.0)
        if kind == "sit" and draw.chance(0.7):
            scene.settle()
            hips = scene.data.xpos[scene.bodies(person)][0]
            top = max(0.1, hips[2] - 0.075 * figure.build.stature)
            back = np.array([np.cos(heading), np.sin(heading)]) * -0.06
            scene.put(
                "box" if draw.chance(0.7) else "cylinder",
                np.array([*(hips[:2] + back), top / 2]),
                np.array([draw.uniform(0.15, 0.25), draw.uniform(0.15, 0.3), top / 2])
                if draw.chance(0.7)
                else np.array([0.2, top / 2, top / 2]),
                _turn(np.array([0, 0, 1.0]), heading),
                colour(draw),
            )


def _turn(axis: np.ndarray, angle: float) -> np.ndarray:
    return np.array([np.cos(angle / 2), *(np.sin(angle / 2) * axis / np.linalg.norm(axis))])


def _thing(scene: Scene, draw: Draw, at: np.ndarray, size: float, upright: bool) -> None:
    """One piece of clutter of about this size (m) with its centre over or at a place [2] or [3]."""
    kind = draw.pick(_KINDS)
    extent = size * draw.rng.uniform(0.3, 1.0, 3)
    turn = _turn(np.array([0, 0, 1.0]), draw.uniform(0, np.pi)) if upright else _turn(draw.rng.normal(size=3), 2.0)
    if len(at) == 2:
        half = {"sphere": extent[0], "capsule": extent[0] + extent[1], "cylinder": extent[1]}.get(kind, extent[2])
        at = np.array([*at, half if upright else draw.uniform(0, 2.0)])
    pattern = int(draw.rng.integers(PATTERNS)) if draw.chance(0.4) else -1
    tint = np.full(3, draw.uniform(0.6, 1.0)) if pattern >= 0 else colour(draw)
    scene.put(kind, at, extent, turn, tint, pattern)


def _things(scene: Scene, draw: Draw, frustum: Frustum, flat: float) -> None:
    if draw.chance(0.35):  # something in front of the persons
        for _ in range(1 + int(draw.chance(0.3))):
            distance = flat * draw.uniform(0.35, 0.75)
            at = frustum.ground(draw.uniform(-0.9, 0.9), distance)
            _thing(scene, draw, at, 0.12 * distance * draw.uniform(0.5, 1.2), draw.chance(0.7))
    for _ in range(int(draw.rng.integers(0, 9))):  # things among and behind them
        at = frustum.ground(draw.uniform(-1.3, 1.3), flat * np.exp(draw.uniform(-0.05, 1.1)))
        _thing(scene, draw, at, draw.uniform(0.08, 0.7), draw.chance(0.75))
    if draw.chance(0.3):  # a bundle of rods and balls in the colours of persons, which is none
        at = frustum.ground(draw.uniform(-1, 1), flat * draw.uniform(0.8, 1.8))
        rgb = colour(draw)
        for _ in range(int(draw.rng.integers(3, 7))):
            centre = np.array([*at, draw.uniform(0.2, 1.6)]) + draw.rng.normal(0, 0.15, 3)
            rod = np.array([draw.uniform(0.03, 0.1), draw.uniform(0.1, 0.4), 0.1])
            kind = "capsule" if draw.chance(0.7) else "ellipsoid"
            tint = rgb if draw.chance(0.6) else colour(draw)
            scene.put(kind, centre, rod, _turn(draw.rng.normal(size=3), draw.uniform(0, 3)), tint)


def _surroundings(scene: Scene, draw: Draw, frustum: Frustum, flat: float) -> None:
    ahead = -frustum.camera.axes[:2, 2]
    heading = float(np.arctan2(ahead[1], ahead[0]))
    back = frustum.ground(0.0, flat * draw.uniform(2.2, 4.0))
    tall = draw.uniform(0.6, 4.0)
    scene.wall(
        0, draw.chance(0.6), np.array([*back, tall]), np.array([0.1, 12.0, tall]), heading + draw.uniform(-0.5, 0.5)
    )
    side = frustum.ground(draw.rng.choice([-1.0, 1.0]) * draw.uniform(1.0, 1.6), flat * 1.8)
    scene.wall(
        1, draw.chance(0.3), np.array([*side, tall]), np.array([3.0, 0.1, tall]), heading + draw.uniform(-0.4, 0.4)
    )

    def ray() -> np.ndarray:
        angle, slope = draw.uniform(0, 2 * np.pi), draw.uniform(0.4, 2.5)
        return np.array([np.cos(angle), np.sin(angle), -slope])

    tint = 1 + draw.rng.uniform(-0.15, 0.15, (2, 3))
    power = np.array([[draw.uniform(0.25, 0.8)], [draw.uniform(0.0, 0.35)]])
    scene.light(ray(), ray(), tint * power, draw.uniform(0.15, 0.55))
