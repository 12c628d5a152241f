"""Frames to the model's input: resized by the model's rule, RGB, normalised with ImageNet's statistics."""

from __future__ import annotations

import av
import torch
from av.video.reformatter import VideoReformatter
from torch import Tensor
from torch.nn import functional as F

from stream.frame import Frame

_MEAN = (0.485, 0.456, 0.406)
_STD = (0.229, 0.224, 0.225)


def target_size(width: int, height: int, short_side: int, long_side: int) -> tuple[int, int]:
    """(width, height) the model sees: the short side becomes `short_side` unless the long one would exceed `long_side`.

    The published rule, with its rounding (halves to even, then the other side cut to an integer).
    """
    short, long = min(width, height), max(width, height)
    side = short_side
    if long / short * side > long_side:
        side = round(long_side * short / long)
    if short == side:
        return width, height
    return (side, int(side * height / width)) if width < height else (int(side * width / height), side)


class Preprocessor:
    """Makes images [1, 3, h, w] float32 on `device` from frames of any size and pixel format."""

    def __init__(self, short_side: int, long_side: int, device: torch.device) -> None:
        self.short_side, self.long_side, self.device = short_side, long_side, device
        # Kept, so that its tables are made once per size.
        self._scaler = VideoReformatter()
        self._mean = torch.tensor(_MEAN, device=device).view(3, 1, 1) * 255
        self._scale = 1 / (torch.tensor(_STD, device=device).view(3, 1, 1) * 255)

    def __call__(self, frame: Frame) -> Tensor:
        """One normalised image, in channels-last order."""
        size = target_size(frame.width, frame.height, self.short_side, self.long_side)
        pixels = self._scale_on_cpu(frame.picture, size) if self.device.type == "cpu" else self._scale_here(frame, size)
        return (pixels - self._mean).mul_(self._scale).unsqueeze(0)

    def _scale_on_cpu(self, picture: av.VideoFrame, size: tuple[int, int]) -> Tensor:
        # FFmpeg's scaler converts and shrinks (with a widened bilinear filter) in one pass over the planes.
        width, height = size
        small = self._scaler.reformat(picture, width, height, format="rgb24", interpolation="BILINEAR", threads=1)
        return torch.from_numpy(small.to_ndarray()).permute(2, 0, 1).float()

    def _scale_here(self, frame: Frame, size: tuple[int, int]) -> Tensor:
        width, height = size
        full = torch.from_numpy(frame.to_rgb()).to(self.device, non_blocking=True).permute(2, 0, 1).float()
        return F.interpolate(full.unsqueeze(0), (height, width), mode="bilinear", antialias=True)[0]
