"""Turned and anamorphic videos are seen as they are meant, whatever way they come in."""

from __future__ import annotations

import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from stream.sources import open_source

ROOT = Path(__file__).parents[2]


def write(path: Path, turn: int = 0, aspect: Fraction | None = None) -> Path:
    """Four frames of 128x96 with a bright top left corner, to be shown turned by `turn` degrees to the left."""
    with av.open(path, "w") as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 128, 96, "yuv420p"
        if aspect:
            stream.codec_context.sample_aspect_ratio = aspect
        if turn:
            stream.set_display_rotation(turn)
        for number in range(4):
            picture = np.full((96, 128, 3), 20, np.uint8)
            picture[:24, :32] = 230
            frame = av.VideoFrame.from_ndarray(picture, "rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 10)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


# Where the bright corner is, as (row, column) of the last or first pixels, and the size.
TURNS = {0: (0, 0, 128, 96), 90: (-1, 0, 96, 128), 180: (-1, -1, 128, 96), -90: (0, -1, 96, 128)}


@pytest.mark.parametrize("turn", TURNS)
def test_a_turned_video_is_upright(turn: int, tmp_path: Path) -> None:
    row, column, width, height = TURNS[turn]
    with open_source(write(tmp_path / "clip.mp4", turn=turn)) as source:
        frames = list(source)
        assert (source.width, source.height) == (width, height)
    assert [frame.pts for frame in frames] == pytest.approx([0, 0.1, 0.2, 0.3])
    for frame in frames:
        picture = frame.to_rgb()
        assert picture.shape == (height, width, 3)
        bright = [(y, x) for y in (0, -1) for x in (0, -1) if picture[y, x].mean() > 150]
        assert bright == [(row, column)]


@pytest.mark.parametrize(("aspect", "width"), [(Fraction(4, 3), 170), (Fraction(1, 2), 64), (Fraction(1), 128)])
def test_pixels_are_square(aspect: Fraction, width: int, tmp_path: Path) -> None:
    with open_source(write(tmp_path / "clip.mp4", aspect=aspect)) as source:
        frame = next(source)
    assert (frame.width, frame.height) == (width, 96)
    bright = np.nonzero(frame.to_rgb()[5].mean(axis=1) > 120)[0]
    assert bright[-1] + 1 == pytest.approx(width / 4, abs=2)


def test_a_photograph_in_a_folder_is_upright_as_the_file_itself_is(tmp_path: Path) -> None:
    picture = np.full((60, 100, 3), 20, np.uint8)
    picture[:15, :25] = 230
    jpeg = cv2.imencode(".jpg", picture)[1].tobytes()
    orientation = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0\x06\0\0\0\0\0\0"  # 6: turn it to the right
    head = b"\xff\xe1" + (len(orientation) + 2).to_bytes(2, "big") + orientation
    (tmp_path / "0.jpg").write_bytes(jpeg[:2] + head + jpeg[2:])
    for spec in (tmp_path, tmp_path / "0.jpg"):
        with open_source(spec) as source:
            shown = next(source).to_rgb()
        assert shown.shape == (100, 60, 3)
        assert shown[5, -5].mean() > 150 > shown[5, 5].mean()


def test_standard_input_is_a_file_that_waits(tmp_path: Path) -> None:
    clip = write(tmp_path / "clip.ts")
    program = (
        "from stream.sources import *\nwith open_source('-') as source: "
        "print(source.live, [(f.index, f.clock) for f in source])"
    )
    with clip.open("rb") as given:
        result = subprocess.run(
            [sys.executable, "-c", program], stdin=given, capture_output=True, text=True, cwd=ROOT, timeout=60
        )
    assert result.stdout == f"False {[(n, 'file') for n in range(4)]}\n", result.stderr
