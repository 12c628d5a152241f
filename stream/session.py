"""One run: open what the site names, run the pipeline until it ends, close everything."""

from __future__ import annotations

import hashlib
import logging
from collections.abc import Callable, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from rich.console import Console

from xpose_stream import __version__
from xpose_stream.engines import Checkpoint, Engine, PromptBank, build_engine, load, prompts_for
from xpose_stream.engines.prompts.bank import bank_for
from xpose_stream.engines.prompts.prompt import Prompt, skeleton_files
from xpose_stream.stream.camera import Camera
from xpose_stream.stream.detector import Detector
from xpose_stream.stream.ledger import Ledger
from xpose_stream.stream.outputs import Output, Running, outputs_of
from xpose_stream.stream.pipeline import Pipeline
from xpose_stream.stream.prepare import prepare
from xpose_stream.stream.sinks.background import Sink
from xpose_stream.stream.sinks.sink import SinkError, reach
from xpose_stream.stream.site import CameraSite, EngineSite, Site, SiteError
from xpose_stream.stream.size import demand_of, see_at, see_in_time
from xpose_stream.stream.sources import SourceError
from xpose_stream.stream.sources.arrays import Arrays
from xpose_stream.stream.sources.frame import Frame
from xpose_stream.stream.sources.place import is_file
from xpose_stream.stream.sources.scheduler import Scheduler
from xpose_stream.stream.stop import Stop, Stopped
from xpose_stream.stream.swap import PromptSwap
from xpose_stream.stream.watch.health import Service
from xpose_stream.stream.watch.lookout import Lookout
from xpose_stream.stream.watch.report import Report
from xpose_stream.trackers import TrackerConfig

log = logging.getLogger(__name__)


@dataclass
class Session:
    """A run of a site.

    must_open            the first opening of every camera must succeed, else the run ends with its error; otherwise it
                         is tried again like a camera that is lost.
    path                 of the site's file, read again at SIGHUP: cameras are added, removed and exchanged.
    report               is shown how the cameras are while it runs.
    engine               in place of the one that is fastest here. checkpoint: in place of loading it.
    arrays               in place of the source of the only camera.
    prompts              in place of the site's prompt in words.
    outputs              beside those of the site.
    stop                 asked for by a program; without it Ctrl-C and SIGTERM do, which only a main thread can hear.
    """

    site: Site
    must_open: bool = False
    path: Path | None = None
    report: Report | None = None
    wait_for_subscriber: float = 0.0  # s
    engine: Engine | None = None
    checkpoint: Checkpoint | None = None
    arrays: Arrays | None = None
    prompts: Sequence[Prompt] = ()
    outputs: Sequence[Output] = ()
    stop: Stop | None = None

    def __post_init__(self) -> None:
        self._outputs = [*outputs_of(self.site.outputs), *self.outputs]

    def run(self, *watchers: Sink) -> dict[str, Ledger]:
        """Run to the end of all sources, or to Ctrl-C or SIGTERM; returns the ledger of every camera there was.

        Nothing is written before the weights, the prompt, the endpoint and, with must_open, the sources have proved
        good. Raises UserError when that is not so, or when in the end every camera has failed.
        """
        settings = self.site.engine
        checkpoint = self.checkpoint or load(settings.weights)
        embed, read = (partial(each, checkpoint, clip=settings.clip) for each in (bank_for, prompts_for))
        prompts = embed(self.prompts) if self.prompts else read(self.site.prompt)
        engine = self.engine or engine_of(settings, checkpoint)
        see_at(engine, checkpoint.model.config, settings.input_size)
        most = settings.most(engine.device.type, len(self.site.cameras))
        scheduler: Scheduler[Frame] = Scheduler(most, settings.batch_wait_ms / 1e3)
        tracker = TrackerConfig(**(checkpoint.tracker | self.site.tracker))
        with ExitStack() as opened:
            stop = self.stop or opened.enter_context(Stop())
            pipeline = Pipeline(Detector(engine, prompts), scheduler, stop, self.site.limits.staleness_ms / 1e3)
            run = self._running(checkpoint, pipeline, tracker, scheduler)
            if self.site.outputs.record or (self.site.outputs.page and self.site.outputs.page.recordings):
                run = replace(run, made=_made(settings.weights))
            try:
                with stop.interruptible():
                    start = self._open(opened, run, scheduler, watchers)
                    if settings.input_size == "auto" and not self.arrays:
                        demand = demand_of(self.site.cameras, most)
                        see_in_time(engine, checkpoint.model.config, prompts, demand, lambda: stop.requested)
                    self._prepare(engine, prompts, stop)
                    self._start(pipeline, start)
            except BaseException as error:
                for started in pipeline.cameras.values():
                    started.close()
                if isinstance(error, Stopped):
                    return pipeline.ledgers
                raise
            report = opened.enter_context(self.report) if self.report else None
            lookout, service = Lookout(pipeline), Service()
            opened.callback(service.stopping)

            def tick() -> None:
                if stop.reread and self.path is None:  # there is nothing to read again: the terminal is gone
                    stop.requested = True
                elif stop.reread:
                    stop.reread = False
                    self._reread(pipeline, start)
                lookout.look()
                service.alive()
                if report:
                    report.show(pipeline.cameras)

            pipeline.run(tick)
        failures = [camera.error for camera in pipeline.cameras.values() if camera.state == "failed"]
        if failures and len(failures) == len(pipeline.cameras) and failures[0]:
            raise failures[0]
        return pipeline.ledgers

    def _open(
        self, opened: ExitStack, run: Running, scheduler: Scheduler[Frame], watchers: tuple[Sink, ...]
    ) -> Callable[[CameraSite], Camera]:
        """Open all outputs, or know that they are free; returns how to start a camera."""
        self._check_files(self.site.cameras)
        attachments = [opened.enter_context(output.opened(run)) for output in self._outputs]

        def start(wanted: CameraSite) -> Camera:
            camera = self._camera(wanted, run, scheduler, watchers)
            for attach in attachments:
                attach(camera)
            camera.start()
            return camera

        return start

    def _start(self, pipeline: Pipeline, start: Callable[[CameraSite], Camera]) -> None:
        for wanted in self.site.cameras:
            pipeline.add(start(wanted))
        if self.must_open:
            for started in pipeline.cameras.values():
                started.reader.wait_until_open()

    def _running(
        self, checkpoint: Checkpoint, pipeline: Pipeline, tracker: TrackerConfig, scheduler: Scheduler[Frame]
    ) -> Running:
        """What outputs may know of this run."""
        clip, own = self.site.engine.clip, checkpoint.text_encoder
        return Running(
            pipeline,
            tracker,
            PromptSwap(pipeline, partial(prompts_for, checkpoint, clip=clip)),
            partial(bank_for, checkpoint, clip=clip),
            [name for name in skeleton_files() if own is None or own.knows(name)],
            scheduler.wake,
            self.site.outputs,
            self.wait_for_subscriber,
        )

    def _camera(
        self, wanted: CameraSite, run: Running, scheduler: Scheduler[Frame], watchers: tuple[Sink, ...]
    ) -> Camera:
        return Camera(
            self.arrays or wanted.source,
            scheduler,
            run.pipeline.detector,
            run.tracker,
            name=wanted.name,
            options=wanted.options,
            realtime=wanted.realtime,
            predict=self.site.outputs.predict,
            watchers=watchers,
            ledger=run.pipeline.ledgers.get(wanted.name),
            run=wanted.run,
        )

    def _prepare(self, engine: Engine, prompts: PromptBank, stop: Stop) -> None:
        """Files wait until the engine is ready; cameras do not."""
        for camera in self.site.cameras:
            if self.arrays or is_file(camera.source):
                with suppress(SourceError), Console(stderr=True).status("making the engine ready"):
                    # a damaged one is its reader's to tell
                    source = self.arrays or camera.source
                    prepare(engine, prompts, source, camera.options, unwanted=lambda: stop.requested)

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

    def _check_files(self, cameras: Sequence[CameraSite]) -> None:
        """Raise SinkError when one of them is to write what cannot be written."""
        for camera in cameras:
            for output in self._outputs:
                if path := output.file(camera.name):
                    reach(path)


def engine_of(settings: EngineSite, checkpoint: Checkpoint) -> Engine:
    """The engine that a site asks for. Raises EngineError."""
    return build_engine(checkpoint.model, backend=settings.backend, precision=settings.precision)


def _made(weights: Path) -> dict[str, str]:
    """What a recording says of the program and the weights that made it."""
    with open(weights, "rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return {"program": f"xpose-stream {__version__}", "weights": weights.name, "weights_sha256": digest}
