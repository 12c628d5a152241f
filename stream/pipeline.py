"""The way of a frame: source, slot, preprocessing, engine, tracker, sinks."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from typing import Protocol

from engines import Engine, PromptBank, detect
from stream.frame import Frame
from stream.ledger import Ledger
from stream.messages import Category, Prompt, TracksMessage, from_tracks
from stream.preprocess import Preprocessor
from stream.publisher import Publisher
from stream.scheduler import Slot, SlotClosed
from stream.sources import Source
from stream.stop import Stop, Stopped
from trackers import Tracker, TrackerConfig, warm_up

_SHORTEST_STEP = 1e-3  # s; for a camera that repeats a time stamp or whose clock steps back


class Sink(Protocol):
    """Takes what the pipeline makes of each frame."""

    def __call__(self, frame: Frame, message: TracksMessage) -> None:
        """Called once per processed frame, in order."""


class Pipeline:
    """Detects and tracks the frames of one camera, publishes them and hands them to `sinks`; keeps the ledger.

    A live source drops older frames for the newest one; a file waits and loses nothing. `publisher` comes before the
    sinks, so that these do not delay it.
    """

    def __init__(
        self,
        engine: Engine,
        prompts: PromptBank,
        publisher: Publisher | None,
        sinks: Sequence[Sink],
        stop: Stop,
        tracker: TrackerConfig | None = None,
    ) -> None:
        self.ledger = Ledger()
        self._engine, self._publisher, self._sinks, self._stop = engine, publisher, sinks, stop
        self._prompts = prompts
        self._pinned = engine.pin(prompts.instances, prompts.keypoints, prompts.keypoint_mask)
        self._mask = prompts.keypoint_mask.numpy()
        self._prompt = Prompt(prompts.name, prompts.version)
        self._categories = [
            Category(i, skeleton.category, skeleton.keypoints, skeleton.edges)
            for i, skeleton in enumerate(prompts.skeletons)
        ]
        config = engine.config
        self._preprocess = Preprocessor(config.short_side, config.long_side, engine.device)
        sigmas = {i: skeleton.sigmas for i, skeleton in enumerate(prompts.skeletons)}
        self._tracker = Tracker(replace(tracker or TrackerConfig(), sigmas=sigmas))
        warm_up()
        self._track_time = 0.0
        self._latest: Frame | None = None

    def run(self, source: Source) -> Ledger:
        """Run until the source ends or a stop is requested; raises SourceError when a live source is lost."""
        slot: Slot[Frame] = Slot(lossless=not source.live)
        failure: list[Exception] = []
        reader = threading.Thread(target=self._read, args=(source, slot, failure), daemon=True)
        reader.start()
        try:
            while not self._stop.requested:
                try:
                    frame = slot.take(timeout=0.1)
                except SlotClosed:
                    break
                if frame is not None:
                    self._process(frame)
        finally:
            slot.close()
            source.close()
            reader.join(timeout=1.0)
            self._drop_rest(slot)
        if failure and not self._stop.requested:
            raise failure[0]
        return self.ledger

    def _read(self, source: Source, slot: Slot[Frame], failure: list[Exception]) -> None:
        try:
            for frame in source:
                self.ledger.received += 1
                if (left := slot.put(frame)) is not None:
                    self.ledger.dropped["stopped" if left is frame else "newer frame came"] += 1
        except Exception as error:
            failure.append(error)
        finally:
            slot.close()

    def _drop_rest(self, slot: Slot[Frame]) -> None:
        try:
            if slot.take(timeout=0) is not None:
                self.ledger.dropped["stopped"] += 1
        except SlotClosed:
            pass

    def _process(self, frame: Frame) -> None:
        self.ledger.took("wait", time.monotonic() - frame.arrived)
        try:
            with self._stop.interruptible():  # a large model may take seconds on a CPU
                with self._timed("preprocess"):
                    images = self._preprocess(frame)
                with self._timed("engine"):
                    output = self._engine(images, self._pinned)
                    detections = detect(output, self._mask, frame.width, frame.height)[0]
        except Stopped:
            self.ledger.dropped["stopped"] += 1
            return
        with self._timed("track"):
            tracks = self._tracker.update(detections, self._time_of(frame)).confirmed()
        with self._timed("publish"):
            message = from_tracks(
                frame, tracks, self._categories, prompt=self._prompt, sequence=self.ledger.published
            )
            if self._publisher:
                self._publisher.publish(message)
        self.ledger.took("total", time.monotonic() - frame.arrived)
        self.ledger.published += 1
        for sink in self._sinks:
            sink(frame, message)

    def _time_of(self, frame: Frame) -> float:
        """The tracker's time: capture time without the jump where a camera's clock becomes known, always advancing."""
        if (before := self._latest) is not None:
            same_clock = frame.clock == before.clock
            step = frame.captured_at - before.captured_at if same_clock else frame.pts - before.pts
            self._track_time += max(step, _SHORTEST_STEP)
        self._latest = frame
        return self._track_time

    @contextmanager
    def _timed(self, stage: str) -> Iterator[None]:
        start = time.monotonic()
        yield
        self.ledger.took(stage, time.monotonic() - start)
