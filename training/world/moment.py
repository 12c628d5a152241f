"""Random moments of the world: what is where, what stands around, how it is lit and seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from xpose_stream.training.world.body import PATTERNS, Body, Placed
from xpose_stream.training.world.category import TRAINED, Category
from xpose_stream.training.world.draw import Draw
from xpose_stream.training.world.scene import Camera, Scene
from xpose_stream.training.world.texture import colour
from xpose_stream.training.world.truth import extent

# sides of a body in the picture, as hundredths of its height: less is not worth a keypoint
LEAST_LONG, LEAST_SHORT = 40, 7

_KINDS = {"box": 0.35, "cylinder": 0.2, "sphere": 0.1, "capsule": 0.25, "ellipsoid": 0.1}


@dataclass(frozen=True, slots=True)
class Frustum:
    """Camera of a moment, the shape of its picture, and the distance of its subject over the floor, m."""

    camera: Camera
    aspect: float
    distance: float

    @property
    def slope(self) -> float:
        """How much the view falls per metre ahead."""
        return float(self.camera.axes[2, 2] / np.linalg.norm(self.camera.axes[:2, 2]))

    def ground(self, across: float, distance: float) -> np.ndarray:
        """The place [2] on the floor a distance (m) ahead, at a share -1..1 of the picture's half width."""
        ahead = -self.camera.axes[:2, 2]
        ahead = ahead / np.linalg.norm(ahead)
        right = np.array([ahead[1], -ahead[0]])
        half = np.tan(0.5 * self.camera.fov) * self.aspect * distance
        return self.camera.position[:2] + ahead * distance + right * across * half


def compose(
    scene: Scene,
    draw: Draw,
    aspect: float = 4 / 3,
    first: Sequence[Category] = TRAINED,
    others: Sequence[Category] = TRAINED,
) -> None:
    """Fills the scene with a random moment: one body of the `first` categories, up to two of the `others`.

    Most of them are half the picture high or more, and mostly inside it. Persons have their natural size; everything
    else may be a toy or a giant.
    """
    scene.clear()
    fov = np.radians(draw.uniform(28, 75))
    share = draw.uniform(0.55, 0.95) if draw.chance(0.88) else draw.uniform(0.35, 0.55)
    if draw.chance(0.06):
        share = draw.uniform(0.95, 1.3)
    # a person of average height would fill this share; the camera stands anywhere between knee and lamp post
    distance = 1.72 / (2 * np.tan(0.5 * fov) * share)
    low = draw.chance(0.85)
    height = draw.uniform(0.3, 2.2) if low else draw.uniform(2.2, 4.0)
    height = min(height, 0.4 + 0.75 * distance)
    azimuth = draw.uniform(-np.pi, np.pi)
    flat = np.sqrt(max(distance**2 - (height - 0.9) ** 2, (0.6 * distance) ** 2))
    position = np.array([flat * np.cos(azimuth), flat * np.sin(azimuth), height])
    drift = distance * np.tan(0.5 * fov)
    slack = max(0.12, 1.0 - share)
    target = np.array([0, 0, 0.86 + draw.uniform(-0.5, 0.5) * slack * drift])
    roll = draw.rng.normal(0, 0.05)
    scene.look(Camera.looking(position, target, fov, roll))
    frustum = Frustum(scene.camera, aspect, flat)
    _bodies(scene, draw, frustum, first, others)
    _things(scene, draw, frustum)
    _surroundings(scene, draw, frustum)
    scene.settle()


def _bodies(scene: Scene, draw: Draw, frustum: Frustum, first: Sequence[Category], others: Sequence[Category]) -> None:
    boxes: list[np.ndarray] = []
    for number in range(1 + int(draw.rng.choice(3, p=[0.55, 0.33, 0.12]))):
        kinds = {kind.name: kind for kind in (others if number else first)}
        category = kinds[draw.pick({kind.name: kind.share for kind in kinds.values()})]
        body, pose = category.random(draw)
        crowded = draw.chance(0.1)
        for _ in range(8):
            nearness = draw.uniform(0.92, 1.08) if number == 0 else np.exp(draw.uniform(-0.15, 0.15))
            placed = _place(draw, frustum, category, body, pose, nearness)
            box = extent(placed, frustum.camera, round(100 * frustum.aspect), 100)
            if box is None or max(box[2:] - box[:2]) < LEAST_LONG or min(box[2:] - box[:2]) < LEAST_SHORT:
                continue
            if crowded or all(_covered(box, other) < 0.15 for other in boxes):
                break
        else:
            continue
        boxes.append(box)
        scene.add(placed)
        if category.aloft > 0.3 and placed.lowest < 1e-6 and draw.chance(0.5):
            _pedestal(scene, draw, len(scene.placed) - 1)


def _place(draw: Draw, frustum: Frustum, category: Category, body: Body, pose: np.ndarray, nearness: float) -> Placed:
    """The body at a random place in view, about as far away as the picture's subject times `nearness`."""
    distance = frustum.distance * nearness
    view = 2 * distance * np.tan(0.5 * frustum.camera.fov)  # m, height of what is seen there
    low, high = body.put(pose, np.zeros(2)).bounds
    if category.name != "person":
        size = draw.uniform(0.55, 0.95) * view / (high - low).max()
        body, low, high = body.scaled(size), size * low, size * high
    room = max(0.15, 1.05 - (high - low)[:2].max() / (frustum.aspect * view))
    at = frustum.ground(draw.uniform(-room, room), distance)
    towards = frustum.camera.position[:2] - at
    heading = np.arctan2(towards[1], towards[0]) + draw.uniform(-category.turned, category.turned)
    placed = body.put(pose, at, heading)
    if draw.chance(category.aloft):
        tall = placed.bounds[1][2]
        middle = frustum.camera.position[2] - frustum.slope * distance
        bottom = max(0.0, middle - 0.45 * view)
        placed = placed.raised(draw.uniform(bottom, max(bottom, middle + 0.45 * view - tall)))
    return placed


def _pedestal(scene: Scene, draw: Draw, number: int) -> None:
    """Puts a body on a box."""
    placed = scene.placed[number]
    low, high = placed.bounds
    middle, half = (low + high) / 2, (high - low) / 2
    height = draw.uniform(0.1, 0.5)
    scene.move(number, placed.raised(height))
    size = np.array([*(half[:2] * draw.rng.uniform(0.9, 1.6, 2)), height / 2])
    scene.put("box", np.array([*middle[:2], height / 2]), size, np.array([1.0, 0, 0, 0]), colour(draw))


def _covered(box: np.ndarray, other: np.ndarray) -> float:
    """How much of the smaller of two boxes lies in the other."""
    shared = np.prod(np.clip(np.minimum(box[2:], other[2:]) - np.maximum(box[:2], other[:2]), 0, None))
    return float(shared / min(np.prod(box[2:] - box[:2]), np.prod(other[2:] - other[:2])))


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


def _things(scene: Scene, draw: Draw, frustum: Frustum) -> None:
    flat = frustum.distance
    if draw.chance(0.1):  # something in front of the bodies
        for _ in range(1 + int(draw.chance(0.3))):
            distance = flat * draw.uniform(0.35, 0.75)
            at = frustum.ground(draw.uniform(-0.9, 0.9), distance)
            _thing(scene, draw, at, 0.12 * distance * draw.uniform(0.5, 1.2), draw.chance(0.7))
    for _ in range(int(draw.rng.integers(0, 4))):  # things among and behind them
        at = frustum.ground(draw.uniform(-1.3, 1.3), flat * np.exp(draw.uniform(-0.05, 1.1)))
        _thing(scene, draw, at, draw.uniform(0.08, 0.7), draw.chance(0.75))
    if draw.chance(0.1):  # a bundle of rods and balls, which is none of the categories
        at = frustum.ground(draw.uniform(-1, 1), flat * draw.uniform(0.8, 1.8))
        rgb = colour(draw)
        for _ in range(int(draw.rng.integers(3, 7))):
            centre = np.array([*at, draw.uniform(0.2, 1.6)]) + draw.rng.normal(0, 0.15, 3)
            rod = np.array([draw.uniform(0.03, 0.1), draw.uniform(0.1, 0.4), 0.1])
            kind = "capsule" if draw.chance(0.7) else "ellipsoid"
            tint = rgb if draw.chance(0.6) else colour(draw)
            scene.put(kind, centre, rod, _turn(draw.rng.normal(size=3), draw.uniform(0, 3)), tint)


def _surroundings(scene: Scene, draw: Draw, frustum: Frustum) -> None:
    flat = frustum.distance
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
    scene.light(ray(), ray(), tint * power, draw.uniform(0.22, 0.6))
