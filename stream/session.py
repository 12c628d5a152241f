"""One run: open what the user named, run the pipeline until it ends, close everything."""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path

from rich.console import Console

from engines import CheckpointError, PromptError, build_engine, load, prompts_for
from engines.xpose import XPoseConfig
from stream.background import Background
from stream.frame import Frame
from stream.ledger import Ledger
from stream.listener import ListenError
from stream.messages import MessageError, TracksMessage
from stream.overlay import Overlay
from stream.pipeline import Pipeline, Sink
from stream.publisher import Publisher
from stream.recorder import Recorder
from stream.sink import SinkError
from stream.smooth import RecordingError
from stream.sources import SourceError, open_source
from stream.stop import Stop, Stopped
from stream.tune import TuningError, tracker_config

USER_ERRORS = (
    CheckpointError, PromptError, SourceError, SinkError, ListenError, MessageError, RecordingError, TuningError,
)  # fmt: skip
NANO = Path(__file__).parents[1] / "configs" / "models" / "xpose-nano.safetensors"


@dataclass(frozen=True)
class Session:
    """What the user asked for; see `run_stream.py run --help`."""

    source: str
    weights: Path = NANO
    prompt: str = "person"
    clip: Path | None = None
    publish: str | None = None
    record: Path | None = None
    overlay: Path | None = None
    camera: str | None = None
    realtime: bool = False
    tracker: str = "robot"  # a preset or a file that `tune` wrote
    wait_for_subscriber: float = 0.0  # s

    def run(self, *sinks: Sink) -> Ledger:
        """Run to the end of the source, or to Ctrl-C or SIGTERM; raises one of USER_ERRORS.

        Nothing is written before the weights, the prompt, the source and the endpoint have proved good.
        """
        tracker = tracker_config(self.tracker)
        checkpoint = load(self.weights)
        if checkpoint.model.config == XPoseConfig.nano():
            tracker = replace(tracker, merges=True)  # it sees two who cross as one
        prompts = prompts_for(checkpoint, self.prompt, self.clip)
        engine = build_engine(checkpoint.model)
        with Stop() as stop, ExitStack() as opened:
            try:
                with stop.interruptible():
                    source = opened.enter_context(open_source(self.source, camera=self.camera, realtime=self.realtime))
                    publisher = opened.enter_context(Publisher(self.publish)) if self.publish else None
                    if publisher and self.wait_for_subscriber:
                        publisher.wait_for_subscriber(self.wait_for_subscriber)
            except Stopped:
                return Ledger()
            all_sinks = [*sinks]
            if self.overlay:
                overlay = opened.enter_context(Overlay(self.overlay, source.rate))
                all_sinks.append(opened.enter_context(Background(overlay.write)))
            if self.record:
                recorder = opened.enter_context(Recorder(self.record))
                all_sinks.append(lambda frame, message: recorder.write(message))
            all_sinks.append(opened.enter_context(Progress()))
            return Pipeline(engine, prompts, publisher, all_sinks, stop, tracker).run(source)


class Progress:
    """A line on the terminal that tells how the run goes; silent where there is no terminal."""

    def __init__(self) -> None:
        self._status = Console(stderr=True).status("waiting for the first frame")
        self._next = 0.0
        self._frames, self._since = 0, time.monotonic()

    def __call__(self, frame: Frame, message: TracksMessage) -> None:
        """Count one frame; the line changes twice a second."""
        self._frames += 1
        now = time.monotonic()
        if now >= self._next:
            rate = self._frames / max(now - self._since, 1e-3)
            self._status.update(
                f"{message.camera}: frame {frame.index}, {rate:.1f} frames/s, "
                f"{message.latency_ms:.0f} ms, {len(message.tracks)} tracks (Ctrl-C ends)"
            )
            self._next, self._frames, self._since = now + 0.5, 0, now

    def __enter__(self) -> Progress:
        self._status.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._status.stop()
