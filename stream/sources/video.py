"""A container with a video stream, opened and decoded by FFmpeg."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import suppress

import av
from av.codec.hwaccel import HWAccel
from av.container import InputContainer
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

from xpose_stream.stream.sources.address import scheme
from xpose_stream.stream.sources.error import SourceAway, SourceError, SourceLost
from xpose_stream.stream.sources.folder import FOLDER_RATE
from xpose_stream.stream.sources.picture import tell
from xpose_stream.stream.sources.pipe import Pipe
from xpose_stream.stream.sources.upright import Upright
from xpose_stream.stream.sources.videos import chosen, described, is_video

OPEN_TIMEOUT = 5.0  # s
READ_TIMEOUT = 2.0  # s
# s of packets without any picture after which a camera is opened anew; some send a key frame only once a minute.
BLIND_TIMEOUT = 90.0
# s to the next picture of a playlist; what is farther off lies behind a gap in its times.
LONGEST_STEP = 3.0
# Reading errors in a row after which the rest of a file is given up.
HOPELESS = 32
# A corrupted header may state any size, which the decoder would believe: 16384 x 8640 is the largest of H.265.
MOST_PIXELS = 16384 * 8640
# Formats without times of their own: FFmpeg makes some up from a rate that it guesses.
_TIMELESS = {"mpjpeg", "mjpeg", "h264", "hevc"}
_RAW = {"h264", "hevc"}  # of these the average rate is made up too, and what is guessed is what the video states
# s by which a sender's clock may be off by a whole period of RTP's count and not be set by it.
_SAME = 1.0
# Of these the length in bytes is that of a playlist, or made up.
_ENDLESS = {"hls", "dash", "mpjpeg"}
# Stop probing with the first packets: by default FFmpeg gathers a second of frames before it hands out the first.
# Not fflags=nobuffer, which throws the probed frames away, up to the first key frame and beyond.
IMPATIENT = {"analyzeduration": "1", "fpsprobesize": "0"}
# Over HTTP, beside that: a file whose connection breaks is read on from where it broke. Without the second, FFmpeg 8
# also loses what it goes back for where a server closes connections without saying so.
RESUMED = IMPATIENT | {"reconnect": "1", "reconnect_on_network_error": "1", "reconnect_delay_max": "1"}
# For what announces its video late, as FLV may: 5 s, 5 MB.
_PATIENT = {"analyzeduration": "5000000", "probesize": "5000000", "fpsprobesize": "0"}
# The longest pause, s, before trying again a camera that answers, but with a refusal: too many tries lock one out.
_REFUSED, _LOCKED = 4.0, 30.0


NO_VIDEO = "answers, but not with a video"


class Video:
    """See Media. live=None: it is live if it states neither its duration nor its length in bytes.

    Over RTSP a frame comes out when the next one begins to arrive: FFmpeg does not look at the RTP marker that ends a
    frame, so its delay is one frame interval. Decoding adds none. Pictures of a live HLS playlist, which come a segment
    at a time, are handed out in the pace of their media times. Of several videos in one file the best is taken, or
    number `wanted`.
    """

    image: str | None = None
    skipped = 0
    mixed = False

    def __init__(
        self,
        url: str | Pipe,
        name: str,
        live: bool | None,
        options: dict[str, str] | None = None,
        *,
        format: str | None = None,
        timeout: tuple[float, float] | None = None,
        hwaccel: str = "none",
        wanted: int | None = None,
    ) -> None:
        self._name, self._timed = name, timeout is not None  # a device's driver, standard input wait as they like
        self.patience = timeout[1] if timeout else READ_TIMEOUT
        self._error: type[SourceError] = SourceError if live is False else SourceAway
        self.corrupt = 0
        self.decoding = 0.0
        self.blind = False
        self._pipe = url if isinstance(url, Pipe) else None
        self.finite = self._pipe is not None
        begun = time.monotonic()
        try:
            self._container = self._open(url, format, options, timeout, hwaccel)
        except (FFmpegError, OSError, ValueError) as error:
            # "from None": FFmpeg's error states the URL, with the password.
            if timeout and time.monotonic() - begun >= timeout[0]:
                raise SourceAway(f"{name} did not answer within {timeout[0]:g} s") from None
            raise self._refusal(error) from None
        if self._pipe:
            self._pipe.forget()
        self.format = self._container.format.name
        try:
            self._stream = chosen(self._container, wanted)
        except ValueError as error:
            self.close()
            raise self._error(f"{name} {error}") from None
        self.videos = described(self._container)
        if live is None:
            live = self._container.duration is None and not (self._container.size > 0 and self.format not in _ENDLESS)
        self.live = live
        stated = self._container.duration
        self.duration = None if self.live or stated is None else stated / av.time_base
        self._error = SourceAway if live else SourceError
        decoder = self._stream.codec_context
        # Threads that take a frame each are the fastest and hold back as many frames as there are threads.
        decoder.thread_type = "SLICE" if self.live else "AUTO"
        decoder.options = {"max_pixels": str(MOST_PIXELS)}
        self._upright = Upright(self._stream.sample_aspect_ratio, name)
        self.width, self.height = decoder.width, decoder.height
        self.codec = f"{decoder.name} on the GPU" if decoder.is_hwaccel else decoder.name
        self._bursts = self.live and self.format == "hls"
        self._due_at_0 = float("-inf")
        self._reported: float | None = None
        # AVI has no times but those of decoding, which B frames put out of order.
        self._ordered = self.format == "avi" and not self.live and bool(decoder.has_b_frames)
        rates = self._stream.average_rate, self._stream.guessed_rate
        rate = rates[1] if self.format in _RAW else rates[0] or rates[1]
        self.rate = float(rate) if rate else None
        if self.format in _RAW and not self.live and not decoder.framerate:
            tell(f"{name} states neither times nor a rate: {self.rate:g} frames/s are assumed")

    def _open(
        self,
        url: str | Pipe,
        format: str | None,
        options: dict[str, str] | None,
        timeout: tuple[float, float] | None,
        hwaccel: str,
    ) -> InputContainer:
        """Open it as it is; where no video shows with the first packets, once more with more patience."""
        # Of a server that sends JPEGs without the boundary that should be before the first, only they are looked for.
        tries = [(format, options)]
        if options and options in (IMPATIENT, RESUMED):
            patient = options | _PATIENT
            tries += [(format, patient), ("mjpeg", patient)] if isinstance(url, str) else [(format, patient)]
        for kind, how in tries[:-1]:
            with suppress(InvalidDataError):
                container = _opened(url, kind, how, timeout, hwaccel)
                if container.format.name == "tty" or any(map(is_video, container.streams.video)):
                    return container
                container.close()
            if isinstance(url, Pipe) and not url.rewind():
                raise InvalidDataError(1, "no video within the first megabytes")
        return _opened(url, *tries[-1], timeout, hwaccel)

    @property
    def sender_start(self) -> float | None:
        """See Media."""
        return self._reported

    def pictures(self) -> Iterator[tuple[float, av.VideoFrame]]:
        """See Media."""
        timeless = self._container.format.name in _TIMELESS
        opened = seen = time.monotonic()
        pts: float | None = None
        for packet in self._packets():
            begun = time.monotonic()
            if self.live and begun - seen > BLIND_TIMEOUT:
                raise SourceLost(f"{self._name} sent nothing that can be decoded for {BLIND_TIMEOUT:g} s")
            self.blind = pts is None
            try:
                decoded = packet.decode()
            except FFmpegError:
                self.corrupt += not (self.live and self.blind)  # before its first key frame nothing can be decoded
                continue
            for picture in decoded:
                assert isinstance(picture, av.VideoFrame)
                seen = time.monotonic()
                self.decoding, begun = seen - begun, seen
                self.corrupt += picture.is_corrupt
                if self.live and timeless:
                    pts = seen - opened
                elif picture.time is not None and not (self._ordered and pts is not None):
                    pts = picture.time
                else:  # as the first frame over RTSP, which is at 0
                    pts = 0.0 if pts is None else pts + 1 / (self.rate or FOLDER_RATE)
                if self._bursts:
                    self._wait_for(pts)
                yield pts, self._upright(picture)

    def seek(self, pts: float) -> None:
        """Let `pictures`, called anew, begin at the last key frame before this media time (s); of a file only."""
        assert self._stream.time_base
        with suppress(FFmpegError):  # before its beginning
            place = int(max(pts, -1e9) / self._stream.time_base)
            self._container.seek(place, stream=self._stream, backward=True)

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
                self._note_report(packet)
                yield packet
                # Cut short by the time-out, FFmpeg first hands out the frame that it held back, and would wait again.
                if silent:
                    raise self._silent()

    def _note_report(self, packet: av.Packet) -> None:
        """The sender's time of a packet is, by its latest RTCP report, beside it."""
        if not self.live or packet.pts is None:
            return
        for side in packet.iter_sidedata():
            if side.data_type == "prft":
                start = int.from_bytes(bytes(side)[:8], "little", signed=True) * 1e-6
                start -= float(packet.pts * packet.time_base)
                self._reported = _unwrapped(start, self._reported, float(2**32 * packet.time_base))

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
                sentence = f"{name} {NO_VIDEO}"
            case InvalidDataError():
                sentence = f"{name} is not a video, or its beginning is damaged"
            case _:
                reason = getattr(error, "strerror", None) or "unknown reason"
                sentence, pause = f"{name} cannot be opened: {reason}", 0.5
        return SourceError(sentence) if self._error is SourceError else SourceAway(sentence, pause)

    def close(self) -> None:
        """See Media."""
        self._container.close()
        if self._pipe:
            self._pipe.close()


def _unwrapped(start: float, before: float | None, period: float) -> float:
    """The start by a report, when RTP's count has begun again since: FFmpeg takes it for a whole period less."""
    if before is not None:
        periods = round((before - start) / period)
        if periods and abs(before - start - periods * period) < _SAME:
            return start + periods * period
    return start


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


def _opened(
    url: str | Pipe,
    format: str | None,
    options: dict[str, str] | None,
    timeout: tuple[float, float] | None,
    hwaccel: str,
) -> InputContainer:
    accelerator = hardware() if hwaccel == "auto" else None
    container = av.open(
        url, "r", format=format, options=options, timeout=timeout, metadata_errors="replace", hwaccel=accelerator
    )
    if format == "mjpeg" and not any(stream.width for stream in container.streams.video):
        container.close()
        raise InvalidDataError(1, "no picture")
    return container
