"""One camera of a pipeline: what is its own, from its source to its sinks, and fails alone."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from torch import Tensor

from xpose_stream.stream.detector import Detector
from xpose_stream.stream.horizon import Horizon, ahead
from xpose_stream.stream.ledger import Ledger, Reason
from xpose_stream.stream.preprocess import Preprocessor
from xpose_stream.stream.sinks.background import Background, Sink
from xpose_stream.stream.sinks.given import Given
from xpose_stream.stream.sinks.messages import TracksMessage, from_tracks
from xpose_stream.stream.sinks.sink import SinkError
from xpose_stream.stream.sources import Options, Reader
from xpose_stream.stream.sources.cut import Cuts
from xpose_stream.stream.sources.folder import ImageFolder
from xpose_stream.stream.sources.frame import RUN, Frame
from xpose_stream.stream.sources.media import Media
from xpose_stream.stream.sources.reader import State
from xpose_stream.stream.sources.scheduler import Scheduler, SlotClosed
from xpose_stream.trackers import Detections, Tracker, TrackerConfig, Tracks

_SHORTEST_STEP = 1e-3  # s; for a camera that repeats a time stamp or whose clock steps back
_PATIENCE = 3  # errors in a row that end a camera

log = logging.getLogger(__name__)


class Camera:
    """Reads, preprocesses, tracks and publishes the frames of one camera and keeps their ledger.

    `state` and `error` are the reader's, until something else ends the camera: then "failed" and why. `prompt` is
    that of its latest frame. `direct` are called with each frame and message as a part of its way, `watchers` after
    it, and `sinks`, which may be exchanged for another list meanwhile, work beside the pipeline. Its frames wait in
    `slot`, where the scheduler finds them. With `predict` messages also say where tracks will be. `ledger` is that of
    the camera whose place it takes. `run` counts its runs before this one: their epochs and identities are not given
    again. `given` is what the tracker was given of the latest message.
    """

    def __init__(
        self,
        source: str | Media,
        scheduler: Scheduler[Frame],
        detector: Detector,
        tracker: TrackerConfig,
        *,
        name: str | None = None,
        options: Options | None = None,
        realtime: bool = False,
        watchers: Sequence[Sink] = (),
        predict: Horizon | None = None,
        ledger: Ledger | None = None,
        run: int = 0,
    ) -> None:
        self.ledger = ledger or Ledger()
        self.sinks: list[Background] = []
        self.direct: list[Sink] = []
        self.clock = ""
        how: dict[str, Any] = {"options": options, "realtime": realtime, "first_epoch": run * RUN}
        self.reader = Reader(source, self._receive, self._end, camera=name, **how)
        self.name = self.reader.camera
        self.slot = scheduler.join(lambda: all(sink.ready for sink in self.sinks))
        self._failure: Exception | None = None
        self._troubles = 0
        self.watchers, self._predict = list(watchers), predict
        config = detector.engine.config
        self._preprocess = Preprocessor(config.short_side, config.long_side, detector.engine.device)
        self._tracker = Tracker(replace(tracker, sigmas=detector.sigmas), run * RUN + 1)
        self._categories, self.prompt = detector.categories, detector.prompt
        self.given: Given | None = None
        self._resets = 0
        self._most, self._told_most = config.num_groups, False
        self._track_time = 0.0
        self._cuts = Cuts()
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
    def needed(self) -> float:
        """The score from which a detection begins a track."""
        return self._tracker.config.high_score

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
                if sink.failure and sink.needed:
                    raise sink.failure
            if detector.prompt != self.prompt:
                self.ledger.finds.begin()
                self.prompt = detector.prompt
            if len(detections) >= self._most and not self._told_most:
                self._told_most = True
                log.warning(
                    "%s: %d things found at once, which is all that these weights can find in a picture; there may be "
                    "more of them", self.name, len(detections),
                )  # fmt: skip
            if detector.categories != self._categories:  # another prompt: what was tracked is no longer looked for
                self._tracker.config = replace(self._tracker.config, sigmas=detector.sigmas)
                self._reset()
                self._categories = detector.categories
            with self.ledger.timed("track"):
                tracks = self._told(self._tracker.update(detections, self._time_of(frame)), self._tracker)
            sigmas = self._tracker.config.sigmas
            self.given = Given(detections, self._track_time, self._resets, sigmas, self._timeless)
            with self.ledger.timed("publish"):
                predicted, predicted_time = self._predicted(frame)
                message = from_tracks(
                    frame,
                    tracks,
                    detector.categories,
                    prompt=detector.prompt,
                    sequence=self.ledger.published,
                    predicted=predicted,
                    predicted_time=predicted_time,
                )
                for publish in self.direct:
                    publish(frame, message)
        except Exception as error:
            self._drop_for(error)
            return
        self.ledger.took("total", time.monotonic() - frame.arrived)
        if frame.clock != "file":
            self.ledger.took("age", message.published_at - frame.captured_at)
        self.ledger.publish()
        self.ledger.finds.add(int((detections.scores >= self.needed).sum()), len(tracks), detections.best)
        self._troubles, self.clock = 0, frame.clock
        for sink in self.sinks:
            sink(frame, message)
        for watch in self.watchers:
            watch(frame, message)

    def _predicted(self, frame: Frame) -> tuple[Tracks | None, float | None]:
        """The tracks of this frame at the time that is asked for, and that time, if one is."""
        step = ahead(self._predict, frame)
        if step is None:
            return None, None
        when = frame.captured_at + step  # as it is told: `retrack` knows no more
        predicted = self._tracker.predict(self._track_time + (when - frame.captured_at))
        return self._told(predicted, self._tracker), when

    def _reset(self) -> None:
        self._tracker.reset()
        self._resets += 1

    def _told(self, tracks: Tracks, tracker: Tracker) -> Tracks:
        """Those that messages tell: tentative ones only where nothing before could have confirmed them."""
        return tracks if tracker.unsure or self._timeless else tracks.confirmed()

    @property
    def _timeless(self) -> bool:
        """A folder of images: nobody knows how far apart they are, nor whether one continues the other."""
        return self.reader.codec == ImageFolder.codec

    def forecast(self, frame: Frame, message: TracksMessage) -> Callable[[float], TracksMessage]:
        """A function that tells, whenever it is asked, where the tracks of this frame, the latest, will be.

        It takes a time in s on the clock of `captured_at`; ValueError when that is before the frame's.
        """
        tracker, now = self._tracker.frozen(), self._track_time

        def at(when: float) -> TracksMessage:
            tracks = self._told(tracker.predict(now + when - frame.captured_at), tracker)
            return from_tracks(frame, tracks, message.categories, prompt=message.prompt, sequence=message.sequence)

        return at

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
            self._reset()

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
            self._failure = self._failure or (sink.failure if sink.needed else None)

    def _receive(self, frame: Frame) -> None:
        self.ledger.receive()
        self.slot.lossless = not self.reader.live
        if (left := self.slot.put(frame)) is not None:
            self.drop("stopped" if left is frame else "newer frame came")

    def _end(self) -> None:
        self.slot.close()

    def _time_of(self, frame: Frame) -> float:
        """The tracker's time: capture time without the jump where a camera's clock becomes known, always advancing.

        In a new epoch the tracker forgets, since nothing says that the picture is still the same; and in a folder of
        images where one shows something else than the one before.
        """
        elsewhere = self._timeless and self._cuts(frame.picture)
        if (before := self._latest) is not None:
            same_clock = frame.clock == before.clock
            step = frame.captured_at - before.captured_at if same_clock else frame.pts - before.pts
            self._track_time += max(step, _SHORTEST_STEP)
            if frame.epoch != before.epoch or elsewhere:
                self._reset()
        self._latest = frame
        return self._track_time
