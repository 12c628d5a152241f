"""The way of the frames of many cameras: sources, scheduler, preprocessing, engine, trackers, sinks."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence

from torch import Tensor

from xpose_stream.stream.camera import Camera
from xpose_stream.stream.detector import Detector
from xpose_stream.stream.ledger import Ledger
from xpose_stream.stream.sources.frame import Frame
from xpose_stream.stream.sources.scheduler import Scheduler
from xpose_stream.stream.stop import Stop, Stopped
from xpose_stream.trackers import Detections, warm_up

_TICK = 0.1  # s
_FAREWELL = 0.5  # s for all sources together to give back their connections; one that hangs keeps nobody


class Pipeline:
    """Works on the frames of all `cameras` with one engine, in the calling thread, until they are over or a stop.

    detector   may be replaced between two frames.
    at_work    the detector that frames are with now, if any are.
    staleness  s; a live frame that has waited longer is dropped.
    ticked     when it was last between two frames, s on time.monotonic(); None before it runs.
    """

    def __init__(self, detector: Detector, scheduler: Scheduler[Frame], stop: Stop, staleness: float = 0.5) -> None:
        warm_up()  # of the tracker: compiling it within a stream would cost frames
        self.detector = detector
        self.at_work: Detector | None = None
        self.ticked: float | None = None
        self.cameras: dict[str, Camera] = {}
        self.ledgers: dict[str, Ledger] = {}
        self._gone: list[Camera] = []
        self._scheduler, self._stop, self._staleness = scheduler, stop, staleness

    def add(self, camera: Camera) -> None:
        """From now on this camera's frames too; no other camera has its name now, and one that had it, its ledger."""
        self.cameras[camera.name] = camera
        self.ledgers[camera.name] = camera.ledger

    def remove(self, name: str) -> None:
        """End a camera; its files are finished beside the others' work."""
        camera = self.cameras.pop(name)
        camera.close()
        self._scheduler.leave(camera.slot)
        self._gone.append(camera)

    def run(self, tick: Callable[[], None] = lambda: None) -> None:
        """Run until every camera is over or a stop is requested; `tick` is called between frames, ten times a second.

        Raises RuntimeError when a frame is unaccounted for at the end, and what the engine raises.
        """
        self.ticked = None
        try:
            for camera in self.cameras.values():
                camera.reader.play()
            while not self._stop.requested and not all(camera.over for camera in self.cameras.values()):
                if self.ticked is None or time.monotonic() - self.ticked >= _TICK:
                    tick()
                    self.ticked = time.monotonic()
                owners = {camera.slot: camera for camera in self.cameras.values()}
                self._process([(owners[slot], frame) for slot, frame in self._scheduler.take(_TICK)])
        finally:
            cameras = [*self.cameras.values(), *self._gone]
            for camera in cameras:
                camera.close()
            patience = time.monotonic() + _FAREWELL
            for camera in cameras:
                camera.join(max(patience - time.monotonic(), 0.0))
        tick()
        for camera in cameras:
            camera.ledger.check(camera.name)

    def _process(self, batch: Sequence[tuple[Camera, Frame]]) -> None:
        """Bring every frame of the batch to its end: published, or dropped for a reason."""
        undone = dict(batch)
        detector = self.at_work = self.detector
        try:
            for group in self._prepare(undone):
                for camera, frame, detections in self._detect(detector, group):
                    del undone[camera]
                    camera.finish(frame, detections, detector)
        except Stopped:
            for camera in undone:
                camera.drop("stopped")
        finally:
            self.at_work = None

    def _prepare(self, undone: dict[Camera, Frame]) -> list[list[tuple[Camera, Frame, Tensor]]]:
        """The model's inputs, those of one size together; what is dropped is taken out of `undone`."""
        groups: dict[tuple[int, ...], list[tuple[Camera, Frame, Tensor]]] = {}
        for camera, frame in list(undone.items()):
            stale = camera.reader.live and time.monotonic() - frame.arrived > self._staleness
            if stale:
                camera.drop("stale")
            image = None if stale else camera.prepare(frame)
            if image is None:
                del undone[camera]
            else:
                groups.setdefault(tuple(image.shape), []).append((camera, frame, image))
        return list(groups.values())

    def _detect(
        self, detector: Detector, group: Sequence[tuple[Camera, Frame, Tensor]]
    ) -> list[tuple[Camera, Frame, Detections]]:
        """The one place where the engine is called."""
        cameras, frames, images = zip(*group, strict=True)
        begun = time.monotonic()
        with self._stop.interruptible():  # a large model may take seconds on a CPU
            detections = detector(images, frames)
        for camera in cameras:
            camera.ledger.took("engine", time.monotonic() - begun)
        return list(zip(cameras, frames, detections, strict=True))
