"""Turned and anamorphic videos are seen as they are meant, whatever way they come in."""

from __future__ import annotations

import struct
import subprocess
import sys
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from xpose_stream.stream.sources import open_source

ROOT = Path(__file__).parents[3]


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
        assert bright_corners(picture) == [(row, column)]


@pytest.mark.parametrize(("aspect", "width"), [(Fraction(4, 3), 170), (Fraction(1, 2), 64), (Fraction(1), 128)])
def test_pixels_are_square(aspect: Fraction, width: int, tmp_path: Path) -> None:
    with open_source(write(tmp_path / "clip.mp4", aspect=aspect)) as source:
        frame = next(source)
    assert (frame.width, frame.height) == (width, 96)
    bright = np.nonzero(frame.to_rgb()[5].mean(axis=1) > 120)[0]
    assert bright[-1] + 1 == pytest.approx(width / 4, abs=2)


# EXIF's orientation: where the stored picture's top left corner belongs, as (row, column), and whether sides change.
EXIF = {1: (0, 0, 0), 2: (0, -1, 0), 3: (-1, -1, 0), 4: (-1, 0, 0)}
EXIF |= {5: (0, 0, 1), 6: (0, -1, 1), 7: (-1, -1, 1), 8: (-1, 0, 1)}


def write_photograph(path: Path, orientation: int) -> Path:
    """100x60 as stored, with a bright top left corner and an EXIF tag."""
    picture = np.full((60, 100, 3), 20, np.uint8)
    picture[:15, :25] = 230
    jpeg = cv2.imencode(".jpg", picture)[1].tobytes()
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0" + bytes([orientation]) + b"\0\0\0\0\0\0"
    head = b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif
    path.write_bytes(jpeg[:2] + head + jpeg[2:])
    return path


@pytest.mark.parametrize("orientation", EXIF)
def test_a_photograph_is_upright_alone_and_in_a_folder(orientation: int, tmp_path: Path) -> None:
    path = write_photograph(tmp_path / "0.jpg", orientation)
    row, column, turned = EXIF[orientation]
    for spec in (tmp_path, path):
        with open_source(spec) as source:
            shown = next(source).to_rgb()
        assert shown.shape == ((100, 60, 3) if turned else (60, 100, 3))
        assert bright_corners(shown) == [(row, column)]


# Display matrices of mirrored and turned videos, in 16.16, and where the top left corner goes.
MATRICES = {
    "hflip": ((-1, 0, 0, 1), (0, -1)), "vflip": ((1, 0, 0, -1), (-1, 0)), "transposed": ((0, 1, 1, 0), (0, 0)),
    "transversed": ((0, -1, -1, 0), (-1, -1)), "turned": ((0, 1, -1, 0), (0, -1)), "as it is": ((1, 0, 0, 1), (0, 0)),
    "mirrored and half as large": ((-0.5, 0, 0, 0.5), (0, -1)), "nothing at all": ((0, 0, 0, 0), (0, 0)),
}  # fmt: skip


@pytest.mark.parametrize("name", MATRICES)
def test_a_mirrored_video_is_shown_as_it_is_meant(name: str, tmp_path: Path) -> None:
    (a, b, c, d), corner = MATRICES[name]
    plain = write(tmp_path / "plain.mp4").read_bytes()
    place = plain.index(b"tkhd") + 4 + 40  # version 0: the matrix stands 40 bytes into the track's header
    a, b, c, d = (round(65536 * value) for value in (a, b, c, d))
    matrix = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    (tmp_path / "clip.mp4").write_bytes(plain[:place] + matrix + plain[place + 36 :])
    with open_source(tmp_path / "clip.mp4") as source:
        frames = list(source)
    assert len(frames) == 4
    assert all(bright_corners(frame.to_rgb()) == [corner] for frame in frames)


def bright_corners(picture: np.ndarray) -> list[tuple[int, int]]:
    return [(y, x) for y in (0, -1) for x in (0, -1) if picture[y, x].mean() > 150]


ABSURD = [(65535, 1), (100, 1), (1, 65535), (41, 10), (10, 41)]


@pytest.mark.parametrize("aspect", ABSURD)
def test_an_absurd_aspect_is_not_believed_and_told_once(
    aspect: tuple[int, int], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    plain = write(tmp_path / "plain.mp4", aspect=Fraction(4, 3)).read_bytes()
    place = plain.index(b"pasp") + 4
    (tmp_path / "clip.mp4").write_bytes(plain[:place] + struct.pack(">2I", *aspect) + plain[place + 8 :])
    for _ in range(2):
        with open_source(tmp_path / "clip.mp4") as source:
            assert {(frame.width, frame.height) for frame in source} == {(128, 96)}
    (told,) = caplog.messages
    assert f"pixels of {aspect[0]}:{aspect[1]} are not believed" in told


def test_standard_input_is_a_file_that_waits(tmp_path: Path) -> None:
    clip = write(tmp_path / "clip.ts")
    program = (
        "from xpose_stream.stream.sources import *\nwith open_source('-') as source: "
        "print(source.live, [(f.index, f.clock) for f in source])"
    )
    with clip.open("rb") as given:
        result = subprocess.run(
            [sys.executable, "-c", program], stdin=given, capture_output=True, text=True, cwd=ROOT, timeout=60
        )
    assert result.stdout == f"False {[(n, 'file') for n in range(4)]}\n", result.stderr
