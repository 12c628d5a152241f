"""Frames to the model's input: resized by the model's rule, RGB, normalised with ImageNet's statistics."""

from __future__ import annotations

import av
import cv2
import numpy as np
import torch
from av.video.reformatter import Colorspace, VideoReformatter
from torch import Tensor
from torch.nn.functional import pad

from xpose_stream.engines.prompts.example import MEAN, SPREAD
from xpose_stream.engines.resize import content_size, shared_size, target_size
from xpose_stream.stream.sources.frame import Frame
from xpose_stream.stream.sources.yuv import colour_matrix, planar, planes_of, resize, to_rgb

_EXACT = 2  # sizes of inputs: a camera that changes its own has two, a folder of photographs has many


class Preprocessor:
    """Makes images [1, 3, h, w] float32 on `device` from frames of any size and pixel format.

    On a CPU, FFmpeg's scaler shrinks the planes, and OpenCV and NumPy do the rest: torch would wake its threads for it,
    which on a busy machine costs a hundred times the work. On a GPU the planes are uploaded as they were decoded,
    from pinned memory and on a stream of this preprocessor's own: one camera's upload overlaps another's computation.

    The first two sizes that the published rule gives are inputs as they are. Each needs an engine of its own, so that
    where there are more, as in a folder of photographs, what the rule gives lies in one of two inputs for all, one for
    upright pictures, and the rest is of the mean colour, as in training; `span` tells what such an input spans.
    """

    def __init__(self, short_side: int, long_side: int, device: torch.device) -> None:
        self.short_side, self.long_side, self.device = short_side, long_side, device
        self._scaler = VideoReformatter()  # kept, so that its tables are made once per size
        self._sizes: set[tuple[int, int]] = set()  # that are inputs as they are
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None

    def __call__(self, frame: Frame) -> Tensor:
        """One normalised image, in channels-last order."""
        whole = self._size(frame)
        size = content_size((frame.width, frame.height), whole, self.short_side, self.long_side)
        picture = planar(frame.picture)
        if self._stream is None:
            return filled(self._on_cpu(picture, size), whole)
        with torch.cuda.stream(self._stream):
            pinned = [plane.contiguous().pin_memory() for plane in planes_of(picture)]
            uploaded = [plane.to(self.device, non_blocking=True) for plane in pinned]
            image = filled(self._on_device(uploaded, picture, size), whole)
        torch.cuda.current_stream(self.device).wait_stream(self._stream)
        image.record_stream(torch.cuda.current_stream(self.device))
        return image

    def _size(self, frame: Frame) -> tuple[int, int]:
        sides = frame.width, frame.height, self.short_side, self.long_side
        if (exact := target_size(*sides)) not in self._sizes and len(self._sizes) < _EXACT and not frame.mixed:
            self._sizes.add(exact)
        return exact if exact in self._sizes else shared_size(*sides)

    def _on_cpu(self, picture: av.VideoFrame, size: tuple[int, int]) -> Tensor:
        width, height = size
        # With the same name for both FFmpeg resizes and leaves the colours as they are; some matrices it does not know.
        same = {"src_colorspace": Colorspace.ITU601, "dst_colorspace": Colorspace.ITU601}
        small = self._scaler.reformat(
            picture, width, height, format="yuv444p", interpolation="BILINEAR", threads=1, **same
        )
        matrix, offset = (tensor.numpy() for tensor in colour_matrix(picture))
        yuv = cv2.merge([plane.numpy() for plane in planes_of(small)])
        rgb = cv2.transform(yuv, np.column_stack((matrix, offset)))
        image = (rgb - 255 * np.array(MEAN, np.float32)) / (255 * np.array(SPREAD, np.float32))
        return torch.from_numpy(image).permute(2, 0, 1).unsqueeze(0)

    def _on_device(self, planes: list[Tensor], picture: av.VideoFrame, size: tuple[int, int]) -> Tensor:
        mean, std = (torch.tensor(values, device=planes[0].device).view(3, 1, 1) * 255 for values in (MEAN, SPREAD))
        image = (to_rgb(resize(planes, size), picture) - mean) / std
        return image.unsqueeze(0).contiguous(memory_format=torch.channels_last)


def filled(image: Tensor, size: tuple[int, int]) -> Tensor:
    """An image [1, 3, h, w] in the top left corner of one of `size` (width, height)."""
    right, below = size[0] - image.shape[3], size[1] - image.shape[2]
    if not right and not below:
        return image
    if image.device.type != "cpu":
        return pad(image, (0, right, 0, below)).contiguous(memory_format=torch.channels_last)
    whole = cv2.copyMakeBorder(image[0].permute(1, 2, 0).numpy(), 0, below, 0, right, cv2.BORDER_CONSTANT)
    return torch.from_numpy(whole).permute(2, 0, 1).unsqueeze(0)
