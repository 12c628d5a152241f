from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from itertools import product
from pathlib import Path

import av
import numpy as np
import pytest
import torch
from av.video.reformatter import ColorRange, Colorspace

from xpose_stream.engines.prompts.example import MEAN, SPREAD
from xpose_stream.engines.resize import target_size
from xpose_stream.stream.preprocess import Preprocessor
from xpose_stream.stream.sources import open_source
from xpose_stream.stream.sources.frame import Frame
from xpose_stream.stream.sources.upright import Upright
from xpose_stream.stream.sources.yuv import colour_matrix, planes_of

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


def test_photographs_of_many_sizes_are_seen_in_two_and_what_is_left_is_of_the_mean_colour() -> None:
    preprocess = Preprocessor(144, 192, torch.device("cpu"))
    for width, height in [(640, 360), (641, 400), (700, 500), (500, 500), (360, 640), (333, 500), (900, 100)]:
        frame = replace(frame_of(smooth_picture(height, width)), mixed=True)
        image = preprocess(frame)
        assert image.shape[2:] == ((144, 192) if width >= height else (192, 144))
        assert image.is_contiguous(memory_format=torch.channels_last)
        across, down = target_size(width, height, 144, 192)
        alone = Preprocessor(144, 192, torch.device("cpu"))(frame_of(smooth_picture(height, width)))
        if alone.shape[2:] == (down, across):
            assert torch.equal(image[..., :down, :across], alone)
        assert not image[..., down:, :].any() and not image[..., across:].any()


def test_the_first_two_shapes_of_a_video_are_seen_as_they_are_and_so_are_others_of_the_same_shape() -> None:
    preprocess = Preprocessor(144, 192, torch.device("cpu"))
    sizes = [(640, 360), (640, 480), (320, 180), (1280, 720), (500, 640), (960, 540), (500, 500)]
    shapes = [tuple(preprocess(frame_of(smooth_picture(height, width))).shape[2:]) for width, height in sizes]
    assert shapes == [(108, 192), (144, 192), (108, 192), (108, 192), (192, 144), (108, 192), (144, 192)]


def test_red_comes_first_and_row_zero_is_on_top_for_planar_video() -> None:
    rgb = np.zeros((144, 192, 3), np.uint8)
    rgb[:72, :, 0] = 255
    image = Preprocessor(144, 192, torch.device("cpu"))(frame_of(rgb, "yuv420p"))[0]
    assert image[0, :60].mean() > 1.5 and image[0, 80:].mean() < -1.5
    assert image[2].mean() < -1.0


SHADES = np.array(
    [(0, 0, 0), (255, 255, 255), (200, 30, 30), (30, 200, 30), (30, 30, 200), (128, 128, 128), (16, 16, 16), (235,) * 3]
)
# Numbers of H.273: matrix, and primaries where the matrix follows from them.
MATRICES = [(1, None), (2, None), (4, None), (5, None), (6, None), (7, None), (8, None), (9, None), (10, None), (12, 1),
            (12, 9), (14, None)]  # fmt: skip


def write_bars(path: Path, matrix: int, primaries: int | None, pixels: str, span: int) -> Path:
    """Eight bars of `SHADES`, mixed by this matrix, as a file."""
    picture = av.VideoFrame(256, 96, "yuv444p")
    picture.colorspace, picture.color_range = matrix, span
    picture.color_primaries = primaries or 2
    rgb_of, offset = colour_matrix(picture)
    yuv = torch.linalg.inv(rgb_of) @ (torch.tensor(SHADES.T, dtype=torch.float32) - offset[:, None])
    for plane, values in zip(picture.planes, yuv.round().clamp(0, 255).byte().numpy(), strict=True):
        rows = np.zeros((96, plane.line_size), np.uint8)
        rows[:, :256] = np.repeat(values, 32)
        plane.update(rows)
    same = {"src_colorspace": Colorspace.ITU601, "dst_colorspace": Colorspace.ITU601}
    picture = picture.reformat(format=pixels, **same)  # type: ignore[arg-type]
    picture.colorspace, picture.color_range, picture.pts, picture.time_base = matrix, span, 0, Fraction(1, 10)
    picture.color_primaries = primaries or 2
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt, stream.options = 256, 96, pixels, {"crf": "4"}
        context = stream.codec_context
        context.colorspace, context.color_range, context.color_primaries = matrix, span, primaries or 2
        container.mux(stream.encode(picture))
        container.mux(stream.encode())
    return path


@pytest.mark.parametrize("span", [ColorRange.MPEG, ColorRange.JPEG], ids=["limited", "full"])
@pytest.mark.parametrize("pixels", ["yuv420p", "yuv444p", "yuv420p10le"])
@pytest.mark.parametrize(("matrix", "primaries"), MATRICES)
def test_the_model_and_a_person_see_the_colours_that_were_filmed(
    matrix: int, primaries: int | None, pixels: str, span: ColorRange, tmp_path: Path
) -> None:
    clip = write_bars(tmp_path / "bars.mp4", matrix, primaries, pixels, int(span))
    with open_source(clip) as source:
        frame = next(source)
    image = Preprocessor(96, 256, torch.device("cpu"))(frame)[0].permute(1, 2, 0).numpy()
    seen = (image * np.array(SPREAD) + np.array(MEAN)) * 255
    assert np.abs(seen[48, 16::32] - SHADES).max() <= 5
    assert np.abs(frame.to_rgb()[48, 16::32].astype(int) - SHADES).max() <= 5


@pytest.mark.parametrize("matrix", [1, 8, 9, 14])
def test_stretching_changes_no_colours(matrix: int, tmp_path: Path) -> None:
    clip = write_bars(tmp_path / "bars.mp4", matrix, None, "yuv420p", 1)
    upright = Upright(Fraction(3, 2), "bars")
    with av.open(str(clip)) as container:
        frame = Frame.still(upright(next(container.decode(video=0))))
    assert frame.width == 384
    assert np.abs(frame.to_rgb()[48, 24::48].astype(int) - SHADES).max() <= 5
