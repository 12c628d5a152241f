"""Follows things from frame to frame: identities, smoothed keypoints and their uncertainty."""

from __future__ import annotations

import copy
import math
from collections import deque
from statistics import median

import numpy as np

from xpose_stream.trackers.association import distinct, matches, similarities
from xpose_stream.trackers.config import FAR, TrackerConfig
from xpose_stream.trackers.crossing import Crossings
from xpose_stream.trackers.detections import Detections
from xpose_stream.trackers.state import State
from xpose_stream.trackers.tracks import Tracks

# Of that many steps between frames the median is how far apart frames come: a gap among them changes nothing.
STEPS = 5


class Tracker:
    """Tracks of one camera.

    Feed it every frame's detections with `update`; ask `predict` for a later time. Detections below
    `TrackerConfig.low_score`, with a box that is not finite or empty, or with an absurd one (beyond 1e6 px) are
    ignored; keypoints that are not finite or absurd count as not seen.
    """

    def __init__(self, config: TrackerConfig | None = None, first_id: int = 1) -> None:
        self.config = config or TrackerConfig()
        self._next_id = first_id
        self.reset()

    def reset(self) -> None:
        """Forget all tracks and the time, at a camera cut or a new clock; ids go on counting."""
        self._state: State | None = None
        self._crossings = Crossings()
        self._time = -math.inf
        self._steps: deque[float] = deque(maxlen=STEPS)

    @property
    def unsure(self) -> bool:
        """Whether tentative tracks of the last update are to be told too: nothing, or long ago, came before it."""
        return not self._steps or self._steps[-1] >= self.config.tentative

    def update(self, detections: Detections, time: float) -> Tracks:
        """Take in what was detected at `time` and return what is known then.

        Returned are the tracks detected now, tentative ones included (`Tracks.confirmed()` leaves those out; `unsure`
        tells when not to), and confirmed ones not detected for at most `TrackerConfig.coast`.

        Args:
            detections: of one frame, in any order; K as in earlier updates unless there are none.
            time: s on the clock of capture, after the last update's.

        Raises:
            ValueError: time is not finite or not after the last update, or K changed; the tracker is as before.
        """
        if not math.isfinite(time) or time <= self._time:
            raise ValueError(f"Detections at {time} s cannot follow an update at {self._time} s.")
        time = float(time)
        steps = deque(self._steps, STEPS)
        if self._state is not None:
            steps.append(time - self._time)
        state = self._state.remembered(time, median(steps), self.config) if self._state else None
        if not state:
            state = State.newborn(Detections.empty(detections.keypoints.shape[1]), time, self.config)
        elif len(detections) and detections.keypoints.shape[1] != state.keypoints:
            raise ValueError(
                f"Detections have {detections.keypoints.shape[1]} keypoints, but earlier ones {state.keypoints}."
            )
        else:
            state = state.moved(time, self.config)
        usable = detections.usable(self.config.low_score)
        if len(usable):
            state = self._seen(state, detections[usable])
        state = self._settled(state)
        self._state, self._time, self._steps = state, time, steps
        return state.published(time, self.config)

    def predict(self, time: float) -> Tracks:
        """The tracks last returned by `update`, same rows, where they will be at `time`; changes nothing.

        Args:
            time: s, not before the last update.

        Raises:
            ValueError: time is not finite or lies before the last update.
        """
        if not math.isfinite(time) or time < self._time:
            raise ValueError(f"Cannot predict {time} s after an update at {self._time} s.")
        if self._state is None:
            return State.newborn(Detections.empty(0), float(time), self.config).published(float(time), self.config)
        return self._state.moved(float(time), self.config).published(self._time, self.config)

    def frozen(self) -> Tracker:
        """This tracker as it is now, whatever it is fed afterwards: states are never changed, only replaced."""
        return copy.copy(self)

    def _seen(self, state: State, detections: Detections) -> State:
        """The tracks corrected by detections, best first, and new ones of those that belong to none."""
        config = self.config
        found = State.newborn(detections, state.time, config)
        free, high = distinct(found, config), detections.scores >= config.high_score
        if len(state):
            step = state.time - self._time
            strict, lenient = similarities(state, found, config)
            rows, columns = matches(
                lenient if step >= FAR else strict, lenient, state.confirmed(config), high, free, config
            )
            state = state.seen(rows, found, columns, detections.keypoint_sigmas, step, config)
            free[columns] = False
        new = free & high
        if new.any() and len(state):  # on top of no track
            new &= similarities(state, found, config)[1].max(0) < config.duplicate
        if new.any():
            newborn = found[new]
            newborn.things["id"] = np.arange(self._next_id, self._next_id + len(newborn))
            self._next_id += len(newborn)
            state = state + newborn
        return state

    def _settled(self, state: State) -> State:
        """The tracks with the identities they have now that some crossings are over."""
        if not self.config.merges or not len(state):
            return state
        things, confirmed = state.things.copy(), state.confirmed(self.config)
        centres = state.motion.points["position"].mean(1)
        source, kept = self._crossings.settle(
            things["id"], things["class_id"], state.boxes(), centres, things["last"] == state.time, confirmed,
            things["born"], state.time,
        )  # fmt: skip
        identity = ["id", "hits", "born"]
        things[identity] = things[source][identity]
        return State(things, state.motion, state.time)[kept]


def warm_up() -> None:
    """Have the arithmetic compiled before frames come: seconds once after installation, then milliseconds."""
    tracker = Tracker()
    box, points = np.array([[0.0, 0, 50, 100]]), np.full((1, 2, 2), 20.0)
    for frame, count in enumerate((1, 2, 3)):
        shift = 300.0 * np.arange(count)[:, None]
        some = np.ones(count)
        tracker.update(
            Detections(box + shift, some, some.astype(int), points + shift[..., None], np.ones((count, 2))), frame / 30
        )
    tracker.predict(0.1)
