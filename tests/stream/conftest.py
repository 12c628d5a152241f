"""Clips whose pictures say which frame they are."""

from __future__ import annotations

import subprocess
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

WIDTH, HEIGHT, BITS = 128, 96, 8


def picture_of(number: int) -> NDArray[np.uint8]:
    """RGB picture [96, 128, 3] with the bits of `number` as bright columns, 16 px wide, over noise that is its own."""
    picture = np.random.default_rng(number).integers(30, 70, (HEIGHT, WIDTH, 3), dtype=np.uint8)
    for bit in range(BITS):
        if number >> bit & 1:
            picture[32:64, 16 * bit : 16 * bit + 16] = 220
    return picture


def number_of(picture: NDArray[np.uint8]) -> int:
    """The number that a picture shows."""
    columns = picture[40:56].mean(axis=(0, 2)).reshape(BITS, -1).mean(axis=1)
    return sum(1 << bit for bit in range(BITS) if columns[bit] > 130)


def write_clip(path: Path, frames: int = 30, rate: int = 30, b_frames: int = 0, key_every: int = 100) -> Path:
    """Write frames 0, 1, 2, … as H.264."""
    with av.open(path, "w") as container:
        stream = container.add_stream("libx264", rate=rate)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.options = {"preset": "veryfast", "crf": "28", "bf": str(b_frames), "b-adapt": "0", "g": str(key_every)}
        for number in range(frames):
            frame = av.VideoFrame.from_ndarray(picture_of(number), "rgb24")
            frame.pts, frame.time_base = number, Fraction(1, rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """30 numbered frames, 1 s, 128x96."""
    return write_clip(tmp_path_factory.mktemp("clips") / "clip.mp4")


@pytest.fixture(scope="session")
def long_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """900 numbered frames, 30 s: not over before it is disturbed."""
    return write_clip(tmp_path_factory.mktemp("clips") / "long.mp4", frames=900)


@pytest.fixture(scope="session")
def make_clip() -> Callable[..., Path]:
    """write_clip."""
    return write_clip


@pytest.fixture(scope="session")
def number_shown() -> Callable[[NDArray[np.uint8]], int]:
    """number_of."""
    return number_of


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """An empty disk of 4 MB."""
    disk = tmp_path / "disk"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m", "none", disk], capture_output=True).returncode:
        pytest.skip("only root may mount a small disk")
    yield disk
    subprocess.run(["umount", "--lazy", disk], check=True)
