"""Frames to the model's input: resized by the model's rule, RGB, normalised with ImageNet's statistics."""

from __future__ import annotations

import av
import cv2
import numpy as np
import torch
from av.video.reformatter import VideoReformatter
from torch import Tensor

from engines.example import MEAN, SPREAD
from engines.resize import target_size
from stream.frame import Frame
from stream.yuv import colour_matrix, planar, planes_of, resize, to_rgb


class Preprocessor:
    """Makes images [1, 3, h, w] float32 on `device` from frames of any size and pixel format.

    On a CPU, FFmpeg's scaler shrinks the planes, and OpenCV and NumPy do the rest: torch would wake its threads for it,
    which on a busy machine costs a hundred times the work. On a GPU the planes are uploaded as they were decoded,
    from pinned memory and on a stream of this preprocessor's own: one camera's upload overlaps another's computation.
    """

    def __init__(self, short_side: int, long_side: int, device: torch.device) -> None:
        self.short_side, self.long_side, self.device = short_side, long_side, device
        self._scaler = VideoReformatter()  # kept, so that its tables are made once per size
        self._stream = torch.cuda.Stream(device) if device.type == "cuda" else None

    def __call__(self, frame: Frame) -> Tensor:
        """One normalised image, in channels-last order."""
        size = target_size(frame.width, frame.height, self.short_side, self.long_side)
        picture = planar(frame.picture)
        if self._stream is None:
            return self._on_cpu(picture, size)
        with torch.cuda.stream(self._stream):
            pinned = [plane.contiguous().pin_memory() for plane in planes_of(picture)]
            uploaded = [plane.to(self.device, non_blocking=True) for plane in pinned]
            image = self._on_device(uploaded, picture, size)
        torch.cuda.current_stream(self.device).wait_stream(self._stream)
        image.record_stream(torch.cuda.current_stream(self.device))
        return image

    def _on_cpu(self, picture: av.VideoFrame, size: tuple[int, int]) -> Tensor:
        width, height = size
        small = self._scaler.reformat(picture, width, height, format="yuv444p", interpolation="BILINEAR", threads=1)
        matrix, offset = (tensor.numpy() for tensor in colour_matrix(picture))
        yuv = cv2.merge([plane.numpy() for plane in planes_of(small)])
        rgb = cv2.transform(yuv, np.column_stack((matrix, offset)))
        image = (rgb - 255 * np.array(MEAN, np.float32)) / (255 * np.array(SPREAD, np.float32))
        return torch.from_numpy(image).permute(2, 0, 1).unsqueeze(0)

    def _on_device(self, planes: list[Tensor], picture: av.VideoFrame, size: tuple[int, int]) -> Tensor:
        mean, std = (torch.tensor(values, device=planes[0].device).view(3, 1, 1) * 255 for values in (MEAN, SPREAD))
        image = (to_rgb(resize(planes, size), picture) - mean) / std
        return image.unsqueeze(0).contiguous(memory_format=torch.channels_last)
