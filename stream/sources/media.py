"""What a source decodes: an opened video, or a folder of images."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal, Protocol

import av

from xpose_stream.stream.sources.address import fill, nowhere, redact, scheme
from xpose_stream.stream.sources.error import SourceAway, SourceError
from xpose_stream.stream.sources.folder import ImageFolder
from xpose_stream.stream.sources.hls import is_playlist, variants
from xpose_stream.stream.sources.picture import cut_short, pages, tell, unread, without_index
from xpose_stream.stream.sources.pipe import Pipe
from xpose_stream.stream.sources.place import is_device, is_image, is_pattern, is_pipe, located, matches, natural
from xpose_stream.stream.sources.video import IMPATIENT, NO_VIDEO, OPEN_TIMEOUT, READ_TIMEOUT, RESUMED, Video
from xpose_stream.stream.sources.web import PAGE, get, is_known_page, is_out_of_reach

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Options:
    """How to open a source.

    transport  of RTSP: "tcp" loses nothing; "udp" loses packets rather than time.
    hwaccel    "auto" decodes on the GPU where there is one, "none" on the CPU.
    size, fps, format  of a device: "1280x720", frames per s, and the pixel format or codec, such as "mjpeg".
    stream     which of several videos in it, counted from 0; else the best.
    live       a pipe or HTTP is a camera: whoever is late takes the newest frame and drops the others.
    """

    transport: Literal["tcp", "udp"] = "tcp"
    hwaccel: Literal["auto", "none"] = "auto"
    size: str | None = None
    fps: float | None = None
    format: str | None = None
    stream: int | None = None
    live: bool = False


_LED_IN = {"rtmp", "rtmps", "rtp", "srt", "tcp", "udp"}  # schemes that FFmpeg's program reads


class Media(Protocol):
    """Pictures in order with their media times.

    live      frames come when they come. finite  its end is an end and no loss, although it is live.
    duration  s of media time that there are; None where it has no end or does not state it.
    width, height  px; 0 while unknown. rate  pictures per s, None when unknown.
    codec     its name, and whether a GPU decodes it.
    corrupt   packets or pictures that were broken so far; they are skipped, or shown as the decoder patched them.
    decoding  s that the decoder took for the latest picture.
    patience  s for which a live one may well send nothing.
    blind     packets come, but no picture yet: a key frame is waited for.
    videos    what there is to choose from, in words.
    image     name of the latest picture's file, of a folder. skipped  files so far that were no pictures.
    """

    live: bool
    finite: bool
    duration: float | None
    width: int
    height: int
    rate: float | None
    codec: str
    corrupt: int
    decoding: float
    patience: float
    blind: bool
    videos: tuple[str, ...]
    image: str | None
    skipped: int
    mixed: bool

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
        rtsp = {"rtsp_transport": options.transport, "allowed_media_types": "video", **IMPATIENT}
        return _video(url, name, True, options, rtsp, timeout=(OPEN_TIMEOUT, READ_TIMEOUT))
    if kind in ("http", "https"):
        return _open_web(url, name, options)
    if kind not in (None, "file"):
        led = ": lead it in (ffmpeg -i … -c copy -f mpegts - | … run - --live)" if kind in _LED_IN else ""
        raise SourceError(f"{name} has the scheme {kind}://, but only rtsp, rtsps, http, https and file are read{led}")
    if spec == "-" or is_pipe(url):
        name = "standard input" if spec == "-" else name
        return _open_pipe("-" if spec == "-" else url, name, options)
    return _open_path(located(url), located(name), options)


def _video(
    url: str | Pipe,
    name: str,
    live: bool | None,
    options: Options,
    how: dict[str, str] | None = None,
    timeout: tuple[float, float] | None = None,
) -> Video:
    return Video(url, name, live, how, timeout=timeout, hwaccel=options.hwaccel, wanted=options.stream)


def _open_web(url: str, name: str, options: Options) -> Media:
    if is_known_page(url):
        raise SourceError(f"{name} {PAGE}")
    live = True if options.live else None
    if is_playlist(url):
        return _open_playlist(url, name, options)
    try:
        video = _video(url, name, live, options, RESUMED, (OPEN_TIMEOUT, READ_TIMEOUT))
    except SourceError as error:
        answer = get(url, 0) if str(error).endswith(NO_VIDEO) else None
        if answer and answer.kind in ("text/html", "application/xhtml+xml"):
            raise SourceAway(f"{name} {PAGE}", error.pause if isinstance(error, SourceAway) else 0.5) from None
        raise
    if "mp4" in video.format and is_out_of_reach(url):
        video.close()
        raise SourceError(
            f"{name} is an MP4 whose index comes at its end, and its server gives no file from its middle on: fetch it "
            "first (curl -O), or write it with its index first (ffmpeg -movflags +faststart)"
        )
    if video.format == "hls" and len(video.videos) > 1:  # a playlist that is not called one
        video.close()
        return _open_playlist(url, name, options)
    return video


def _open_playlist(url: str, name: str, options: Options) -> Media:
    """The best variant that can be read. A playlist is silent for the length of a segment."""
    found = variants(url, name, options.stream)
    live = True if options.live else None

    def open_variant(address: str) -> Media:
        alone = options if address == url else replace(options, stream=None)
        return _video(address, name, live, alone, IMPATIENT, (OPEN_TIMEOUT, 5 * READ_TIMEOUT))

    return _first_readable(found, name, open_variant)


def _first_readable(found: list[str], name: str, open_variant: Callable[[str], Media]) -> Media:
    """The first of several variants that can be opened. Raises SourceError as the best one did."""
    failure: SourceError | None = None
    for address in found:
        try:
            return open_variant(address)
        except SourceError as error:
            if failure is None and len(found) > 1:
                log.warning("%s; that is its best variant, and the next is tried", error)
            failure = failure or error
    raise failure or SourceError(f"{name} has no variant")


def _open_pipe(spec: str, name: str, options: Options) -> Media:
    if spec == "-" and not is_pipe(spec):  # `run - < clip.mp4`: a file, which can be read in any order
        return _video("file:/dev/fd/0", name, False, options)
    pipe = Pipe(spec, name)
    try:
        if pipe.ends_with_index():
            raise SourceError(
                f"{name} is an MP4 whose index comes at its end, which cannot be read from a pipe: give the file by "
                "its name, or write it with its index first (ffmpeg -movflags +faststart)"
            )
        return _video(pipe, name, options.live, options, IMPATIENT)
    except BaseException:
        pipe.close()
        raise


def _open_path(path: str, name: str, options: Options) -> Media:
    if is_device(path):
        if not os.path.exists(path):
            raise SourceAway(f"there is no camera {name}")
        wishes = {"video_size": options.size, "framerate": options.fps, "input_format": options.format}
        given = {key: str(wish) for key, wish in wishes.items() if wish is not None}
        return Video(path, name, True, given, format="v4l2")
    if os.path.isdir(path):
        return ImageFolder.of(Path(path), name)
    if is_pattern(path):
        return _open_pattern(path, name, options)
    if not os.path.exists(path):
        raise SourceError(nowhere(path))
    if not os.path.isfile(path):
        raise SourceError(f"{name} is neither a file nor a folder nor a camera")
    if why := unread(path):
        raise SourceError(f"{name} {why}")
    if (count := pages(path)) > 1:
        tell(f"{name} has {count} pages, of which the first is looked at: write each into a file of its own for all")
    if is_playlist(path):
        found = variants(path, name, options.stream)
        if found != [path]:
            alone = replace(options, stream=None)
            return _first_readable(
                found, name, lambda each: (_open_web if "://" in each else _open_path)(each, name, alone)
            )
    if cut_short(path):
        tell(f"{name} is cut short; what it lacks is seen in plain colour: copy it again")
    if without_index(path):
        raise SourceError(
            f"{name} is an MP4 without its index, which comes at the end: its recording or copying was broken off; "
            "copy it again, or mend it (untrunc)"
        )
    # With its scheme a name like "a:b.mp4" is not taken for a URL.
    return _video(f"file:{path}", name, False, options)


def _open_pattern(pattern: str, name: str, options: Options) -> Media:
    found = sorted(matches(pattern), key=natural)
    if not found:
        raise SourceError(f"there is no file {name}")
    if len(found) == 1 and not is_image(found[0]):
        return _open_path(str(found[0]), redact(str(found[0])), options)
    if not all(is_image(path) for path in found):
        raise SourceError(f"{name} stands for {len(found)} files that are not all images: name the videos one by one")
    return ImageFolder(found, name)
