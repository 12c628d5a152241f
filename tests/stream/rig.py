"""A whole pipeline with the test engine, run in a thread so that a test can do things to it meanwhile."""

from __future__ import annotations

import threading
import time
from collections import defaultdict
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import replace
from types import TracebackType
from typing import Any, NamedTuple

import torch

from tests.stream.spot import SpotEngine, spot_in, spot_prompts
from xpose_stream.stream.camera import Camera
from xpose_stream.stream.detector import Detector
from xpose_stream.stream.pipeline import Pipeline
from xpose_stream.stream.sinks.background import Background
from xpose_stream.stream.sinks.messages import TracksMessage
from xpose_stream.stream.sinks.publisher import Publisher
from xpose_stream.stream.sources.frame import Frame
from xpose_stream.stream.sources.scheduler import Scheduler
from xpose_stream.stream.stop import Stop
from xpose_stream.trackers import TrackerConfig

PATIENCE = 30.0  # s; what takes a second on an idle machine


class Seen(NamedTuple):
    """A message, when it came, and where the spot was in its picture."""

    message: TracksMessage
    at: float
    spot: tuple[float, float] | None


class Rig:
    """Cameras by name and source, running while it is entered; at the end every ledger must balance."""

    def __init__(
        self,
        sources: dict[str, str],
        *,
        realtime: bool = False,
        pause: float = 0.0,
        batch: int = 1,
        wait: float = 0.0,
        staleness: float = 5.0,
        publisher: Publisher | None = None,
        look: bool = False,
        watcher: Callable[[Frame, TracksMessage], None] | None = None,
        sink: Callable[[str], AbstractContextManager[Callable[..., None]]] | None = None,
    ) -> None:
        self.engine = SpotEngine(pause)
        self.seen: dict[str, list[Seen]] = defaultdict(list)
        self._stop = Stop()
        self._look, self._watcher, self._publisher, self._sink = look, watcher, publisher, sink
        self._detector = Detector(self.engine, spot_prompts())
        self._tracker = replace(TrackerConfig(), sigmas=self._detector.sigmas)
        self._scheduler: Scheduler[Frame] = Scheduler(batch, wait)
        self._todo: list[Callable[[], object]] = []
        self.pipeline = Pipeline(self._detector, self._scheduler, self._stop, staleness)
        for name, source in sources.items():
            self.pipeline.add(self.start(name, source, realtime=realtime))
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run)

    def start(self, name: str, source: str, **settings: Any) -> Camera:
        """A camera that reads, not yet added."""
        camera = self.make(name, source, **settings)
        camera.start()
        return camera

    def make(self, name: str, source: str, **settings: Any) -> Camera:
        """A camera that does not read yet."""
        camera = Camera(
            source, self._scheduler, self._detector, self._tracker, name=name, watchers=[self._keep], **settings
        )
        if publisher := self._publisher:
            camera.direct.append(lambda frame, message: publisher.publish(message))
        if sink := self._sink:
            camera.sinks.append(Background(lambda: sink(name), self._scheduler.wake))
        return camera

    def camera(self, name: str) -> Camera:
        """One of them."""
        return self.pipeline.cameras[name]

    def wake(self) -> None:
        """A sink has caught up."""
        self._scheduler.wake()

    def do(self, action: Callable[[], object]) -> None:
        """Have it done between two frames, as a session does."""
        self._todo.append(action)
        self.wait(lambda: action not in self._todo)

    def wait(self, true: Callable[[], object], what: str = "") -> float:
        """Wait until something is true and return when that was; fails when it takes too long."""
        end = time.monotonic() + PATIENCE
        while not true():
            states = {name: (camera.state, camera.error) for name, camera in self.pipeline.cameras.items()}
            assert time.monotonic() < end and not self._error, f"{what} never came: {self._error or states}"
            time.sleep(0.005)
        return time.monotonic()

    def wait_for_the_end(self) -> None:
        """Wait until every camera is over and all its frames are accounted for."""
        for name, camera in self.pipeline.cameras.items():
            self.wait(lambda camera=camera: camera.over and camera.ledger.balanced, f"end of {name}")  # type: ignore[misc]

    def wait_for_more(self, name: str, count: int = 1) -> float:
        """Wait for so many more messages of a camera."""
        wanted = len(self.seen[name]) + count
        return self.wait(lambda: len(self.seen[name]) >= wanted, f"message of {name}")

    def _keep(self, frame: Frame, message: TracksMessage) -> None:
        if self._watcher:
            self._watcher(frame, message)
        self.seen[frame.camera].append(Seen(message, time.monotonic(), spot_in(frame) if self._look else None))

    def _run(self) -> None:
        torch.set_num_threads(1)  # of this thread: small operations wait for others that a busy machine does not run
        try:
            while not self._stop.requested and not self.pipeline.cameras:
                self._tick()
                time.sleep(0.01)
            self.pipeline.run(self._tick)
        except BaseException as error:
            self._error = error

    def _tick(self) -> None:
        while self._todo:
            self._todo[0]()
            del self._todo[0]

    def __enter__(self) -> Rig:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.requested = True
        self._thread.join(PATIENCE)
        assert not self._thread.is_alive()
        if self._error and not error:
            raise self._error
        assert all(ledger.balanced for ledger in self.pipeline.ledgers.values())
