from __future__ import annotations

import av
import numpy as np
import pytest
import torch
from av.video.reformatter import ColorRange, Colorspace

from xpose_stream.stream.sources.yuv import colour_matrix, planar, planes_of, resize, to_rgb

COLOURS = np.array([[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 255], [0, 0, 0], [40, 120, 200]], np.uint8)


def bars(height: int = 96, width: int = 192) -> np.ndarray:
    return np.repeat(COLOURS, width // len(COLOURS), 0)[None].repeat(height, 0)


def encoded(rgb: np.ndarray, pixel_format: str, space: Colorspace, span: ColorRange) -> av.VideoFrame:
    return av.VideoFrame.from_ndarray(rgb, format="rgb24").reformat(
        format=pixel_format, dst_colorspace=space, dst_color_range=span
    )


@pytest.mark.parametrize("span", [ColorRange.MPEG, ColorRange.JPEG])
@pytest.mark.parametrize("space", [Colorspace.ITU601, Colorspace.ITU709])
@pytest.mark.parametrize("pixel_format", ["yuv420p", "nv12", "yuv422p", "yuv444p"])
def test_colours_come_back_for_every_standard_range_and_layout(
    pixel_format: str, space: Colorspace, span: ColorRange
) -> None:
    picture = encoded(bars(), pixel_format, space, span)
    rgb = to_rgb(resize(planes_of(picture), (192, 96)), picture)[:, 48]
    np.testing.assert_allclose(rgb[:, 16::32].T.numpy(), COLOURS, atol=3)


def test_other_formats_go_through_ffmpeg() -> None:
    picture = planar(av.VideoFrame.from_ndarray(bars(), format="rgb24"))
    rgb = to_rgb(resize(planes_of(picture), (192, 96)), picture)[:, 48]
    np.testing.assert_allclose(rgb[:, 16::32].T.numpy(), COLOURS, atol=3)


def test_resizing_planes_equals_resizing_the_rgb_picture() -> None:
    y, x = np.mgrid[0:96, 0:192]
    rgb = (127.5 + 60 * np.stack([np.sin(x / 9), np.cos(y / 7), np.sin((x + y) / 8)], -1)).astype(np.uint8)
    picture = encoded(rgb, "yuv444p", Colorspace.ITU709, ColorRange.JPEG)
    small = to_rgb(resize(planes_of(picture), (64, 32)), picture)
    full = to_rgb(resize(planes_of(picture), (192, 96)), picture)
    again = torch.nn.functional.interpolate(full.unsqueeze(0), (32, 64), mode="bilinear", antialias=True)
    torch.testing.assert_close(small, again[0], atol=1e-2, rtol=0)


def test_rows_longer_than_the_picture_are_cut() -> None:
    picture = encoded(bars(90, 186), "yuv420p", Colorspace.ITU601, ColorRange.MPEG)  # FFmpeg pads its rows
    assert [tuple(plane.shape) for plane in planes_of(picture)] == [(90, 186), (45, 93), (45, 93)]


def test_grey_needs_no_colour() -> None:
    picture = encoded(np.full((16, 16, 3), 100, np.uint8), "yuv420p", Colorspace.ITU709, ColorRange.MPEG)
    matrix, offset = colour_matrix(picture)
    grey = matrix @ torch.tensor([16 + 219 * 100 / 255, 128.0, 128.0]) + offset
    torch.testing.assert_close(grey, torch.full((3,), 100.0), atol=1e-3, rtol=0)
