from __future__ import annotations

from fractions import Fraction
from itertools import product

import av
import numpy as np
import pytest
import torch
from av.video.reformatter import ColorRange

from stream.frame import Frame
from stream.preprocess import Preprocessor
from stream.yuv import planes_of

LAYOUTS = ("yuv420p", "nv12", "yuv422p", "yuv444p")
RANGES = (ColorRange.MPEG, ColorRange.JPEG)


def frame_of(rgb: np.ndarray, pixel_format: str = "rgb24") -> Frame:
    picture = av.VideoFrame.from_ndarray(rgb, format="rgb24").reformat(format=pixel_format)
    picture.pts, picture.time_base = 0, Fraction(1, 30)
    return Frame("test", 0, 0.0, 0.0, "file", 0.0, picture)


def smooth_picture(height: int, width: int) -> np.ndarray:
    y, x = np.mgrid[0:height, 0:width]
    channels = [np.sin(x / 17), np.cos(y / 23), np.sin((x + y) / 31)]
    return (127.5 + 100 * np.stack(channels, -1)).astype(np.uint8)


def test_pixels_are_normalised_with_imagenets_statistics() -> None:
    grey = np.full((144, 192, 3), 128, np.uint8)
    image = Preprocessor(144, 192, torch.device("cpu"))(frame_of(grey))
    expected = (128 / 255 - np.array([0.485, 0.456, 0.406])) / np.array([0.229, 0.224, 0.225])
    assert image.shape == (1, 3, 144, 192)
    np.testing.assert_allclose(image.mean((0, 2, 3)).numpy(), expected, atol=0.02)


@pytest.mark.parametrize(("pixel_format", "span"), [("yuvj420p", ColorRange.JPEG), *product(LAYOUTS, RANGES)])
def test_both_ways_to_shrink_agree_with_pillows_resize_of_the_rgb_picture(pixel_format: str, span: ColorRange) -> None:
    rgb = smooth_picture(480, 640)
    picture = frame_of(rgb).picture.reformat(format=pixel_format, dst_color_range=span)
    preprocess = Preprocessor(144, 192, torch.device("cpu"))
    pixels = torch.from_numpy(rgb).permute(2, 0, 1).unsqueeze(0).float()
    reference = torch.nn.functional.interpolate(pixels, (144, 192), mode="bilinear", antialias=True)
    mean, std = (torch.tensor(values).view(3, 1, 1) * 255 for values in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
    on_device = preprocess._on_device(planes_of(picture), picture, (192, 144))
    for image in (preprocess._on_cpu(picture, (192, 144)), on_device):
        assert image.is_contiguous(memory_format=torch.channels_last)
        difference = (image * std + mean - reference).abs()
        assert difference.mean() < 1.0  # of 255
        assert difference.max() < 6.0


def test_red_comes_first_and_row_zero_is_on_top_for_planar_video() -> None:
    rgb = np.zeros((144, 192, 3), np.uint8)
    rgb[:72, :, 0] = 255
    image = Preprocessor(144, 192, torch.device("cpu"))(frame_of(rgb, "yuv420p"))[0]
    assert image[0, :60].mean() > 1.5 and image[0, 80:].mean() < -1.5
    assert image[2].mean() < -1.0
