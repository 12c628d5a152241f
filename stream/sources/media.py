"""What a source decodes: an opened video, or a folder of images."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import av

from stream.sources.address import fill, redact, scheme
from stream.sources.error import SourceAway, SourceError
from stream.sources.folder import ImageFolder
from stream.sources.video import OPEN_TIMEOUT, READ_TIMEOUT, Video

# Stop probing with the first packets: by default FFmpeg gathers a second of frames before it hands out the first.
# Not fflags=nobuffer, which throws the probed frames away, up to the first key frame and beyond.
_IMPATIENT = {"analyzeduration": "1", "fpsprobesize": "0"}


@dataclass(frozen=True)
class Options:
    """How to open a source.

    transport  of RTSP: "tcp" loses nothing; "udp" loses packets rather than time.
    hwaccel    "auto" decodes on the GPU where there is one, "none" on the CPU.
    size, fps, format  of a device: "1280x720", frames per s, and the pixel format or codec, such as "mjpeg".
    """

    transport: Literal["tcp", "udp"] = "tcp"
    hwaccel: Literal["auto", "none"] = "auto"
    size: str | None = None
    fps: float | None = None
    format: str | None = None


class Media(Protocol):
    """Pictures in order with their media times.

    live      there is no end but a loss.
    width, height  px; 0 while unknown. rate  pictures per s, None when unknown.
    codec     its name, and whether a GPU decodes it.
    corrupt   packets or pictures that were broken so far; they are skipped, or shown as the decoder patched them.
    decoding  s that the decoder took for the latest picture.
    patience  s for which a live one may well send nothing.
    """

    live: bool
    width: int
    height: int
    rate: float | None
    codec: str
    corrupt: int
    decoding: float
    patience: float

    @property
    def sender_start(self) -> float | None:
        """Unix time in s on the sender's clock at media time 0; None while unknown."""

    def pictures(self) -> Iterator[tuple[float, av.VideoFrame]]:
        """Media times in s and pictures. Raises SourceLost when a live one is gone."""

    def close(self) -> None:
        """Give back files and connections; only from the thread that reads."""


def open_media(spec: str, options: Options | None = None) -> Media:
    """Open a file, folder, device, URL or "-" for standard input; may block for some seconds.

    Raises SourceError, as SourceAway when it may come later.
    """
    options = options or Options()
    kind = scheme(spec)
    url, name = fill(spec), redact(spec)
    if kind in ("rtsp", "rtsps"):
        rtsp = {"rtsp_transport": options.transport, "allowed_media_types": "video", **_IMPATIENT}
        return Video(url, name, True, rtsp, timeout=(OPEN_TIMEOUT, READ_TIMEOUT), hwaccel=options.hwaccel)
    if kind in ("http", "https"):
        # A playlist is silent for the length of a segment.
        patience = 5 * READ_TIMEOUT if ".m3u8" in spec else READ_TIMEOUT
        return Video(url, name, None, _IMPATIENT, timeout=(OPEN_TIMEOUT, patience), hwaccel=options.hwaccel)
    if kind:
        raise SourceError(f"{name} has the scheme {kind}://, but only rtsp, rtsps, http and https are read")
    if spec == "-":
        return Video("pipe:0", "standard input", False, _IMPATIENT, hwaccel=options.hwaccel)
    return _open_path(Path(url), options)


def _open_path(path: Path, options: Options) -> Media:
    if is_device(str(path)):
        if not path.exists():
            raise SourceAway(f"there is no camera {path}")
        wishes = {"video_size": options.size, "framerate": options.fps, "input_format": options.format}
        given = {key: str(wish) for key, wish in wishes.items() if wish is not None}
        return Video(str(path), str(path), True, given, format="v4l2")
    if path.is_dir():
        return ImageFolder(path)
    if not path.exists():
        raise SourceError(f"there is no file or folder {path}")
    if not path.is_file():
        raise SourceError(f"{path} is neither a file nor a folder nor a camera")
    # With its scheme a name like "a:b.mp4" is not taken for a URL.
    return Video(f"file:{path}", str(path), False, hwaccel=options.hwaccel)


def is_device(spec: str) -> bool:
    """Whether this is a camera of this machine."""
    return bool(re.fullmatch(r"/dev/video\w*", spec))
