"""One camera's frames to iterate over."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType

from xpose_stream.stream.sources.frame import Frame
from xpose_stream.stream.sources.media import Options
from xpose_stream.stream.sources.reader import Reader
from xpose_stream.stream.sources.scheduler import Slot, SlotClosed


def open_source(
    spec: str | Path, *, camera: str | None = None, realtime: bool = False, options: Options | None = None
) -> Source:
    """Open frames of a file, images in a folder or by a pattern such as "a/*.jpg" (25 per s), an rtsp:// or http(s)://
    URL, a camera of this machine (/dev/video0, any other name of it, or its number), a pipe, "-": standard input.

    camera    name on the frames; else taken from the address (host or file name).
    realtime  play a file or folder as a camera would send it: no frame before its time.

    ${NAME} in the address becomes that environment variable. Returns within some seconds, or raises SourceError with
    one sentence. An interrupt (Ctrl-C) ends the wait.
    """
    source = Source(str(spec), camera=camera, realtime=realtime, options=options)
    try:
        source.reader.wait_until_open()
    except BaseException:
        source.close()
        raise
    return source


class Source:
    """Iterator and context manager over the frames of one camera, in order, none left out.

    Iterating ends at the end of a file or after close(), and raises SourceLost when a live camera is gone. The reading
    thread is at most one frame ahead. `reader` tells about the camera. For a camera that comes back, use Reader.
    """

    def __init__(
        self, spec: str, *, camera: str | None = None, realtime: bool = False, options: Options | None = None
    ) -> None:
        self._slot: Slot[Frame] = Slot(lossless=True)
        self._closed = False
        self.reader = Reader(
            spec,
            self._slot.put,
            self._slot.close,
            camera=camera,
            options=options,
            realtime=realtime,
            persistent=False,
        )
        self.reader.start()

    @property
    def camera(self) -> str:
        """The camera's name."""
        return self.reader.camera

    @property
    def live(self) -> bool:
        """Frames come when they come: whoever is late should take the newest and drop the others."""
        return self.reader.live

    @property
    def width(self) -> int:
        """px."""
        return self.reader.width

    @property
    def height(self) -> int:
        """px."""
        return self.reader.height

    @property
    def rate(self) -> float | None:
        """Frames per s, None when unknown."""
        return self.reader.rate

    @property
    def corrupt(self) -> int:
        """Broken packets and pictures so far; see Media."""
        return self.reader.corrupt

    def __iter__(self) -> Source:
        return self

    def __next__(self) -> Frame:
        self.reader.play()
        try:
            frame = self._slot.take()
        except SlotClosed:
            if self.reader.error and not self._closed:
                raise self.reader.error from None
            raise StopIteration from None
        assert frame is not None
        if self._closed:
            raise StopIteration
        return frame

    def close(self) -> None:
        """Stop; wakes a thread that waits for a frame at once. Idempotent, from any thread."""
        self._closed = True
        self.reader.close()
        self._slot.close()
        self.reader.join(0.2)  # enough for what is not stalled to give back its files and connections

    def __enter__(self) -> Source:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
