"""A folder of images as a video."""

from __future__ import annotations

import logging
import math
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import av
from av.error import FFmpegError

from xpose_stream.stream.sources.address import redact
from xpose_stream.stream.sources.error import SourceError
from xpose_stream.stream.sources.picture import HEIC, cut_short, pages, tell, unread
from xpose_stream.stream.sources.place import IMAGES, is_image, natural
from xpose_stream.stream.sources.upright import Upright

_SAMPLE = 32  # images of a folder whose sizes are looked at
_FEW = 2  # sizes, as of a video that somebody wrote into a folder
FOLDER_RATE = 25.0  # images per s: a folder does not say
VIDEOS = {".avi", ".flv", ".m2ts", ".m4v", ".mkv", ".mov", ".mp4", ".mpeg", ".mpg", ".mts", ".ts", ".webm", ".wmv"}

log = logging.getLogger(__name__)


class ImageFolder:
    """Images as a video of 25 pictures per s, in the order of their names (2.png before 10.png).

    A file that is no picture is left out, and counted; the times and numbers of the others stay the same.
    """

    live = finite = blind = False
    sender_start = None
    rate: float | None = FOLDER_RATE
    codec = "images"
    decoding = 0.0
    patience = math.inf
    videos: tuple[str, ...] = ()

    def __init__(self, images: list[Path], name: str) -> None:
        self._images, self._name = images, name
        self.width = self.height = 0
        self.corrupt = self.skipped = 0
        self.image: str | None = None
        self._cut = False
        self.duration: float | None = len(images) / FOLDER_RATE
        self.mixed = len(_sizes(images[:: 1 + len(images) // _SAMPLE])) > _FEW

    @classmethod
    def of(cls, folder: Path, name: str) -> ImageFolder:
        """All images of a folder. Raises SourceError."""
        try:
            files = [path for path in folder.iterdir() if not path.name.startswith(".") and path.is_file()]
        except OSError as error:
            raise SourceError(f"the folder {name} cannot be read: {error.strerror}") from None
        images = sorted(filter(is_image, files), key=natural)
        _check(name, images + [path for path in files if path.suffix.lower() in HEIC])
        videos = sorted((path for path in files if path.suffix.lower() in VIDEOS), key=natural)
        told = f"{len(videos)} videos ({redact(videos[0].name)}{', …' if videos[1:] else ''})" if videos else ""
        if not images and videos:
            raise SourceError(f"{name} contains {told} and no images: give the videos themselves")
        if not images:
            raise SourceError(f"{name} contains no images ({' '.join(sorted(IMAGES))})")
        if videos:
            log.warning("%s: its images are looked at, and not its %s", name, told)
        return cls(images, name)

    def pictures(self) -> Iterator[tuple[float, av.VideoFrame]]:
        """See Media."""
        for number, path in enumerate(self._images):
            try:
                with _opened(path) as image:
                    upright = Upright(image.streams.video[0].sample_aspect_ratio, self._name)
                    picture = upright(next(image.decode(video=0)))
                if cut_short(path):
                    self._tell_of_first_cut(path)
                    self.corrupt += 1
            except (FFmpegError, OSError, ValueError, IndexError, StopIteration):
                self.corrupt += 1
                self.skipped += 1
                continue
            self.image = redact(path.name)
            yield number / FOLDER_RATE, picture

    def _tell_of_first_cut(self, path: Path) -> None:
        if not self._cut:
            tell(f"{self._name}: {redact(path.name)} is cut short; what it lacks is seen in plain colour")
        self._cut = True

    def close(self) -> None:
        """See Media."""


def _sizes(images: list[Path]) -> set[tuple[int, int]]:
    """In px, as they are stored; of those that can be read."""
    found = set()
    for path in images:
        with suppress(FFmpegError, OSError, ValueError, IndexError), _opened(path) as image:
            found.add((image.streams.video[0].width, image.streams.video[0].height))
    return found


def _opened(path: Path) -> av.container.InputContainer:
    return av.open(f"file:{path}", "r", options={"pattern_type": "none"})


def _check(name: str, pictures: list[Path]) -> None:
    """Say of which pictures in a folder nothing is seen, or a part. Raises SourceError when that is all of them."""
    refused = [f"{redact(path.name)} {why}" for path in pictures if (why := unread(path))]
    if refused and len(refused) == len(pictures):
        raise SourceError(f"{name} contains {len(refused)} pictures that are not read: {refused[0]}")
    if refused:
        tell(f"{name}: {len(refused)} of {len(pictures)} pictures are left out: {refused[0]}")
    if stacks := [path for path in pictures if pages(path) > 1]:
        tell(f"{name}: {redact(stacks[0].name)} has {pages(stacks[0])} pages, of which the first is looked at")
