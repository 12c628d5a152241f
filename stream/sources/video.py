"""A container with a video stream, opened and decoded by FFmpeg."""

from __future__ import annotations

import time
from collections.abc import Iterator

import av
from av.codec.hwaccel import HWAccel
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

from stream.sources.address import scheme
from stream.sources.error import SourceAway, SourceError, SourceLost
from stream.sources.folder import FOLDER_RATE
from stream.sources.upright import Upright

OPEN_TIMEOUT = 5.0  # s
READ_TIMEOUT = 2.0  # s
# s of packets without any picture after which a camera is opened anew; some send a key frame only each 20 s.
BLIND_TIMEOUT = 30.0
# s to the next picture of a playlist; what is farther off lies behind a gap in its times.
LONGEST_STEP = 3.0
# Reading errors in a row after which the rest of a file is given up.
HOPELESS = 32
# A corrupted header may state any size, which the decoder would believe: 16384 x 8640 is the largest of H.265.
MOST_PIXELS = 16384 * 8640
# Formats without times of their own: FFmpeg makes some up from a rate that it guesses.
_TIMELESS = {"mpjpeg", "mjpeg", "h264", "hevc"}
# The longest pause, s, before trying again a camera that answers, but with a refusal: too many tries lock one out.
_REFUSED, _LOCKED = 4.0, 30.0


class Video:
    """See Media. live=None: it is live if it does not state its duration.

    Over RTSP a frame comes out when the next one begins to arrive: FFmpeg does not look at the RTP marker that ends a
    frame, so its delay is one frame interval. Decoding adds none. Pictures of a live HLS playlist, which come a segment
    at a time, are handed out in the pace of their media times.
    """

    def __init__(
        self,
        url: str,
        name: str,
        live: bool | None,
        options: dict[str, str] | None = None,
        *,
        format: str | None = None,
        timeout: tuple[float, float] | None = None,
        hwaccel: str = "none",
    ) -> None:
        self._name, self._timed = name, timeout is not None  # a device's driver, standard input wait as they like
        self.patience = timeout[1] if timeout else READ_TIMEOUT
        self._error: type[SourceError] = SourceError if live is False else SourceAway
        self.corrupt = 0
        self.decoding = 0.0
        begun = time.monotonic()
        try:
            self._container = _open(url, format, options, timeout, hwaccel)
        except (FFmpegError, OSError, ValueError) as error:
            # "from None": FFmpeg's error states the URL, with the password.
            if timeout and time.monotonic() - begun >= timeout[0]:
                raise SourceAway(f"{name} did not answer within {timeout[0]:g} s") from None
            raise self._refusal(error) from None
        videos = [stream for stream in self._container.streams.video if not _is_cover(stream)]
        if not videos or self._container.format.name == "tty":  # FFmpeg takes any .txt for a film of a terminal
            self._container.close()
            raise self._error(f"{name} contains no video")
        if videos[0].codec_context is None:
            self._container.close()
            raise self._error(f"{name} contains a video of a kind that cannot be decoded")
        self._stream = videos[0]
        self.live = self._container.duration is None if live is None else live
        decoder = self._stream.codec_context
        # Threads that take a frame each are the fastest and hold back as many frames as there are threads.
        decoder.thread_type = "SLICE" if self.live else "AUTO"
        decoder.options = {"max_pixels": str(MOST_PIXELS)}
        self._upright = Upright(self._stream.sample_aspect_ratio)
        self.width, self.height = decoder.width, decoder.height
        self.codec = f"{decoder.name} on the GPU" if decoder.is_hwaccel else decoder.name
        self._bursts = self.live and self._container.format.name == "hls"
        self._due_at_0 = float("-inf")
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
        opened = seen = time.monotonic()
        pts: float | None = None
        for packet in self._packets():
            begun = time.monotonic()
            if self.live and begun - seen > BLIND_TIMEOUT:
                raise SourceLost(f"{self._name} sent nothing that can be decoded for {BLIND_TIMEOUT:g} s")
            try:
                decoded = packet.decode()
            except FFmpegError:
                self.corrupt += 1
                continue
            for picture in decoded:
                assert isinstance(picture, av.VideoFrame)
                seen = time.monotonic()
                self.decoding, begun = seen - begun, seen
                self.corrupt += picture.is_corrupt
                if self.live and timeless:
                    pts = seen - opened
                elif picture.time is not None:
                    pts = picture.time
                else:  # as the first frame over RTSP, which is at 0
                    pts = 0.0 if pts is None else pts + 1 / (self.rate or FOLDER_RATE)
                if self._bursts:
                    self._wait_for(pts)
                yield pts, self._upright(picture)

    def _wait_for(self, pts: float) -> None:
        """Until the picture is due by its media time: all of a segment comes at once. A late one puts off the rest."""
        now = time.monotonic()
        if 0 <= self._due_at_0 + pts - now <= LONGEST_STEP:
            time.sleep(self._due_at_0 + pts - now)
        else:
            self._due_at_0 = now - pts

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
                if isinstance(error, ExitError | FFmpegTimeoutError):
                    raise self._silent() from None
                lost = f"{self._name} failed: {error.strerror}"
                raise (SourceLost(lost) if self.live else SourceError(lost)) from None
            else:
                silent = self._timed and time.monotonic() - begun >= self.patience
                failures = 0
                yield packet
                # Cut short by the time-out, FFmpeg first hands out the frame that it held back, and would wait again.
                if silent:
                    raise self._silent()

    def _silent(self) -> SourceError:
        sentence = f"{self._name} sent nothing for {self.patience:g} s"
        return SourceLost(sentence) if self.live else SourceError(sentence)

    def _refusal(self, error: Exception) -> SourceError:
        name, pause = self._name, _REFUSED
        match error:
            case ConnectionRefusedError():
                return SourceAway(f"{name} refused the connection")
            case HTTPUnauthorizedError() | HTTPForbiddenError():
                sentence, pause = f"{name} asks for another name and password than those given", _LOCKED
            case HTTPNotFoundError():
                sentence = f"{name} is not a stream which that camera or server has (404)"
            case InvalidDataError() if scheme(name):
                sentence = f"{name} answers, but not with a video"
            case InvalidDataError():
                sentence = f"{name} is not a video, or its beginning is damaged"
            case _:
                reason = getattr(error, "strerror", None) or "unknown reason"
                sentence, pause = f"{name} cannot be opened: {reason}", 0.5
        return SourceError(sentence) if self._error is SourceError else SourceAway(sentence, pause)

    def close(self) -> None:
        """See Media."""
        self._container.close()


_hardware: list[HWAccel] | None = None  # None: not tried yet


def hardware() -> HWAccel | None:
    """The GPU's decoder (NVDEC) if this machine has one that works."""
    global _hardware
    if _hardware is None:
        try:
            accelerator = HWAccel("cuda", allow_software_fallback=True)
            av.CodecContext.create("h264", "r", hwaccel=accelerator)
            _hardware = [accelerator]
        except (FFmpegError, OSError, ValueError, RuntimeError):
            _hardware = []
    return HWAccel("cuda", allow_software_fallback=True) if _hardware else None


def _open(
    url: str,
    format: str | None,
    options: dict[str, str] | None,
    timeout: tuple[float, float] | None,
    hwaccel: str,
) -> av.container.InputContainer:
    accelerator = hardware() if hwaccel == "auto" else None
    return av.open(
        url, "r", format=format, options=options, timeout=timeout, metadata_errors="replace", hwaccel=accelerator
    )


def _is_cover(stream: av.VideoStream) -> bool:
    """The cover picture of a piece of music is a video stream, but no video."""
    return bool(stream.disposition & av.stream.Disposition.attached_pic)
