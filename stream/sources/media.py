"""What a source decodes: an opened video, or a folder of images."""

from __future__ import annotations

import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Protocol

import av
from av.error import (
    ConnectionRefusedError,
    ExitError,
    FFmpegError,
    HTTPForbiddenError,
    HTTPNotFoundError,
    HTTPUnauthorizedError,
    InvalidDataError,
)
from av.error import TimeoutError as FFmpegTimeoutError

from stream.sources.address import redact, scheme

OPEN_TIMEOUT = 5.0  # s
READ_TIMEOUT = 2.0  # s
FOLDER_RATE = 25.0  # images per s: a folder does not say
IMAGES = {".bmp", ".jpeg", ".jpg", ".png", ".tif", ".tiff", ".webp"}
# Reading errors in a row after which the rest of a file is given up.
HOPELESS = 32

# Stop probing with the first packets: by default FFmpeg gathers a second of frames before it hands out the first.
# Not fflags=nobuffer, which throws the probed frames away, up to the first key frame and beyond.
_IMPATIENT = {"analyzeduration": "1", "fpsprobesize": "0"}
_RTSP = {"rtsp_transport": "tcp", "allowed_media_types": "video", **_IMPATIENT}
# Formats without times of their own: FFmpeg makes some up from a rate that it guesses.
_TIMELESS = {"mpjpeg", "mjpeg", "h264", "hevc"}


class SourceError(Exception):
    """A source cannot be opened or read: one sentence for the user, without passwords."""


class SourceLost(SourceError):
    """A live source was there and is gone: it stalled, ended or hung up."""


class Media(Protocol):
    """Pictures in order with their media times.

    live     there is no end but a loss.
    width, height  px; 0 while unknown. rate  pictures per s, None when unknown.
    corrupt  packets or pictures that were broken so far; they are skipped, or shown as the decoder patched them.
    """

    live: bool
    width: int
    height: int
    rate: float | None
    corrupt: int

    @property
    def sender_start(self) -> float | None:
        """Unix time in s on the sender's clock at media time 0; None while unknown."""

    def pictures(self) -> Iterator[tuple[float, av.VideoFrame]]:
        """Media times in s and pictures. Raises SourceLost when a live one is gone."""

    def close(self) -> None:
        """Give back files and connections; only from the thread that reads."""


def open_media(spec: str) -> Media:
    """Open a file, folder, device or URL; may block for some seconds. Raises SourceError."""
    kind = scheme(spec)
    if kind in ("rtsp", "rtsps"):
        return Video(spec, redact(spec), live=True, options=_RTSP, timeout=(OPEN_TIMEOUT, READ_TIMEOUT))
    if kind in ("http", "https"):
        # A playlist is silent for the length of a segment.
        patience = 5 * READ_TIMEOUT if ".m3u8" in spec else READ_TIMEOUT
        return Video(spec, redact(spec), live=None, options=_IMPATIENT, timeout=(OPEN_TIMEOUT, patience))
    if kind:
        raise SourceError(f"{redact(spec)} has the scheme {kind}://, but only rtsp, rtsps, http and https are read")
    path = Path(spec)
    if re.fullmatch(r"/dev/video\w*", spec):
        if not path.exists():
            raise SourceError(f"there is no camera {spec}")
        return Video(spec, spec, live=True, format="v4l2")
    if path.is_dir():
        return ImageFolder(path)
    if not path.exists():
        raise SourceError(f"there is no file or folder {spec}")
    if not path.is_file():
        raise SourceError(f"{spec} is neither a file nor a folder nor a camera")
    # With its scheme a name like "a:b.mp4" is not taken for a URL.
    return Video(f"file:{path}", spec, live=False)


class Video:
    """A container with a video stream, decoded by FFmpeg: file, URL or device.

    live=None: it is live if it does not state its duration.

    Over RTSP a frame comes out when the next one begins to arrive: FFmpeg does not look at the RTP marker that ends a
    frame, so its delay is one frame interval. Decoding adds none.
    """

    def __init__(
        self,
        url: str,
        name: str,
        *,
        live: bool | None,
        format: str | None = None,
        options: dict[str, str] | None = None,
        timeout: tuple[float, float] | None = None,
    ) -> None:
        self._name = name
        self._patience = timeout[1] if timeout else float("inf")
        self.corrupt = 0
        begun = time.monotonic()
        try:
            self._container = av.open(url, "r", format=format, options=options, timeout=timeout)
        except (FFmpegError, OSError, ValueError) as error:
            # "from None": FFmpeg's error states the URL, with the password.
            if timeout and time.monotonic() - begun >= timeout[0]:
                raise SourceError(f"{name} did not answer within {timeout[0]:g} s") from None
            raise SourceError(_refusal(name, error)) from None
        videos = [stream for stream in self._container.streams.video if not _is_cover(stream)]
        if not videos or self._container.format.name == "tty":  # FFmpeg takes any .txt for a film of a terminal
            self._container.close()
            raise SourceError(f"{name} contains no video")
        self._stream = videos[0]
        self.live = self._container.duration is None if live is None else live
        decoder = self._stream.codec_context
        # Threads that take a frame each are the fastest and hold back as many frames as there are threads.
        decoder.thread_type = "SLICE" if self.live else "AUTO"
        self.width, self.height = decoder.width, decoder.height
        rate = self._stream.average_rate or self._stream.guessed_rate
        self.rate = float(rate) if rate else None

    @property
    def sender_start(self) -> float | None:
        """See Media."""
        start = self._container.start_time_realtime if self.live else None
        return None if start is None else start * 1e-6

    def pictures(self) -> Iterator[tuple[float, av.VideoFrame]]:
        """See Media."""
        timeless = self._container.format.name in _TIMELESS
        opened = time.monotonic()
        pts: float | None = None
        for packet in self._packets():
            try:
                decoded = packet.decode()
            except FFmpegError:
                self.corrupt += 1
                continue
            for picture in decoded:
                assert isinstance(picture, av.VideoFrame)
                self.corrupt += picture.is_corrupt
                if self.live and timeless:
                    pts = time.monotonic() - opened
                elif picture.time is not None:
                    pts = picture.time
                else:  # as the first frame over RTSP, which is at 0
                    pts = 0.0 if pts is None else pts + 1 / (self.rate or FOLDER_RATE)
                yield pts, picture

    def _packets(self) -> Iterator[av.Packet]:
        packets = self._container.demux(self._stream)
        failures = 0
        while failures < HOPELESS:
            begun = time.monotonic()
            try:
                packet = next(packets)
            except StopIteration:
                return
            except InvalidDataError:
                # An error ends FFmpeg's iterator, not the stream.
                self.corrupt += 1
                failures += 1
                packets = self._container.demux(self._stream)
            except (FFmpegError, OSError) as error:
                if not isinstance(error, ExitError | FFmpegTimeoutError):
                    raise SourceLost(f"{self._name} failed: {error.strerror}") from None
                raise SourceLost(f"{self._name} sent nothing for {self._patience:g} s") from None
            else:
                silent = time.monotonic() - begun >= self._patience
                failures = 0
                yield packet
                # Cut short by the time-out, FFmpeg first hands out the frame that it held back, and would wait again.
                if silent:
                    raise SourceLost(f"{self._name} sent nothing for {self._patience:g} s")

    def close(self) -> None:
        """See Media."""
        self._container.close()


class ImageFolder:
    """The images of a folder as a video of 25 pictures per s, in the order of their names (2.png before 10.png)."""

    live = False
    sender_start = None
    rate: float | None = FOLDER_RATE

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
                    picture = next(image.decode(video=0))
            except (FFmpegError, OSError, IndexError, StopIteration):
                self.corrupt += 1
                continue
            yield number / FOLDER_RATE, picture

    def close(self) -> None:
        """See Media."""


def _parts(name: str) -> list[str]:
    return re.split(r"(\d+)", name.lower())


def _is_cover(stream: av.VideoStream) -> bool:
    """The cover picture of a piece of music is a video stream, but no video."""
    return bool(stream.disposition & av.stream.Disposition.attached_pic)


def _refusal(name: str, error: Exception) -> str:
    match error:
        case ConnectionRefusedError():
            return f"{name} refused the connection"
        case HTTPUnauthorizedError() | HTTPForbiddenError():
            return f"{name} asks for another name and password than those given"
        case HTTPNotFoundError():
            return f"{name} is not a stream which that camera or server has (404)"
        case InvalidDataError() if scheme(name):
            return f"{name} answers, but not with a video"
        case InvalidDataError():
            return f"{name} is not a video, or its beginning is damaged"
        case _:
            return f"{name} cannot be opened: {getattr(error, 'strerror', None) or 'unknown reason'}"
