"""A clip in whose pictures stands which they are."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np

BITS, SIDE, RATE = 12, 20, 30
WIDTH = 2 * BITS * SIDE  # px


def write_numbered(path: Path, seconds: int = 60) -> Path:
    """Frames with their numbers at the top, every bit beside its opposite."""
    with av.open(path, "w") as container:
        stream = container.add_stream("libx264", rate=RATE)
        stream.width, stream.height, stream.pix_fmt = WIDTH, 240, "yuv420p"
        stream.options = {"preset": "ultrafast", "crf": "20"}
        for number in range(seconds * RATE):
            picture = np.full((240, WIDTH, 3), 40, np.uint8)
            for bit in range(BITS):
                lit = 2 * bit + 1 - (number >> bit & 1)
                picture[:20, lit * SIDE : (lit + 1) * SIDE] = 200
            picture[220:] = 230  # the test engine's spot is all that is bright: its middle is far from the number
            frame = av.VideoFrame.from_ndarray(picture, "rgb24")
            frame.pts, frame.time_base = number, Fraction(1, RATE)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def number_in(picture: np.ndarray) -> int | None:
    """The number in a picture [h, w, 3]; None where it cannot be read."""
    strip = picture[10, SIDE // 2 :: SIDE].mean(1) > 128
    up, down = strip[::2], strip[1::2]
    return int((up * 2 ** np.arange(BITS)).sum()) if (up != down).all() else None
