"""One camera's frames, read in a thread of their own."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType

from stream.clock import FileClock, LiveClock
from stream.frame import Frame
from stream.scheduler import Slot, SlotClosed
from stream.sources.address import camera_name, redact
from stream.sources.media import OPEN_TIMEOUT, READ_TIMEOUT, Media, SourceError, SourceLost, open_media


def open_source(spec: str | Path, *, camera: str | None = None, realtime: bool = False) -> Source:
    """Open frames of a file, an image folder (25 per s), rtsp:// or http(s):// URL, or /dev/video*.

    camera    name on the frames; else taken from the address (host or file name).
    realtime  play a file or folder as a camera would send it: no frame before its time.

    Returns within some seconds, or raises SourceError with one sentence. An interrupt (Ctrl-C) ends the wait.
    """
    source = Source(str(spec), camera=camera, realtime=realtime)
    try:
        source.wait_until_open()
    except BaseException:
        source.close()
        raise
    return source


class Source:
    """Iterator and context manager over the frames of one camera, in order, none left out.

    camera         its name.
    live           frames come when they come: whoever is late should take the newest and drop the others.
    width, height  px, of the first frame.
    rate           frames per s, None when unknown.

    Iterating ends at the end of a file or after close(), and raises SourceLost when a live camera is gone. The reading
    thread is at most one frame ahead. It has a thread because nothing stops FFmpeg while it waits for a network: so
    close() and Ctrl-C need not wait; the thread ends when FFmpeg's own time-out (2 s) lets it go.
    """

    def __init__(self, spec: str, *, camera: str | None = None, realtime: bool = False) -> None:
        self.camera = camera or camera_name(spec)
        self.live = realtime
        self.width = 0
        self.height = 0
        self.rate: float | None = None
        self._name = redact(spec)
        self._realtime = realtime
        self._media: Media | None = None
        self._failure: Exception | None = None
        self._slot: Slot[Frame] = Slot(lossless=True)
        self._opened = threading.Event()
        self._wanted = threading.Event()
        self._closing = threading.Event()
        # A daemon, so that a camera that hangs cannot keep the process from ending.
        self._reader = threading.Thread(target=self._read, args=(spec,), name=f"source {self.camera}", daemon=True)
        self._reader.start()

    @property
    def corrupt(self) -> int:
        """Broken packets and pictures so far; see Media."""
        return self._media.corrupt if self._media else 0

    def wait_until_open(self) -> None:
        """Wait until the size is known (of a file: the first frame is decoded). Raises SourceError."""
        patience = OPEN_TIMEOUT + READ_TIMEOUT
        if not self._opened.wait(patience):
            raise SourceError(f"{self._name} did not answer with a picture within {patience:g} s")
        if self._failure:
            raise self._failure

    def __iter__(self) -> Iterator[Frame]:
        return self

    def __next__(self) -> Frame:
        self._wanted.set()
        try:
            frame = self._slot.take()
        except SlotClosed:
            if self._failure and not self._closing.is_set():
                raise self._failure from None
            raise StopIteration from None
        assert frame is not None
        if self._closing.is_set():
            raise StopIteration
        return frame

    def close(self) -> None:
        """Stop; wakes a thread that waits for a frame at once. Idempotent, from any thread."""
        self._closing.set()
        self._wanted.set()
        self._slot.close()
        if threading.current_thread() is not self._reader:
            self._reader.join(0.2)  # enough for what is not stalled to give back its files and connections

    def __enter__(self) -> Source:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _read(self, spec: str) -> None:
        with contextlib.ExitStack() as given_back:
            try:
                media = given_back.enter_context(contextlib.closing(open_media(spec)))
                self._media = media
                self.live = media.live or self._realtime
                self.width, self.height, self.rate = media.width, media.height, media.rate
                if media.live and media.width:
                    self._opened.set()
                self._pass_on(media)
            except Exception as error:  # it is raised where somebody listens
                self._failure = error
            finally:
                self._slot.close()
                self._opened.set()

    def _pass_on(self, media: Media) -> None:
        clock = LiveClock() if media.live else FileClock()
        start: float | None = None
        for index, (pts, picture) in enumerate(media.pictures()):
            arrived = time.monotonic()
            if not self._opened.is_set():
                self.width, self.height = picture.width, picture.height
                self._opened.set()
            captured_at, clock_name = clock.stamp(pts, arrived, media.sender_start)
            if self._realtime and not media.live:
                if start is None:  # time begins to run when somebody watches
                    self._wanted.wait()
                    start = time.monotonic()
                arrived = start + captured_at
                self._closing.wait(arrived - time.monotonic())
            self._slot.put(Frame(self.camera, index, pts, captured_at, clock_name, arrived, picture))
            if self._closing.is_set():
                return
        if media.live:
            # Over RTSP a server that is killed looks like one that has come to an end.
            raise SourceLost(f"{self._name} ended")
        if not self._opened.is_set():
            raise SourceError(f"{self._name} contains no picture that can be decoded")
