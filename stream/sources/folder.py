"""A folder of images as a video."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from pathlib import Path

import av
from av.error import FFmpegError

from stream.sources.error import SourceError
from stream.sources.upright import Upright

FOLDER_RATE = 25.0  # images per s: a folder does not say
IMAGES = {".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}


class ImageFolder:
    """The images of a folder as a video of 25 pictures per s, in the order of their names (2.png before 10.png)."""

    live = False
    sender_start = None
    rate: float | None = FOLDER_RATE
    codec = "images"
    decoding = 0.0
    patience = math.inf

    def __init__(self, folder: Path) -> None:
        names = [path for path in folder.iterdir() if path.suffix.lower() in IMAGES]
        self._images = sorted(names, key=lambda path: [int(t) if t.isdigit() else t for t in _parts(path.name)])
        if not self._images:
            raise SourceError(f"{folder} contains no images ({' '.join(sorted(IMAGES))})")
        self.width = self.height = 0
        self.corrupt = 0

    def pictures(self) -> Iterator[tuple[float, av.VideoFrame]]:
        """See Media."""
        for number, path in enumerate(self._images):
            try:
                with av.open(f"file:{path}", "r", options={"pattern_type": "none"}) as image:
                    upright = Upright(image.streams.video[0].sample_aspect_ratio)
                    picture = upright(next(image.decode(video=0)))
            except (FFmpegError, OSError, IndexError, StopIteration):
                self.corrupt += 1
                continue
            yield number / FOLDER_RATE, picture

    def close(self) -> None:
        """See Media."""


def _parts(name: str) -> list[str]:
    return re.split(r"(\d+)", name.lower())
