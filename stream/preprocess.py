"""Frames to the model's input: resized by the model's rule, RGB, normalised with ImageNet's statistics."""

from __future__ import annotations

import av
import torch
from av.video.reformatter import VideoReformatter
from torch import Tensor

from stream.frame import Frame
from stream.yuv import planar, planes_of, resize, to_rgb

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
    """Makes images [1, 3, h, w] float32 on `device` from frames of any size and pixel format.

    On a CPU, FFmpeg's scaler shrinks the planes. On a GPU they are uploaded as they were decoded, from pinned memory
    and on a stream of this preprocessor's own, so that one camera's upload overlaps another's computation.
    """

    def __init__(self, short_side: int, long_side: int, device: torch.device) -> None:
        self.short_side, self.long_side, self.device = short_side, long_side, device
        self._scaler = VideoReformatter()  # kept, so that its tables are made once per size
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None
        self._mean = torch.tensor(_MEAN, device=device).view(3, 1, 1) * 255
        self._scale = 1 / (torch.tensor(_STD, device=device).view(3, 1, 1) * 255)

    def __call__(self, frame: Frame) -> Tensor:
        """One normalised image, in channels-last order."""
        size = target_size(frame.width, frame.height, self.short_side, self.long_side)
        picture = planar(frame.picture)
        if self._stream is None:
            return self._normalise(self._shrink(picture, size), picture)
        with torch.cuda.stream(self._stream):
            image = self._normalise(self._shrink_on_device(picture, size), picture)
        torch.cuda.current_stream(self.device).wait_stream(self._stream)
        image.record_stream(torch.cuda.current_stream(self.device))
        return image

    def _normalise(self, yuv: Tensor, picture: av.VideoFrame) -> Tensor:
        image = (to_rgb(yuv, picture) - self._mean).mul_(self._scale)
        return image.unsqueeze(0).contiguous(memory_format=torch.channels_last)

    def _shrink(self, picture: av.VideoFrame, size: tuple[int, int]) -> Tensor:
        width, height = size
        small = self._scaler.reformat(picture, width, height, format="yuv444p", interpolation="BILINEAR", threads=1)
        return torch.stack(planes_of(small)).float()

    def _shrink_on_device(self, picture: av.VideoFrame, size: tuple[int, int]) -> Tensor:
        planes = [plane.contiguous() for plane in planes_of(picture)]
        if self._stream is not None:
            planes = [plane.pin_memory().to(self.device, non_blocking=True) for plane in planes]
        return resize(planes, size)
