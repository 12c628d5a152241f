"""One run: open what the site names, run the pipeline until it ends, close everything."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, ExitStack, contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.console import Console

from engines import CheckpointError, Engine, EngineError, PromptBank, PromptError, build_engine, load, prompts_for
from stream.background import Background, Sink
from stream.camera import Camera
from stream.control import Control, ControlError
from stream.detector import Detector
from stream.frame import Frame
from stream.ledger import Ledger
from stream.listener import ListenError
from stream.messages import MessageError
from stream.metrics import Metrics
from stream.overlay import Overlay
from stream.pipeline import Pipeline
from stream.prepare import prepare
from stream.publisher import Publisher
from stream.recorder import Recorder
from stream.report import Report
from stream.scheduler import Scheduler
from stream.sink import SinkError, claim
from stream.site import CameraSite, Site, SiteError
from stream.smooth import RecordingError
from stream.sources import SourceError
from stream.sources.media import is_device
from stream.stop import Stop, Stopped
from stream.swap import PromptSwap
from stream.tune import TuningError
from trackers import TrackerConfig

USER_ERRORS = (
    CheckpointError,
    ControlError,
    EngineError,
    ListenError,
    MessageError,
    PromptError,
    SinkError,
    SiteError,
    SourceError,
    RecordingError,
    TuningError,
)

# Of the tracker with weights of xpose-nano's kind: two who cross are one to them, keypoints are noisy, scores low.
_OWN: dict[str, Any] = {
    "merges": True,
    "high_score": 0.45,
    "low_score": 0.16,
    "similarity": 0.1,
    "coast": 0.5,
    "measurement_noise": 0.05,
    "process_noise": 1.5,
    "body_noise": 0.15,
}

log = logging.getLogger(__name__)


@dataclass
class Session:
    """A run of a site.

    must_open            the first opening of every camera must succeed, else the run ends with its error; otherwise it
                         is tried again like a camera that is lost.
    path                 of the site's file, read again at SIGHUP: cameras are added, removed and exchanged.
    report               is shown how the cameras are while it runs.
    engine               in place of the one that is fastest here.
    """

    site: Site
    must_open: bool = False
    path: Path | None = None
    report: Report | None = None
    wait_for_subscriber: float = 0.0  # s
    engine: Engine | None = None

    def run(self, *watchers: Sink) -> dict[str, Ledger]:
        """Run to the end of all sources, or to Ctrl-C or SIGTERM; returns the ledger of every camera there was.

        Nothing is written before the weights, the prompt, the endpoint and, with must_open, the sources have proved
        good. Raises one of USER_ERRORS when that is not so, or when in the end every camera has failed.
        """
        settings = self.site.engine
        checkpoint = load(settings.weights)
        prompts = prompts_for(checkpoint, self.site.prompt, settings.clip)
        engine = self.engine or build_engine(
            checkpoint.model, backend=settings.backend, precision=settings.precision
        )
        detector = Detector(engine, prompts)
        most = settings.most(engine.device.type, len(self.site.cameras))
        scheduler: Scheduler[Frame] = Scheduler(most, settings.batch_wait_ms / 1e3)
        with Stop() as stop, ExitStack() as opened:
            pipeline = Pipeline(detector, scheduler, stop, self.site.limits.staleness_ms / 1e3)
            try:
                with stop.interruptible():
                    self._prepare(engine, prompts)
                    cameras = self._open(opened, scheduler, pipeline, watchers)
                    for camera in self.site.cameras:
                        pipeline.add(cameras(camera))
                    if self.must_open:
                        for started in pipeline.cameras.values():
                            started.reader.wait_until_open()
                    if self._publisher and self.wait_for_subscriber:
                        self._publisher.wait_for_subscriber(self.wait_for_subscriber)
                    if self.site.outputs.control:
                        swap = PromptSwap(pipeline, lambda text: prompts_for(checkpoint, text, settings.clip))
                        opened.enter_context(Control(self.site.outputs.control, swap))
            except BaseException as error:
                for started in pipeline.cameras.values():
                    started.close()
                if isinstance(error, Stopped):
                    return pipeline.ledgers
                raise
            if self.site.outputs.metrics:
                opened.enter_context(Metrics(self.site.outputs.metrics, pipeline.cameras))
            report = opened.enter_context(self.report) if self.report else None

            def tick() -> None:
                if stop.reread and self.path is None:  # there is nothing to read again: the terminal is gone
                    stop.requested = True
                elif stop.reread:
                    stop.reread = False
                    self._reread(pipeline, cameras)
                if report:
                    report.show(pipeline.cameras)

            pipeline.run(tick)
        failures = [camera.error for camera in pipeline.cameras.values() if camera.state == "failed"]
        if failures and len(failures) == len(pipeline.cameras) and failures[0]:
            raise failures[0]
        return pipeline.ledgers

    def _prepare(self, engine: Engine, prompts: PromptBank) -> None:
        """Files wait until the engine is ready; cameras do not."""
        for camera in self.site.cameras:
            if Path(camera.source).exists() and not is_device(camera.source):
                with suppress(SourceError), Console(stderr=True).status("making the engine ready"):
                    prepare(engine, prompts, camera.source)  # a damaged one is its reader's to tell

    def _open(
        self, opened: ExitStack, scheduler: Scheduler[Frame], pipeline: Pipeline, watchers: tuple[Sink, ...]
    ) -> Callable[[CameraSite], Camera]:
        """How to start a camera of this site, whose outputs are open now or known to be free."""
        outputs = self.site.outputs
        for camera in self.site.cameras:
            for path in self._files(camera).values():
                claim(path)
        self._publisher = opened.enter_context(Publisher(outputs.publish)) if outputs.publish else None
        detector = pipeline.detector
        usual = _OWN if detector.engine.config.backbone == "conv" else {}
        tracker = TrackerConfig(**(usual | self.site.tracker))

        def start(wanted: CameraSite) -> Camera:
            camera = Camera(
                wanted.source,
                scheduler,
                detector,
                tracker,
                name=wanted.name,
                options=wanted.options,
                realtime=wanted.realtime,
                publisher=self._publisher,
                predict=outputs.predict,
                watchers=watchers,
                ledger=pipeline.ledgers.get(wanted.name),
            )
            files = self._files(wanted)
            if path := files.get("overlay"):
                camera.sinks.append(Background(_overlay(path, camera), scheduler.wake))
            if path := files.get("record"):
                camera.sinks.append(Background(_recorder(path, tracker), scheduler.wake))
            camera.start()
            return camera

        return start

    def _files(self, camera: CameraSite) -> dict[str, Path]:
        """The files that this camera writes."""
        kinds = {"overlay": self.site.outputs.overlay, "record": self.site.outputs.record}
        return {kind: Path(path.replace("{camera}", camera.name)) for kind, path in kinds.items() if path}

    def _reread(self, pipeline: Pipeline, start: Callable[[CameraSite], Camera]) -> None:
        """Follow the changes of the cameras in the site's file; a mistake in it is told and changes nothing."""
        assert self.path
        before = {camera.name: camera for camera in self.site.cameras}
        try:
            site = Site.load(self.path)
            changed = [camera for camera in site.cameras if before.get(camera.name) != camera]
            self._check_files(changed)
        except (SiteError, SinkError) as error:
            log.error("%s; going on as before", error)
            return
        if site.model_copy(update={"cameras": self.site.cameras}) != self.site:
            log.warning("%s: only cameras change in a running process; restart it for the rest", self.path)
        for name, camera in before.items():
            if camera not in site.cameras:
                pipeline.remove(name)
        for camera in changed:
            added = start(camera)
            pipeline.add(added)
            added.reader.play()
        self.site = self.site.model_copy(update={"cameras": site.cameras})

    def _check_files(self, changed: list[CameraSite]) -> None:
        """Raise SinkError when one of them is to write what cannot be written or is, by a camera that runs."""
        written = {path for camera in self.site.cameras for path in self._files(camera).values()}
        for camera in changed:
            for path in self._files(camera).values():
                if path in written:
                    raise SinkError(
                        f"{path} is written by the camera as it was; give the changed one another name, which "
                        "{camera} in names of files stands for"
                    )
                written.add(claim(path))


def _overlay(path: Path, camera: Camera) -> Callable[[], AbstractContextManager[Sink]]:
    @contextmanager
    def opened() -> Iterator[Sink]:
        with Overlay(path, camera.reader.rate) as overlay:
            yield overlay.write

    return opened


def _recorder(path: Path, tracker: TrackerConfig) -> Callable[[], AbstractContextManager[Sink]]:
    @contextmanager
    def opened() -> Iterator[Sink]:
        with Recorder(path, tracker=tracker) as recorder:
            yield lambda frame, message: recorder.write(message)

    return opened
