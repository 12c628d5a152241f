"""Keeps one camera alive: opens it, decodes it, stamps its frames, and opens it again when it is lost."""

from __future__ import annotations

import contextlib
import logging
import random
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Literal

import av

from xpose_stream.stream.sources.address import camera_name, redact
from xpose_stream.stream.sources.clock import FileClock, LiveClock
from xpose_stream.stream.sources.error import SourceAway, SourceError, SourceLost
from xpose_stream.stream.sources.frame import Frame
from xpose_stream.stream.sources.media import Media, Options, open_media
from xpose_stream.stream.sources.picture import tell
from xpose_stream.stream.sources.place import is_pipe
from xpose_stream.stream.sources.video import BLIND_TIMEOUT, LONGEST_STEP, OPEN_TIMEOUT, READ_TIMEOUT

State = Literal["connecting", "connecting: waiting for a key frame", "playing", "stalled", "lost", "ended", "failed"]

log = logging.getLogger(__name__)

_FIRST_PAUSE = 0.25  # s; the first try after a loss comes at once, the next after this, then twice as long each time
_STEADY = 5.0  # s without a loss after which a camera is trusted again

log = logging.getLogger(__name__)


class Reader:
    """One camera, read in a thread of its own from `start` until `close`.

    camera         its name.
    live           frames come when they come: whoever is late should take the newest and drop the others.
    state          connecting: not yet there, or there and not yet to be decoded; playing; stalled: no frame for 2.5 s
                   (HLS: 10.5 s); lost: gone, and tried again; ended: a file is over; failed: it cannot be read, and
                   `error` says why.
    error          the latest reason for a loss or failure, without passwords.
    width, height  px; rate  frames per s (None: unknown); codec  its name; videos  that there were to choose from. Of
                   the latest epoch.
    reconnects     tries to open it anew after a loss or failure that succeeded.
    epoch          see Frame.
    progress       0..1, how much of a file's time is over; None for what does not state how long it is.

    `deliver` gets every decoded frame in order and may wait, which holds up a file and must not hold up a camera.
    `over` is called once when no more frames will come. realtime: play a file as a camera would send it, no frame
    before its time, from the call of `play` on. A live source that is lost or not there is tried again until `close`:
    at once, then after pauses that grow, with jitter, so that cameras that fell together do not rise together. A
    file's failure is final.

    The thread is a daemon because nothing stops FFmpeg while it waits for a network: so close() and Ctrl-C need not
    wait; it ends when FFmpeg's own time-out (2 s) lets it go.
    """

    def __init__(
        self,
        spec: str | Media,
        deliver: Callable[[Frame], object],
        over: Callable[[], object] = lambda: None,
        *,
        camera: str | None = None,
        options: Options | None = None,
        realtime: bool = False,
        persistent: bool = True,
        first_epoch: int = 0,
    ) -> None:
        self.name = redact(spec) if isinstance(spec, str) else spec.codec
        self.camera = camera or (camera_name(spec) if isinstance(spec, str) else self.name)
        self.live = realtime
        self.width, self.height, self.codec = 0, 0, ""
        self.rate: float | None = None
        self.videos: tuple[str, ...] = ()
        self.error: Exception | None = None
        self.reconnects = 0
        self.epoch = first_epoch - 1
        self.progress: float | None = None
        self._spec, self._options, self._realtime, self._persistent = spec, options, realtime, persistent
        self._deliver, self._over = deliver, over
        self._state: State = "connecting"
        self._media: Media | None = None
        self._clock: FileClock | LiveClock = FileClock()
        self._corrupt = 0
        self._doubted = False
        self._index = 0
        self._latest = time.monotonic()
        self._opened = threading.Event()
        self._wanted = threading.Event()
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"source {self.camera}", daemon=True)

    def start(self) -> None:
        """Begin to open it."""
        self._thread.start()

    @property
    def state(self) -> State:
        """See above."""
        media = self._media
        if self._state == "connecting" and media and media.blind:
            return "connecting: waiting for a key frame"
        late = media and media.live and time.monotonic() - self._latest > media.patience + 0.5
        return "stalled" if self._state == "playing" and late else self._state

    @property
    def corrupt(self) -> int:
        """Broken packets and pictures so far; see Media."""
        media = self._media
        return self._corrupt + (media.corrupt if media else 0)

    @property
    def drift(self) -> float | None:
        """Parts per million by which the camera's clock runs faster than this host's; None while unknown."""
        return self._clock.drift if isinstance(self._clock, LiveClock) else None

    def wait_until_open(self) -> None:
        """Wait until the size is known (of a file: the first frame is decoded); raises what the first try failed of.

        A pipe is waited for as long as it takes, a camera that sends something until its next key frame.
        """
        patience = OPEN_TIMEOUT + READ_TIMEOUT
        told = isinstance(self._spec, str) and is_pipe(self._spec)
        while not self._opened.wait(patience):
            if not told and self.state == "connecting":
                raise SourceError(f"{self.name} did not answer with a picture within {patience:g} s")
            if not told:
                log.warning("%s: %s, for up to %d s", self.name, self.state, BLIND_TIMEOUT)
            told = True
        if self.error:
            raise self.error

    def play(self) -> None:
        """Let time begin to run for a file in real time."""
        self._wanted.set()

    def close(self) -> None:
        """Stop soon, without waiting for what hangs. Idempotent, from any thread."""
        self._closing.set()
        self._wanted.set()

    def join(self, timeout: float) -> None:
        """Wait until the thread has given back its files and connections, for `timeout` s at most."""
        if self._thread.is_alive() and threading.current_thread() is not self._thread:
            self._thread.join(timeout)

    def _run(self) -> None:
        failures = 0
        try:
            while not self._closing.is_set():
                begun = time.monotonic()
                try:
                    self._read()
                    self._state = "ended"
                    self.progress = None if self.progress is None else 1.0
                    return
                except SourceAway as error:
                    self.error = error
                    if not self._persistent:
                        return
                    self._state = "lost" if self._index else "connecting"
                    self._opened.set()
                    steady = isinstance(error, SourceLost) and time.monotonic() - begun > _STEADY
                    failures = 1 if steady else failures + 1
                    self._closing.wait(_pause(failures, error.pause))
        except Exception as error:  # it is told where somebody listens
            self.error = error
            self._state = "failed"
        finally:
            self._opened.set()
            self._over()

    def _read(self) -> None:
        """Open the source and deliver its frames to the end; raises SourceError."""
        spec = self._spec
        with contextlib.closing(open_media(spec, self._options) if isinstance(spec, str) else spec) as media:
            self._media = media
            try:
                self._follow(media)
            finally:
                self._corrupt += media.corrupt
                self._media = None

    def _follow(self, media: Media) -> None:
        self.live = media.live or self._realtime
        self.codec, self.rate, self.videos = media.codec, media.rate, media.videos
        self._clock = LiveClock(media.rate) if media.live else FileClock(media.rate)
        if media.live and media.width:
            self.width, self.height = media.width, media.height
            self._opened.set()
        shape: tuple[object, ...] | None = None
        due: float | None = None
        previous = 0.0
        for pts, picture in media.pictures():
            arrived = time.monotonic()
            if shape is None and self._index:
                self.reconnects += 1
            if (new := _shape(picture)) != shape:
                shape = new
                self.epoch += 1
                self.width, self.height = picture.width, picture.height
            stamp = self._clock.stamp(pts, arrived, media.sender_start)
            if stamp.anew:
                self.epoch += 1
            self._tell_of_clock()
            if media.duration:
                self.progress = min(stamp.captured_at / media.duration, 1.0)
            if self._realtime and not media.live:
                self._show(picture)
                self._wanted.wait()
                due = time.monotonic() if due is None else due
                due -= max(stamp.captured_at - previous - LONGEST_STEP, 0.0)  # nobody waits for a gap in a file's times
                arrived, previous = due + stamp.captured_at, stamp.captured_at
                self._closing.wait(arrived - time.monotonic())
            if self._closing.is_set():
                return
            frame = Frame(
                self.camera, self._index + media.skipped, pts, stamp.captured_at, stamp.clock, arrived, picture,
                stamp.uncertainty, self.epoch, media.decoding, media.image, media.mixed,
            )  # fmt: skip
            self._index += 1
            self._show(picture)
            self._deliver(frame)
        if media.live and not media.finite:
            # Over RTSP a server that is killed looks like one that has come to an end.
            raise SourceLost(f"{self.name} ended")
        if shape is None:
            raise SourceError(f"{self.name} contains no picture that can be decoded")

    def _tell_of_clock(self) -> None:
        """Say, once, that the camera's clock is not believed, or this host's."""
        if isinstance(self._clock, LiveClock) and self._clock.unset is not None:
            tell(
                f"this host's clock says {datetime.fromtimestamp(self._clock.unset, UTC):%Y}, which cannot be; times "
                "on it are wrong by years until it is set: wait for NTP before the start, or give the host a clock"
            )
        doubt = _doubt(self._clock) if isinstance(self._clock, LiveClock) else ""
        if doubt and not self._doubted:
            log.warning(
                "%s: %s; capture times are those of arrival until it is set: give the camera an NTP server",
                self.camera,
                doubt,
            )
        self._doubted = bool(doubt)

    def _show(self, picture: av.VideoFrame) -> None:
        self._latest = time.monotonic()
        self._state, self.error = "playing", None
        self._opened.set()


def _doubt(clock: LiveClock) -> str:
    """Why its sender's time is not believed; "" where it is, or none came."""
    if clock.absurd is not None:
        said = (
            f"{datetime.fromtimestamp(clock.absurd, UTC):%Y-%m-%d %H:%M}"
            if abs(clock.absurd) < 1e11
            else "no date at all"
        )
        return f"its clock says {said} (UTC), which cannot be by this host's"
    return "its clock is set again and again, or it has two" if clock.restless else ""


def _shape(picture: av.VideoFrame) -> tuple[object, ...]:
    return picture.width, picture.height, picture.format.name, picture.colorspace, picture.color_range


def _pause(failures: int, longest: float) -> float:
    """s to wait before the next try after so many failures in a row; between half and the whole of the doubling."""
    if failures <= 1:
        return 0.0
    return min(_FIRST_PAUSE * 2 ** min(failures - 2, 10), longest) * random.uniform(0.5, 1.0)
