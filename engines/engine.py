"""Ways to run X-Pose. Every engine answers the same; they differ in speed and in what they need."""

from __future__ import annotations

from typing import NamedTuple, Protocol

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from engines.xpose import XPose, XPoseConfig, XPoseOutput


class PinnedPrompts(NamedTuple):
    """Prompt embeddings that stay on the engine's device until the user changes the prompt."""

    instances: Tensor  # [C, P]
    keypoints: Tensor  # [C, K, P]
    keypoint_mask: Tensor | None  # [C, K] True where a class has a keypoint; None when every class has all K


class Engine(Protocol):
    """Runs the model on one device."""

    device: torch.device
    config: XPoseConfig

    def pin(self, instances: Tensor, keypoints: Tensor, keypoint_mask: Tensor) -> PinnedPrompts:
        """Put prompt embeddings [C, P], [C, K, P] and their mask [C, K] where the engine needs them."""

    def __call__(self, images: Tensor, prompts: PinnedPrompts) -> XPoseOutput:
        """Detect in `images` [B, 3, H, W], normalised, on the engine's device."""


def build_engine(model: XPose, device: str | torch.device | None = None) -> Engine:
    """The fastest engine there is for `model` on `device` (None: the GPU when there is one, else the CPU)."""
    if device is None:
        device = "cuda" if torch.cuda.is_available() else "cpu"
    return EagerEngine(model, torch.device(device))


class EagerEngine:
    """PyTorch as it is, float32: the reference for every other engine. It takes the model over."""

    def __init__(self, model: XPose, device: torch.device) -> None:
        self.device = device
        self.config = model.config
        folded: nn.Module = fold_batch_norms(model.eval()).to(device)
        self._model = folded.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stub lacks it

    def pin(self, instances: Tensor, keypoints: Tensor, keypoint_mask: Tensor) -> PinnedPrompts:
        """Put prompt embeddings on the device; see Engine."""
        mask = None if bool(keypoint_mask.all()) else keypoint_mask.to(self.device)
        return PinnedPrompts(instances.to(self.device), keypoints.to(self.device), mask)

    @torch.inference_mode()
    def __call__(self, images: Tensor, prompts: PinnedPrompts) -> XPoseOutput:
        """Detect; see Engine."""
        return self._model(images, *prompts)


def fold_batch_norms(model: XPose) -> XPose:
    """Merge every batch norm into the convolution before it; exact up to rounding once the model is in eval mode."""
    for block in model.modules():
        if isinstance(block, nn.Sequential) and len(block) == 2:
            convolution, norm = block
            if isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                block[0], block[1] = fuse_conv_bn_eval(convolution, norm), nn.Identity()
    return model
