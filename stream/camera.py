"""One camera of a pipeline: what is its own, from its source to its sinks, and fails alone."""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from dataclasses import replace

from torch import Tensor

from stream.background import Background, Sink
from stream.detector import Detector
from stream.frame import Frame
from stream.horizon import Horizon, ahead
from stream.ledger import Ledger, Reason
from stream.messages import from_tracks
from stream.preprocess import Preprocessor
from stream.publisher import Publisher
from stream.scheduler import Scheduler, SlotClosed
from stream.sink import SinkError
from stream.sources import Options, Reader
from stream.sources.reader import State
from trackers import Detections, Tracker, TrackerConfig, Tracks

_SHORTEST_STEP = 1e-3  # s; for a camera that repeats a time stamp or whose clock steps back
_PATIENCE = 3  # errors in a row that end a camera

log = logging.getLogger(__name__)


class Camera:
    """Reads, preprocesses, tracks and publishes the frames of one camera and keeps their ledger.

    `state` and `error` are the reader's, until something else ends the camera: then "failed" and why. `watchers` are
    called with each frame and message before the next frame; `sinks` work beside the pipeline. Its frames wait in
    `slot`, where the scheduler finds them. With `predict` messages also say where tracks will be. `ledger` is that of
    the camera whose place it takes.
    """

    def __init__(
        self,
        source: str,
        scheduler: Scheduler[Frame],
        detector: Detector,
        tracker: TrackerConfig,
        *,
        name: str | None = None,
        options: Options | None = None,
        realtime: bool = False,
        publisher: Publisher | None = None,
        watchers: Sequence[Sink] = (),
        predict: Horizon | None = None,
        ledger: Ledger | None = None,
    ) -> None:
        self.ledger = ledger or Ledger()
        self.sinks: list[Background] = []
        self.clock = ""
        self.reader = Reader(source, self._receive, self._end, camera=name, options=options, realtime=realtime)
        self.name = self.reader.camera
        self.slot = scheduler.join(lambda: all(sink.ready for sink in self.sinks))
        self._failure: Exception | None = None
        self._troubles = 0
        self._publisher, self._watchers, self._predict = publisher, watchers, predict
        config = detector.engine.config
        self._preprocess = Preprocessor(config.short_side, config.long_side, detector.engine.device)
        self._tracker = Tracker(replace(tracker, sigmas=detector.sigmas))
        self._categories = detector.categories
        self._track_time = 0.0
        self._latest: Frame | None = None

    @property
    def state(self) -> State:
        """See Reader; also failed when its sinks or the processing of its frames did."""
        return "failed" if self._failure else self.reader.state

    @property
    def error(self) -> Exception | None:
        """Why it failed or was lost."""
        return self._failure or self.reader.error

    @property
    def over(self) -> bool:
        """No frame waits and none will come."""
        return self.slot.over

    def start(self) -> None:
        """Begin to read; attach the sinks before."""
        self.reader.start()

    def prepare(self, frame: Frame) -> Tensor | None:
        """The model's input [1, 3, h, w]; None when that failed and the frame is dropped."""
        self.ledger.took("decode", frame.decoding)
        self.ledger.took("wait", time.monotonic() - frame.arrived)
        try:
            with self.ledger.timed("preprocess"):
                return self._preprocess(frame)
        except Exception as error:
            self._drop_for(error)
            return None

    def finish(self, frame: Frame, detections: Detections, detector: Detector) -> None:
        """Track what was detected, publish it and hand it to the sinks, or drop the frame for what went wrong."""
        try:
            for sink in self.sinks:
                if sink.failure:
                    raise sink.failure
            if detector.categories != self._categories:  # another prompt: what was tracked is no longer looked for
                self._tracker.config = replace(self._tracker.config, sigmas=detector.sigmas)
                self._tracker.reset()
                self._categories = detector.categories
            with self.ledger.timed("track"):
                tracks = self._tracker.update(detections, self._time_of(frame)).confirmed()
            with self.ledger.timed("publish"):
                message = from_tracks(
                    frame,
                    tracks,
                    detector.categories,
                    prompt=detector.prompt,
                    sequence=self.ledger.published,
                    predicted=self._predicted(frame),
                )
                if self._publisher:
                    self._publisher.publish(message)
        except Exception as error:
            self._drop_for(error)
            return
        self.ledger.took("total", time.monotonic() - frame.arrived)
        if frame.clock != "file":
            self.ledger.took("age", message.published_at - frame.captured_at)
        self.ledger.publish()
        self._troubles, self.clock = 0, frame.clock
        for sink in self.sinks:
            sink(frame, message)
        for watch in self._watchers:
            watch(frame, message)

    def _predicted(self, frame: Frame) -> Tracks | None:
        """The tracks of this frame at the time that is asked for, if one is."""
        step = ahead(self._predict, frame)
        return None if step is None else self._tracker.predict(self._track_time + step).confirmed()

    def drop(self, reason: Reason) -> None:
        """Account for a frame that was taken from the slot and will not be published."""
        self.ledger.drop(reason)

    def _drop_for(self, error: Exception) -> None:
        """Drop a frame for an error: begin anew, or end when a sink failed or it is the third in a row.

        A defect shows its traceback, here and not by ending the others.
        """
        self.drop("error")
        self._troubles += 1
        if not isinstance(error, SinkError):
            log.error("%s: %s", self.name, error, exc_info=error)
        if isinstance(error, SinkError) or self._troubles >= _PATIENCE:
            self._failure = error
            self.close()
        else:
            self._tracker.reset()

    def close(self) -> None:
        """Take no more frames; the sinks finish beside. What still waits is dropped."""
        self.reader.close()
        self.slot.close()
        try:
            if self.slot.take(0) is not None:
                self.drop("stopped")
        except SlotClosed:
            pass
        for sink in self.sinks:
            sink.end()

    def join(self, patience: float) -> None:
        """Wait for the sinks to be closed and, at most `patience` s, for the source to be; after `close`."""
        self.reader.join(patience)
        for sink in self.sinks:
            sink.join()
            self._failure = self._failure or sink.failure

    def _receive(self, frame: Frame) -> None:
        self.ledger.receive()
        self.slot.lossless = not self.reader.live
        if (left := self.slot.put(frame)) is not None:
            self.drop("stopped" if left is frame else "newer frame came")

    def _end(self) -> None:
        self.slot.close()

    def _time_of(self, frame: Frame) -> float:
        """The tracker's time: capture time without the jump where a camera's clock becomes known, always advancing.

        In a new epoch the tracker forgets, since nothing says that the picture is still the same.
        """
        if (before := self._latest) is not None:
            same_clock = frame.clock == before.clock
            step = frame.captured_at - before.captured_at if same_clock else frame.pts - before.pts
            self._track_time += max(step, _SHORTEST_STEP)
            if frame.epoch != before.epoch:
                self._tracker.reset()
        self._latest = frame
        return self._track_time
