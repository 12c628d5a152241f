"""Where frames pass from the pipeline to those who look."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager

from xpose_stream.stream.page.ring import SECONDS, Ring, Seen
from xpose_stream.stream.sinks.messages import TracksMessage
from xpose_stream.stream.sources.frame import Frame

# Where the stream cannot keep up with its cameras, looking must not take from it: s between two pictures of a page.
SPARING = 0.2
_BEHIND, _RECENT = 1.25, 30  # frames that come for each that is published, as a mean of about so many


class Hub:
    """A sink that keeps the newest frame of each camera and the last seconds, and nothing while nobody looks.

    It is called by the pipeline and never holds it up; everything else belongs to the event loop `loop`.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.ring = Ring()
        self.latest: dict[str, Seen] = {}
        self._loop = loop
        self._looking: set[asyncio.Event] = set()
        self._steps: dict[str, tuple[int, float, float]] = {}  # newest index and arrival, mean step between indices
        self._woken = False
        self._closed = False

    def close(self) -> None:
        """Take no more frames: the loop is about to end."""
        self._closed = True

    def __call__(self, frame: Frame, message: TracksMessage) -> None:
        """See Sink."""
        if not self._looking or self._closed:
            return
        self._count(frame)
        seen = Seen.copied(frame, message)
        self.latest[frame.camera] = seen
        self.ring.add(seen)
        if not self._woken:
            self._woken = True
            self._loop.call_soon_threadsafe(self._wake)

    @property
    def behind(self) -> bool:
        """Whether more than a fifth of some camera's frames were dropped lately."""
        steps = list(self._steps.values())
        now = max((arrived for _, arrived, _ in steps), default=0.0)
        return any(mean > _BEHIND and arrived > now - SECONDS for _, arrived, mean in steps)

    @contextmanager
    def look(self) -> Iterator[asyncio.Event]:
        """While entered, frames are kept, and the event is set when one has come."""
        event = asyncio.Event()
        self._looking.add(event)
        try:
            yield event
        finally:
            self._looking.remove(event)
            if not self._looking:
                self.latest.clear()
                self.ring.clear()
                self._steps.clear()

    async def next(self, camera: str, after: Seen | None, patience: float) -> Seen | None:
        """A newer frame of a camera than `after`; None when there is none within `patience` s. Look meanwhile."""
        with self.look() as event:
            try:
                async with asyncio.timeout(patience):
                    while (seen := self.latest.get(camera)) is None or seen is after:
                        event.clear()
                        await event.wait()
                    return seen
            except TimeoutError:
                return None

    def _count(self, frame: Frame) -> None:
        last, _, mean = self._steps.get(frame.camera, (frame.index - 1, 0.0, 1.0))
        self._steps[frame.camera] = frame.index, frame.arrived, mean + (frame.index - last - mean) / _RECENT

    def _wake(self) -> None:
        self._woken = False
        for event in self._looking:
            event.set()
