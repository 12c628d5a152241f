"""A picture with the instances in it, and the ways of moving both together: mirror, crop and join."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

# An instance of which a crop leaves less than this is neither to be found nor a mistake when it is.
LEAST_SHARE = 0.2
LEAST_AREA = 50.0  # px^2 of the crop's picture
LEAST_KEYPOINTS = 3  # visible ones


@dataclass(frozen=True, slots=True)
class Picture:
    """One picture and its n instances, in px with (0, 0) the top left corner of the top left pixel.

    Attributes:
        rgb: uint8 [H, W, 3].
        boxes: float32 [n, 4] x0, y0, x1, y1, inside the picture.
        keypoints: float32 [n, K, 3] x, y and visibility: 2 visible, 1 hidden, 0 outside the picture, -1 not annotated
            or none of the category's.
        classes: int64 [n].
        ignore: bool [n] neither positive nor negative, as a crowd; what has no annotated keypoint is so without it.
        areas: float32 [n] silhouettes in px^2, NaN where unknown; None once the picture has been changed.
        trust: float32 [n, K] how far every keypoint's label is to be trusted, 0..1; None: entirely.
    """

    rgb: NDArray[Any]
    boxes: NDArray[np.float32]
    keypoints: NDArray[np.float32]
    classes: NDArray[np.int64]
    ignore: NDArray[np.bool_]
    areas: NDArray[np.float32] | None = None
    trust: NDArray[np.float32] | None = None

    @property
    def size(self) -> tuple[int, int]:
        """Height, width."""
        return self.rgb.shape[0], self.rgb.shape[1]


def mirror(picture: Picture, orders: NDArray[np.int64]) -> Picture:
    """Left becomes right; `orders` [C, K] says for every class which keypoint takes the place of which."""
    width = picture.size[1]
    boxes = picture.boxes.copy()
    boxes[:, [0, 2]] = width - picture.boxes[:, [2, 0]]
    keypoints = np.take_along_axis(picture.keypoints, orders[picture.classes][..., None], 1)
    keypoints[..., 0] = width - keypoints[..., 0]
    trust = picture.trust
    if trust is not None:
        trust = np.take_along_axis(trust, orders[picture.classes], 1)
    return Picture(picture.rgb[:, ::-1], boxes, keypoints, picture.classes, picture.ignore, trust=trust)


def crop(
    picture: Picture, window: tuple[int, int, int, int], size: tuple[int, int], fill: Sequence[int] = (124, 116, 104)
) -> Picture:
    """What a window (x0, y0, x1, y1; whole px, may reach outside) shows, resampled by area to `size` (height, width).

    Instances outside are dropped; those of which too little is left are marked to be ignored.
    """
    x0, y0, x1, y1 = window
    (height, width), (tall, wide) = picture.size, size
    rgb: NDArray[Any] = picture.rgb[max(y0, 0) : max(y1, 0), max(x0, 0) : max(x1, 0)]
    margins = max(-y0, 0), max(y1 - height, 0), max(-x0, 0), max(x1 - width, 0)
    if any(margins):
        rgb = cv2.copyMakeBorder(rgb, *margins, cv2.BORDER_CONSTANT, value=tuple(fill))
    shrinks = wide * tall < (x1 - x0) * (y1 - y0)
    rgb = cv2.resize(rgb, (wide, tall), interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)

    scale = np.array((wide / (x1 - x0), tall / (y1 - y0)), np.float32)
    corner = np.array((x0, y0), np.float32)
    whole = (picture.boxes.reshape(-1, 2, 2) - corner) * scale
    left = whole.clip(0, (wide, tall))
    sides, whole_sides = left[:, 1] - left[:, 0], whole[:, 1] - whole[:, 0]
    keypoints = picture.keypoints.copy()
    keypoints[..., :2] = (keypoints[..., :2] - corner) * scale
    inside = ((keypoints[..., :2] >= 0) & (keypoints[..., :2] < (wide, tall))).all(-1)
    keypoints[..., 2] = np.where(keypoints[..., 2] > 0, keypoints[..., 2] * inside, keypoints[..., 2])
    area = sides.prod(-1)
    ignore = (
        picture.ignore
        | (area < LEAST_SHARE * whole_sides.prod(-1))
        | (area < LEAST_AREA)
        | ((keypoints[..., 2] == 2).sum(-1) < LEAST_KEYPOINTS)
    )
    seen = (sides > 1).all(-1)
    boxes = left.reshape(-1, 4).astype(np.float32)
    trust = None if picture.trust is None else picture.trust[seen]
    return Picture(rgb, boxes[seen], keypoints[seen], picture.classes[seen], ignore[seen], trust=trust)


def join(rows: Sequence[Sequence[Picture]]) -> Picture:
    """Pictures beside and below each other as one; those of a row are equally high, and all rows equally wide."""
    if len(rows) == 1 == len(rows[0]):
        return rows[0][0]
    boxes, keypoints, trust, tiles = [], [], [], [tile for row in rows for tile in row]
    top = 0
    for row in rows:
        left = 0
        for tile in row:
            corner = np.array((left, top), np.float32)
            boxes.append(tile.boxes + np.tile(corner, 2))
            keypoints.append(tile.keypoints + np.append(corner, np.float32(0)))
            trust.append(np.ones(tile.keypoints.shape[:2], np.float32) if tile.trust is None else tile.trust)
            left += tile.size[1]
        top += row[0].size[0]
    return Picture(
        np.vstack([np.hstack([tile.rgb for tile in row]) for row in rows]),
        np.concatenate(boxes),
        np.concatenate(keypoints),
        np.concatenate([tile.classes for tile in tiles]),
        np.concatenate([tile.ignore for tile in tiles]),
        trust=np.concatenate(trust),
    )
