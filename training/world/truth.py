"""What is true of a rendered picture: where every person's keypoints and box are, and what can be seen of them."""

from __future__ import annotations

from dataclasses import dataclass

import mujoco
import numpy as np

from training.world.scene import Scene

MIN_VISIBLE = 3
MIN_AREA = 100.0


@dataclass(frozen=True, slots=True)
class Truth:
    """The P persons of one picture, those first that are nearest to the camera.

    person: their places in the scene [P]; box [P, 4] xyxy px: the extent of the whole body, occluded parts too, clipped
    to the picture; keypoints [P, 17, 3]: x, y px and v (2 visible, 1 occluded, 0 outside the picture); ignore [P]: too
    little of the person shows to be asked for. Pixels: (0, 0) is the top-left corner of the picture.
    """

    person: np.ndarray
    box: np.ndarray
    keypoints: np.ndarray
    ignore: np.ndarray


def truth(scene: Scene, depth: np.ndarray, oversample: float = 1.0) -> Truth:
    """The truth of a scene that was rendered with this depth [H, W] m; persons entirely outside are left out.

    Where the picture was drawn `oversample` times as large as it will be, the pixels are those of the final picture.
    """
    height, width = depth.shape
    rows = []
    for person, figure in enumerate(scene.figures):
        if figure is None:
            continue
        box = _extent(scene, person, width, height)
        if box is None:
            continue
        parts, places, covers = figure.keypoints()
        bodies = np.arange(scene.model.nbody)[scene.bodies(person)][parts]
        turns = scene.data.xmat[bodies].reshape(-1, 3, 3)
        points = scene.data.xpos[bodies] + np.einsum("kij,kj->ki", turns, places)
        pixels, distance = scene.camera.project(points, width, height)
        inside = (pixels >= 0).all(1) & (pixels[:, 0] < width) & (pixels[:, 1] < height) & (distance > 0.05)
        column = np.clip(pixels[:, 0].astype(int), 0, width - 1)
        row = np.clip(pixels[:, 1].astype(int), 0, height - 1)
        # what the camera sees there lies in front of the keypoint by more than the flesh that covers it
        seen = depth[row, column] > distance - covers
        keypoints = np.column_stack([pixels, np.where(inside, np.where(seen, 2, 1), 0)])
        keypoints[:, :2] /= oversample
        box = box / oversample
        area = (box[2] - box[0]) * (box[3] - box[1])
        ignore = bool((keypoints[:, 2] == 2).sum() < MIN_VISIBLE or area < MIN_AREA)
        rows.append((float(distance.mean()), person, box, keypoints, ignore))
    rows.sort(key=lambda row: row[0])
    return Truth(
        person=np.array([row[1] for row in rows], np.int32),
        box=np.array([row[2] for row in rows], np.float32).reshape(-1, 4),
        keypoints=np.array([row[3] for row in rows], np.float32).reshape(-1, 17, 3),
        ignore=np.array([row[4] for row in rows], bool),
    )


def _extent(scene: Scene, person: int, width: int, height: int) -> np.ndarray | None:
    """The box [4] px of all solids of a person clipped to the picture, or None when it lies outside.

    An ellipsoid's outline is a conic: with the dual quadric Q and the projection P it is P Q P^T. A capsule reaches as
    far as the balls at its ends.
    """
    model, data, camera = scene.model, scene.data, scene.camera
    where = scene.solids(person)
    shown = model.geom_group[where] == 0
    centre, size = data.geom_xpos[where][shown], model.geom_size[where][shown]
    axes = data.geom_xmat[where][shown].reshape(-1, 3, 3)
    capsule = model.geom_type[where][shown] == mujoco.mjtGeom.mjGEOM_CAPSULE
    reach = axes[capsule, :, 2] * size[capsule, 1:2]
    ball = np.repeat(size[capsule, :1], 3, axis=1)
    centres = np.concatenate([centre[~capsule], centre[capsule] + reach, centre[capsule] - reach])
    semis = np.concatenate([size[~capsule], ball, ball])
    turns = np.concatenate([axes[~capsule], axes[capsule], axes[capsule]])
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
