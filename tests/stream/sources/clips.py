"""Clips of the kinds that other programs write and people have."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np


def picture(number: int, size: tuple[int, int] = (160, 120)) -> av.VideoFrame:
    """Grey, as bright as its number, at number / 30 s."""
    width, height = size
    frame = av.VideoFrame.from_ndarray(np.full((height, width, 3), 2 * number % 256, np.uint8), "rgb24")
    frame.pts, frame.time_base = number, Fraction(1, 30)
    return frame


def write(
    path: Path,
    frames: int = 30,
    size: tuple[int, int] = (160, 120),
    options: dict[str, str] | None = None,
    format: str | None = None,
    key_every: int = 30,
    noise: int = 0,
) -> Path:
    """H.264 at 30 frames per s, with so much noise that no frame is small."""
    with av.open(str(path), "w", format=format, options=options or {}) as container:
        stream = container.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        stream.options = {"preset": "ultrafast", "bf": "0", "g": str(key_every), "sc_threshold": "0"}
        for number in range(frames):
            frame = picture(number, size)
            if noise:
                rgb = np.random.default_rng(number).integers(0, noise, (size[1], size[0], 3), np.uint8)
                frame = av.VideoFrame.from_ndarray(rgb, "rgb24")
                frame.pts, frame.time_base = number, Fraction(1, 30)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def thumbnail_first(path: Path) -> Path:
    """A small JPEG, then a video of 20 frames, as some phones and drones write them."""
    with av.open(str(path), "w") as container:
        still = container.add_stream("mjpeg", rate=30)
        still.width, still.height, still.pix_fmt = 80, 60, "yuvj420p"
        video = container.add_stream("libx264", rate=30)
        video.width, video.height, video.pix_fmt = 160, 120, "yuv420p"
        container.mux(still.encode(picture(0, (80, 60))))
        for number in range(20):
            container.mux(video.encode(picture(number)))
        container.mux(still.encode())
        container.mux(video.encode())
    return path


def audio_first(path: Path, seconds: int = 2, frames: int = 90) -> Path:
    """An FLV whose first tag of video comes after some seconds of sound, as of a stream that begins with a still."""
    with av.open(str(path), "w", format="flv") as container:
        sound = container.add_stream("aac", rate=44100)
        video = container.add_stream("libx264", rate=30)
        video.width, video.height, video.pix_fmt = 160, 120, "yuv420p"
        for start in range(0, 44100 * seconds, 1024):
            quiet = av.AudioFrame.from_ndarray(np.zeros((1, 1024), np.float32), "fltp", "mono")
            quiet.sample_rate, quiet.pts, quiet.time_base = 44100, start, Fraction(1, 44100)
            container.mux(sound.encode(quiet))
        for number in range(frames):
            late = picture(number)
            late.pts = number + 30 * seconds
            container.mux(video.encode(late))
        container.mux(sound.encode())
        container.mux(video.encode())
    data = path.read_bytes()
    head, tags, place = data[:13], [], 13
    while place < len(data):
        size = 15 + int.from_bytes(data[place + 1 : place + 4], "big")
        tags.append(data[place : place + size])
        place += size
    # The header says that there is sound only, and the video's own header comes when it does.
    path.write_bytes(head[:4] + b"\x04" + head[5:] + b"".join(sorted(tags, key=lambda tag: tag[0] == 9)))
    return path


def gapped(path: Path, gap: float) -> Path:
    """Ten frames, and as many `gap` s later."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt = 160, 120, "yuv420p"
        stream.options = {"bf": "0", "tune": "zerolatency"}
        for number in range(20):
            frame = picture(number)
            frame.pts = number + (round(30 * gap) if number >= 10 else 0)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path
