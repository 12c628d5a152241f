"""What a compiler of the model has to give."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import torch
from torch import Tensor, nn

Precision = str  # "float32" or "float16"
Answer = tuple[Tensor, ...]  # the parts of an XPoseOutput that the model gives
Run = Callable[..., Answer]


class Backend(Protocol):
    """A way to compile the model. `inputs` are always images [B, 3, H, W], instances [C, P], keypoints [C, K, P], and
    a keypoint mask [C, K] where some class lacks keypoints; the model answers them with a plain tuple."""

    name: str

    def unavailable(self, device: torch.device, precision: Precision) -> str | None:
        """One sentence why this backend cannot run here, or None."""

    def build(self, model: nn.Module, inputs: tuple[Tensor, ...], precision: Precision, path: Path) -> None:
        """Compile for exactly these shapes into a file at `path`."""

    def load(self, path: Path, inputs: tuple[Tensor, ...]) -> Run:
        """Ready a built file to run on inputs of the same shapes."""
