"""A picture in which a user marked an instance and its keypoints."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from xpose_stream.engines.xpose.text import PromptError

MARGIN = 0.25  # of the box on every side: what is around a thing helps to tell what it is
AROUND = 0.1  # of the keypoints' extent, on every side of them, where no box is given
LEAST_SIDE = 2.0  # of a box, px
_FILL = (124, 116, 104)  # ImageNet's mean, so zero once it is normalised
MEAN, SPREAD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet's pictures in 0..1


@dataclass(frozen=True, slots=True, eq=False)
class Example:
    """One instance in a picture; px with (0, 0) the top left corner of the picture.

    Attributes:
        rgb: uint8 [H, W, 3].
        box: [4] x0, y0, x1, y1.
        keypoints: [K, 2] x, y; NaN where a keypoint is not given. One that is hidden may be given where it lies.

    Raises:
        PromptError: the box is empty, tiny or outside the picture, or no keypoint is given.
    """

    rgb: NDArray[np.uint8]
    box: NDArray[np.float64]
    keypoints: NDArray[np.float64]

    def __post_init__(self) -> None:
        object.__setattr__(self, "box", np.asarray(self.box, np.float64))
        object.__setattr__(self, "keypoints", np.asarray(self.keypoints, np.float64))
        height, width = self.rgb.shape[:2]
        x0, y0, x1, y1 = self.box
        if not (x0 < x1 and y0 < y1 and x0 < width and y0 < height and x1 > 0 and y1 > 0):
            raise PromptError(f"the box {self.box.tolist()} is not within its picture of {width} x {height}.")
        if min(x1 - x0, y1 - y0) < LEAST_SIDE:
            raise PromptError(f"the box {self.box.tolist()} is below {LEAST_SIDE:g} px; write it in px of the picture.")
        if not self.present.any():
            raise PromptError("an example needs at least one keypoint.")

    @property
    def present(self) -> NDArray[np.bool_]:
        """[K] True where a keypoint is given."""
        return np.asarray(np.isfinite(self.keypoints).all(-1), np.bool_)

    def view(self, width: int, height: int) -> Example:
        """The instance with a margin, as large as it can be in a picture of this size, the rest filled with grey."""
        low, high = self.box[:2], self.box[2:]
        size = np.array((width, height))
        scale = float((size / ((high - low) * (1 + 2 * MARGIN))).min())
        shift = size / 2 - scale * (low + high) / 2
        matrix = np.array(((scale, 0, shift[0]), (0, scale, shift[1])))
        rgb: Any = self.rgb
        if scale < 0.5:  # what warpAffine would skip is averaged first
            small = cv2.resize(rgb, None, fx=2 * scale, fy=2 * scale, interpolation=cv2.INTER_AREA)
            matrix[:, :2] *= np.array((rgb.shape[1] / small.shape[1], rgb.shape[0] / small.shape[0]))
            rgb = small
        # OpenCV puts (0, 0) into the centre of the first pixel, we into its corner.
        matrix[:, 2] += matrix[:, :2].sum(1) / 2 - 0.5
        seen: Any = cv2.warpAffine(rgb, matrix, (width, height), flags=cv2.INTER_LINEAR, borderValue=_FILL)
        box = (self.box.reshape(2, 2) * scale + shift).ravel()
        return Example(seen, box, self.keypoints * scale + shift)


def around(keypoints: NDArray[np.float64]) -> NDArray[np.float64]:
    """[4] px, a box around keypoints [K, 2] with a margin; NaN is left out. It may reach beyond the picture."""
    points = np.asarray(keypoints, np.float64)
    points = points[np.isfinite(points).all(-1)]
    if not len(points):
        raise PromptError("an example needs at least one keypoint.")
    low, high = points.min(0), points.max(0)
    margin = max(AROUND * float((high - low).max()), LEAST_SIDE)
    return np.concatenate((low - margin, high + margin))


def normalised(rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
    """[H, W, 3] as the model takes it: float32 [3, H, W] with ImageNet's mean and spread."""
    return np.asarray(((rgb / 255 - np.array(MEAN)) / np.array(SPREAD)).transpose(2, 0, 1), np.float32)
