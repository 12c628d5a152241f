"""Keypoints of a video, frame by frame, in a program's own loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any

from xpose_stream.engines.prompts.prompt import Prompt
from xpose_stream.found import Found
from xpose_stream.prompting import Asked
from xpose_stream.stream.camera import Camera
from xpose_stream.stream.outputs import Attach, Running
from xpose_stream.stream.session import Session
from xpose_stream.stream.sinks.messages import TracksMessage
from xpose_stream.stream.site import Site
from xpose_stream.stream.sources.arrays import Arrays
from xpose_stream.stream.sources.frame import Frame
from xpose_stream.stream.sources.scheduler import Slot, SlotClosed
from xpose_stream.stream.stop import Stop

_POLL = 0.2  # s after which a waiting coroutine looks whether it is still wanted
_FAREWELL = 10.0  # s for the end of a run: an engine may be at work on a frame


class Stream:
    """The frames of one source with what is tracked in them: iterate over it, with `for` or `async for`, once.

    The work is done in a thread of its own, so that the next frame is worked on while the loop looks at this one. A
    live source hands out its newest frame, and drops what the loop has no time for; of a file every frame comes.
    Leaving the loop, or `close`, closes the source and what was written.
    """

    def __init__(self, site: Site, arrays: Arrays | None = None, prompts: tuple[Prompt, ...] = ()) -> None:
        self._slot: Slot[tuple[Frame, Found]] = Slot(lossless=True)
        self._stop = Stop()
        self._error: BaseException | None = None
        self._session = Session(
            site, must_open=True, arrays=arrays, prompts=prompts, outputs=[_Hand(self._slot)], stop=self._stop
        )
        self._thread = threading.Thread(target=self._run, name="xpose stream", daemon=True)

    def __iter__(self) -> Iterator[tuple[Frame, Found]]:
        self._thread.start()
        try:
            while (item := self._take()) is not None:
                yield item
        finally:
            self.close()
        self._tell()

    async def __aiter__(self) -> AsyncIterator[tuple[Frame, Found]]:
        self._thread.start()
        try:
            while True:
                item = await asyncio.to_thread(self._take, _POLL)
                if item is not None:
                    yield item
                elif self._slot.over:
                    break
        finally:
            await asyncio.to_thread(self.close)
        self._tell()

    def _take(self, timeout: float | None = None) -> tuple[Frame, Found] | None:
        try:
            return self._slot.take(timeout)
        except SlotClosed:
            return None

    def _run(self) -> None:
        try:
            self._session.run()
        except BaseException as error:  # it is raised where the loop is
            self._error = error
        finally:
            self._slot.close()

    def _tell(self) -> None:
        if self._error is not None:
            raise self._error

    def close(self) -> None:
        """End it: the source is closed, files are finished. Idempotent, from any thread."""
        self._stop.requested = True
        self._slot.close()
        if self._thread.is_alive() and threading.current_thread() is not self._thread:
            self._thread.join(_FAREWELL)

    def __enter__(self) -> Stream:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _Hand:
    """The output that hands over to a loop in this process."""

    def __init__(self, slot: Slot[tuple[Frame, Found]]) -> None:
        self._slot = slot

    def file(self, camera: str) -> None:
        """Writes none."""

    @contextmanager
    def opened(self, run: Running) -> Iterator[Attach]:
        """See Output."""

        def attach(camera: Camera) -> None:
            def hand(frame: Frame, message: TracksMessage) -> None:
                self._slot.lossless = not camera.reader.live
                self._slot.put((frame, Found(message, camera.forecast(frame, message))))

            camera.watchers.append(hand)

        yield attach


def stream(
    source: str | Path | Iterable[Any], prompt: Asked = "person", *, rate: float = 30.0, **settings: Any
) -> Stream:
    """Follow what `prompt` asks for through a video: `for frame, tracks in stream("clip.mp4", "person"): …`.

    Each round gives a `Frame` (`captured_at`, `pts`, `to_rgb()`, …) and what is tracked in it as `Found`.

    source    an address, device, file or folder as `xpose-stream run` takes it; or arrays uint8 [height, width, 3], red
              first, in a list, an array with one more dimension or a generator.
    prompt    see Detector.
    rate      pictures per s of arrays.
    settings  options of `xpose-stream run` by name (record="tracks.parquet", publish=…, tracker="mocap", realtime=True,
              live=True, stream=1, weights=…), or of a site file's camera, engine, outputs and limits. What the model
              sees at most is `input_size`; `size` is that of a device's pictures.

    Raises Error, when the loop begins, for a source that cannot be opened or a prompt that is unknown.
    """
    arrays = None if isinstance(source, str | Path) else Arrays(source, rate)
    words = str(prompt) if isinstance(prompt, str | Path) else "by example"
    prompts = () if isinstance(prompt, str | Path) else (prompt,) if isinstance(prompt, Prompt) else tuple(prompt)
    for option, field in ("engine", "backend"), ("camera", "name"):  # as the command calls them
        if option in settings:
            settings[field] = settings.pop(option)
    site = Site.of("arrays" if arrays else str(source), prompt=words, **settings)
    return Stream(site, arrays, prompts)
