"""What is true of a rendered picture: where every body's keypoints and box are, and what can be seen of them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from xpose_stream.training.world.body import Placed
from xpose_stream.training.world.scene import Camera, Scene

MIN_VISIBLE = 3
MIN_AREA = 100.0


@dataclass(frozen=True, slots=True)
class Seen:
    """One body of a picture: its number in the scene, its distance m, and its rows of `Truth`."""

    number: int
    distance: float
    box: np.ndarray
    keypoints: np.ndarray

    @property
    def ignore(self) -> bool:
        """Whether too little shows to be asked for."""
        area = (self.box[2] - self.box[0]) * (self.box[3] - self.box[1])
        return bool((self.keypoints[:, 2] == 2).sum() < MIN_VISIBLE or area < MIN_AREA)


@dataclass(frozen=True, slots=True)
class Truth:
    """The P bodies of one picture, those first that are nearest to the camera.

    identity: their numbers in the scene [P]; category: names [P]; box [P, 4] xyxy px: the extent of the whole body,
    occluded parts too, clipped to the picture; keypoints: P arrays [K, 3] with K as the category has: x, y px and v (2
    visible, 1 occluded, 0 outside the picture); ignore [P]: too little of the body shows to be asked for. Pixels: (0,
    0) is the top-left corner of the picture.
    """

    identity: np.ndarray
    category: list[str]
    box: np.ndarray
    keypoints: list[np.ndarray]
    ignore: np.ndarray


def truth(scene: Scene, depth: np.ndarray, oversample: float = 1.0) -> Truth:
    """The truth of a scene that was rendered with this depth [H, W] m; bodies entirely outside are left out.

    Where the picture was drawn `oversample` times as large as it will be, the pixels are those of the final picture.
    """
    height, width = depth.shape
    seen = []
    for number, placed in enumerate(scene.placed):
        box = extent(placed, scene.camera, width, height)
        if box is None:
            continue
        pixels, distance = scene.camera.project(placed.keypoints, width, height)
        inside = (pixels >= 0).all(1) & (pixels[:, 0] < width) & (pixels[:, 1] < height) & (distance > 0.05)
        column = np.clip(pixels[:, 0].astype(int), 0, width - 1)
        row = np.clip(pixels[:, 1].astype(int), 0, height - 1)
        # what the camera sees there lies in front of the keypoint by more than the flesh that covers it
        shows = depth[row, column] > distance - placed.cover
        keypoints = np.column_stack([pixels / oversample, np.where(inside, np.where(shows, 2, 1), 0)])
        seen.append(Seen(number, float(distance.mean()), box / oversample, keypoints))
    seen.sort(key=lambda one: one.distance)
    return Truth(
        identity=np.array([one.number for one in seen], np.int32),
        category=[scene.placed[one.number].body.category for one in seen],
        box=np.array([one.box for one in seen], np.float32).reshape(-1, 4),
        keypoints=[one.keypoints.astype(np.float32) for one in seen],
        ignore=np.array([one.ignore for one in seen], bool),
    )


def extent(placed: Placed, camera: Camera, width: int, height: int) -> np.ndarray | None:
    """The box [4] px of a body clipped to the picture, or None when it lies outside.

    An ellipsoid's outline is a conic: with the dual quadric Q and the projection P it is P Q P^T.
    """
    centres, turns, semis = placed.hull
    view = camera.axes.T
    spread = (view @ turns) * semis[:, None, :]
    middle = (centres - camera.position) @ camera.axes
    # coordinates right, down, forward
    flip = np.array([1.0, -1.0, -1.0])
    middle, spread = middle * flip, spread * flip[:, None]
    dual = spread @ spread.transpose(0, 2, 1) - middle[:, :, None] * middle[:, None, :]
    front = middle[:, 2] > np.linalg.norm(spread[:, 2], axis=1) + 0.02
    if not front.any():
        return None
    dual = dual[front]
    focal = 0.5 * height / np.tan(0.5 * camera.fov)
    sides = []
    for axis, half in ((0, 0.5 * width), (1, 0.5 * height)):
        c, b, a = dual[:, 2, 2], dual[:, axis, 2], dual[:, axis, axis]
        root = np.sqrt(np.maximum(b * b - a * c, 0))
        ends = half + focal * np.stack([(b + root) / c, (b - root) / c])
        sides.append((ends.min(), ends.max()))
    (x1, x2), (y1, y2) = sides
    box = np.array([max(x1, 0), max(y1, 0), min(x2, width), min(y2, height)])
    return box if box[2] > box[0] and box[3] > box[1] else None
