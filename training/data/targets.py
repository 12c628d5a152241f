"""What one batch of images shows: the truth that matching and losses compare the model's layers with."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor


@dataclass(frozen=True, slots=True)
class Targets:
    """The instances of B images, padded to M per image. Coordinates are fractions of the image.

    Attributes:
        boxes: [B, M, 4] cx, cy, w, h of the part inside the image.
        keypoints: [B, M, K, 2] x, y; anything where the visibility is 0.
        visibility: [B, M, K] 2 visible, 1 hidden, 0 outside the image, -1 not annotated or none of the category's.
        classes: [B, M] index of the instance prompt.
        real: [B, M] True where the slot holds an instance that is to be found.
        ignore: [B, M] True where it holds one that may be found or not. Padding is neither.
        known: [B, C] True where every instance of the class in the image is annotated, so that the others are mistakes.
        size: height, width of the images in px.
        trust: [B, M, K] how far the label of a keypoint is to be trusted, 0..1; None: entirely.
    """

    boxes: Tensor
    keypoints: Tensor
    visibility: Tensor
    classes: Tensor
    real: Tensor
    ignore: Tensor
    known: Tensor
    size: tuple[int, int]
    trust: Tensor | None = None

    def to(self, device: torch.device) -> Targets:
        """The same on a device."""
        moved = {
            name: getattr(self, name).to(device, non_blocking=True)
            for name in ("boxes", "keypoints", "visibility", "classes", "real", "ignore", "known")
        }
        trust = None if self.trust is None else self.trust.to(device, non_blocking=True)
        return replace(self, trust=trust, **moved)

    @property
    def aspect(self) -> float:
        """Width / height, to measure distances in one unit."""
        return self.size[1] / self.size[0]

    @property
    def count(self) -> Tensor:
        """Number of instances to be found, at least 1: what sums over instances are divided by. Scalar."""
        return self.real.sum().clamp(min=1)
