"""Ways to run X-Pose. Every engine answers the same; they differ in speed and in what they need."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Hashable
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
        self._recorded: dict[Hashable, Callable[..., tuple[Tensor, ...]]] = {}
        self._model = folded.to(memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stub lacks it

    def pin(self, instances: Tensor, keypoints: Tensor, keypoint_mask: Tensor) -> PinnedPrompts:
        """Put prompt embeddings on the device; see Engine."""
        mask = None if bool(keypoint_mask.all()) else keypoint_mask.to(self.device)
        return PinnedPrompts(instances.to(self.device), keypoints.to(self.device), mask)

    @torch.inference_mode()
    def __call__(self, images: Tensor, prompts: PinnedPrompts) -> XPoseOutput:
        """Detect; see Engine."""
        if self.device.type != "cpu":
            return self._model(images, *prompts)
        key = (images.shape, prompts.keypoints.shape, prompts.keypoint_mask is None)
        if key not in self._recorded:
            self._recorded[key] = self._record(images, prompts)
        given = [tensor for tensor in prompts if tensor is not None]
        return XPoseOutput(*self._recorded[key](images, *given))

    def _record(self, images: Tensor, prompts: PinnedPrompts) -> Callable[..., tuple[Tensor, ...]]:
        """The model as recorded operations: they run without Python's lock, so decoding and drawing go on meanwhile."""
        given = tuple(tensor for tensor in prompts if tensor is not None)
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")  # of tracing, which is deprecated but needs no compiler
            return torch.jit.freeze(torch.jit.trace(_Plain(self._model).eval(), (images, *given), check_trace=False))


class _Plain(nn.Module):
    """The model with a plain tuple as its answer, which is all that can be recorded."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, images: Tensor, *prompts: Tensor) -> tuple[Tensor, ...]:
        """As `XPose.forward`, without what the model does not give."""
        return tuple(part for part in self.model(images, *prompts) if part is not None)


def fold_batch_norms(model: XPose) -> XPose:
    """Merge every batch norm into the convolution before it; exact up to rounding once the model is in eval mode."""
    for block in model.modules():
        if isinstance(block, nn.Sequential) and len(block) == 2:
            convolution, norm = block
            if isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                block[0], block[1] = fuse_conv_bn_eval(convolution, norm), nn.Identity()
    return model
