"""Follows things from frame to frame: identities, smoothed keypoints and their uncertainty."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace

import numpy as np
from numpy.typing import NDArray

from trackers.association import Bodies, assign, similarity
from trackers.config import TrackerConfig
from trackers.crossing import Crossings
from trackers.detections import Detections
from trackers.kalman import Motion
from trackers.tracks import KeypointStatus, Status, Tracks

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]

DEFAULT_SIGMA = 0.08
# A keypoint nobody has seen yet is somewhere around the middle of the box: standard deviation in sizes.
UNSEEN = 0.5
# Nothing is known of a new body's velocity: standard deviation in sizes per second.
UNKNOWN_SPEED = 1.0
# A box that is partly hidden shrinks without its body moving: its corners tell of velocity where keypoints cannot.
CORNER_GUIDANCE = 0.01
# A track's score is the mean of its detections' over about this many s, ...
SCORE_MEMORY = 0.33
# ... less by the factor e where the detection now lies so many sizes away from the track's keypoints, ...
AGREEMENT = 0.125
# ... and this share of it where there is no detection now.
UNDETECTED = 0.3
# Measurements with a smaller weight than this are called rejected.
REJECTED = 0.2


@dataclass(frozen=True, slots=True)
class _Alive:
    """All tracks of a tracker, one row each.

    The two corners of the box are filtered like keypoints and stand behind the K of them: P = K + 2.
    """

    ids: NDArray[np.int64]
    class_ids: NDArray[np.int64]
    scores: Floats
    hits: NDArray[np.int64]
    born: Floats  # s
    last: Floats  # s, when last detected
    ever: Mask  # [T, P] points seen at least once
    measured: Floats  # [T, P, 2] matched at the last update, else NaN
    weight: Floats  # [T, P] how much those were believed
    motion: Motion

    def __getitem__(self, rows: Mask) -> _Alive:
        return _Alive(*(getattr(self, field.name)[rows] for field in fields(self)))

    def __add__(self, other: _Alive) -> _Alive:
        pairs = {f.name: (getattr(self, f.name), getattr(other, f.name)) for f in fields(self) if f.name != "motion"}
        return _Alive(**{name: np.concatenate(pair) for name, pair in pairs.items()}, motion=self.motion + other.motion)

    def boxes(self) -> Floats:
        """[T, 4] px; corners never cross."""
        corners = self.motion.position[:, -2:]
        return np.concatenate([corners.min(1), corners.max(1)], 1)

    def size(self) -> Floats:
        """[T, 1] px, the longer side of the box."""
        return _size(self.boxes())


class Tracker:
    """Tracks of one camera.

    Feed it every frame's detections with `update`; ask `predict` for a later time. Detections below
    `TrackerConfig.low_score`, with a box that is not finite or empty, or with an absurd one (beyond 1e6 px) are
    ignored; keypoints that are not finite or absurd count as not seen.
    """

    def __init__(self, config: TrackerConfig | None = None) -> None:
        self.config = config or TrackerConfig()
        self._next_id = 1
        self.reset()

    def reset(self) -> None:
        """Forget all tracks and the time, at a camera cut or a new clock; ids go on counting."""
        self._alive: _Alive | None = None
        self._crossings = Crossings()
        self._time = -math.inf

    def update(self, detections: Detections, time: float) -> Tracks:
        """Take in what was detected at `time` and return what is known then.

        Returned are the tracks detected now, tentative ones included (`Tracks.confirmed()` leaves those out), and
        confirmed ones not detected for at most `TrackerConfig.coast`.

        Args:
            detections: of one frame, in any order; K as in earlier updates unless there are none.
            time: s on the clock of capture, after the last update's.

        Raises:
            ValueError: time is not finite or not after the last update, or K changed; the tracker is as before.
        """
        if not math.isfinite(time) or time <= self._time:
            raise ValueError(f"Detections at {time} s cannot follow an update at {self._time} s.")
        now = self._remembered(time)
        if now is None:
            now = self._newborn(detections[:0], time)
        elif len(detections) and detections.keypoints.shape[1] != now.ever.shape[1] - 2:
            raise ValueError(
                f"Detections have {detections.keypoints.shape[1]} keypoints, but earlier ones {now.ever.shape[1] - 2}."
            )
        candidates = detections[detections.usable(self.config.low_score)]
        if len(candidates):
            candidates = self._distinct(candidates)
            rows, columns = self._matches(now, candidates)
            now = self._seen(now, rows, candidates[columns], time)
            free = candidates.scores >= self.config.high_score
            free[columns] = False
            if free.any():
                now = now + self._apart(self._newborn(candidates[free], time), now)
        now = self._settled(now, time)
        self._alive, self._time = now, time
        return self._published(now, time)

    def predict(self, time: float) -> Tracks:
        """The tracks last returned by `update`, same rows, where they will be at `time`; changes nothing.

        Args:
            time: s, not before the last update.

        Raises:
            ValueError: time is not finite or lies before the last update.
        """
        if not math.isfinite(time) or time < self._time:
            raise ValueError(f"Cannot predict {time} s after an update at {self._time} s.")
        now = self._newborn(Detections.empty(0), time) if self._alive is None else self._alive
        return self._published(self._moved(now, time), time)

    def _remembered(self, time: float) -> _Alive | None:
        """The tracks not yet forgotten, moved on to `time`; None without any."""
        if self._alive is None:
            return None
        confirmed = self._alive.hits >= self.config.confirm_hits
        patience = np.where(confirmed, self.config.forget, self.config.coast)
        kept = time - self._alive.last <= patience
        return self._moved(self._alive[kept], time) if kept.any() else None

    def _moved(self, tracks: _Alive, time: float) -> _Alive:
        interval = time - self._time if len(tracks.ids) else 0.0
        density = (self.config.process_noise * tracks.size()) ** 2
        return replace(
            tracks,
            motion=tracks.motion.predicted(interval, density, self.config.damping),
            measured=np.full_like(tracks.measured, np.nan),
            weight=np.zeros_like(tracks.weight),
        )

    def _distinct(self, detections: Detections) -> Detections:
        """Without those that repeat a better one; best first before and after."""
        bodies = self._detected(detections)
        repeats = similarity(bodies, bodies) >= self.config.duplicate
        kept: list[int] = []
        for row in range(len(detections)):
            if not repeats[kept, row].any():
                kept.append(row)
        return detections[np.array(kept)]

    def _matches(self, tracks: _Alive, detections: Detections) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Rows of tracks and of detections that belong together, found in three passes.

        Confirmed tracks choose first among good detections, then among poor ones; tentative tracks get what good ones
        are left.
        """
        alike = similarity(self._followed(tracks), self._detected(detections))
        confirmed = tracks.hits >= self.config.confirm_hits
        high = detections.scores >= self.config.high_score
        pairs: list[tuple[NDArray[np.int64], NDArray[np.int64]]] = []
        for some_tracks, some_detections in ((confirmed, high), (confirmed, ~high), (~confirmed, high)):
            found = assign(alike * (some_tracks[:, None] & some_detections), self.config.similarity)
            alike[found[0]] = 0.0
            alike[:, found[1]] = 0.0
            pairs.append(found)
        rows, columns = zip(*pairs, strict=True)
        return np.concatenate(rows), np.concatenate(columns)

    def _seen(self, tracks: _Alive, rows: NDArray[np.int64], detections: Detections, time: float) -> _Alive:
        """The tracks corrected by detections, one for each of `rows`."""
        measured = np.full_like(tracks.measured, np.nan)
        measured[rows] = _points(detections)
        size = tracks.size()
        heaviness = np.full(measured.shape[1], 1 / self.config.outliers)
        heaviness[-2:] = 0.0  # a box that is partly hidden really is smaller: follow it
        guidance = tracks.ever.astype(float)
        guidance[:, -2:] = CORNER_GUIDANCE
        variance = (self.config.measurement_noise * size) ** 2
        motion, weight = tracks.motion.corrected(measured, variance, heaviness, guidance)
        corrected = replace(tracks, motion=motion, measured=measured, weight=weight)
        start = self._start(measured, corrected.boxes(), motion.body)
        now = np.isin(np.arange(len(tracks.ids)), rows)
        scores = tracks.scores.copy()
        share = -np.expm1(-(time - tracks.last[rows]) / SCORE_MEMORY)
        scores[rows] += share * (detections.scores - scores[rows])
        return replace(
            corrected,
            motion=motion.where(~tracks.ever, start),
            scores=scores,
            hits=tracks.hits + now,
            last=np.where(now, time, tracks.last),
            ever=tracks.ever | ~np.isnan(measured[..., 0]),
            weight=np.where(~tracks.ever & ~np.isnan(measured[..., 0]), 1.0, weight),
        )

    def _start(self, measured: Floats, boxes: Floats, body: Floats) -> Motion:
        """Motion of points [T, P, 2] seen for the first time, or (NaN) not yet."""
        seen = ~np.isnan(measured[..., 0])
        size = _size(boxes)
        centre = (boxes[:, None, :2] + boxes[:, None, 2:]) / 2
        position = np.where(seen[..., None], measured, centre)
        variance = (np.where(seen, self.config.measurement_noise, UNSEEN) * size) ** 2
        return Motion.at(position, variance, body, (UNKNOWN_SPEED * size) ** 2)

    def _newborn(self, detections: Detections, time: float) -> _Alive:
        """Tentative tracks, one per detection."""
        n = len(detections)
        measured = _points(detections)
        seen = ~np.isnan(measured[..., 0])
        return _Alive(
            ids=np.zeros(n, np.int64),
            class_ids=detections.class_ids,
            scores=detections.scores,
            hits=np.ones(n, np.int64),
            born=np.full(n, time),
            last=np.full(n, time),
            ever=seen,
            measured=measured,
            weight=seen.astype(float),
            motion=self._start(measured, detections.boxes, np.zeros((n, 2))),
        )

    def _settled(self, tracks: _Alive, time: float) -> _Alive:
        """The tracks with the identities they have now that some crossings are over."""
        confirmed = tracks.hits >= self.config.confirm_hits
        centres = tracks.motion.position.mean(1)
        source, kept = self._crossings.settle(
            tracks.ids, tracks.class_ids, tracks.boxes(), centres, tracks.last == time, confirmed, tracks.born, time
        )
        identities = {name: getattr(tracks, name)[source] for name in ("ids", "hits", "born")}
        return replace(tracks, **identities)[kept]

    def _apart(self, newborn: _Alive, tracks: _Alive) -> _Alive:
        """The newborn that are on top of no track, with ids."""
        if len(newborn.ids) and len(tracks.ids):
            alike = similarity(self._followed(tracks), self._followed(newborn))
            newborn = newborn[alike.max(0) < self.config.duplicate]
        first = self._next_id
        self._next_id += len(newborn.ids)
        return replace(newborn, ids=np.arange(first, self._next_id))

    def _detected(self, detections: Detections) -> Bodies:
        seen = detections.seen()
        keypoints = np.where(seen[..., None], detections.keypoints, 0.0)
        size = _size(detections.boxes)
        variances = np.broadcast_to((self.config.measurement_noise * size) ** 2, seen.shape)
        tolerance = self._sigmas(detections.class_ids, seen.shape[1]) * size
        return Bodies(detections.boxes, detections.class_ids, keypoints, seen, variances, tolerance)

    def _followed(self, tracks: _Alive) -> Bodies:
        keypoints, seen = tracks.motion.position[:, :-2], tracks.ever[:, :-2]
        tolerance = self._sigmas(tracks.class_ids, seen.shape[1]) * tracks.size()
        return Bodies(tracks.boxes(), tracks.class_ids, keypoints, seen, tracks.motion.pp[:, :-2], tolerance)

    def _sigmas(self, class_ids: NDArray[np.int64], k: int) -> Floats:
        """[N, K] OKS sigmas of each thing's class."""
        sigmas = np.full((len(class_ids), k), DEFAULT_SIGMA)
        for class_id, known in self.config.sigmas.items():
            sigmas[class_ids == class_id, : len(known)] = known[:k]
        return sigmas

    def _published(self, tracks: _Alive, time: float) -> Tracks:
        """What may be seen of the tracks of the last update, moved to `time`."""
        confirmed = tracks.hits >= self.config.confirm_hits
        shown = np.where(confirmed, self._time - tracks.last <= self.config.coast, tracks.last == self._time)
        tracks, confirmed = tracks[shown], confirmed[shown]
        coasting = tracks.last < self._time
        status = np.where(confirmed, np.where(coasting, Status.COASTING, Status.CONFIRMED), Status.TENTATIVE)
        weight, ever = tracks.weight[:, :-2], tracks.ever[:, :-2]
        keypoint_status = np.select(
            [~ever, weight == 0, weight < REJECTED],
            [KeypointStatus.NEVER_SEEN, KeypointStatus.PREDICTED, KeypointStatus.REJECTED],
            KeypointStatus.MEASURED,
        )
        return Tracks(
            ids=tracks.ids,
            class_ids=tracks.class_ids,
            scores=tracks.scores * _agreement(tracks),
            boxes=tracks.boxes(),
            keypoints=tracks.motion.position[:, :-2],
            velocities=tracks.motion.velocity[:, :-2],
            covariances=tracks.motion.pp[:, :-2, None, None] * np.eye(2),
            measurements=tracks.measured[:, :-2],
            status=status,
            keypoint_status=keypoint_status,
            ages=time - tracks.born,
            time=time,
        )


def _agreement(tracks: _Alive) -> Floats:
    """[T] 0..1, how well the detections of the last update agree with the tracks' keypoints."""
    offset = np.linalg.norm(tracks.measured[:, :-2] - tracks.motion.position[:, :-2], axis=-1) / tracks.size()
    seen = ~np.isnan(offset)
    mean = np.where(seen, offset, 0.0).sum(1) / np.maximum(seen.sum(1), 1)
    detected = ~np.isnan(tracks.measured[:, -1, 0])
    return np.where(detected, np.exp(-mean / AGREEMENT), UNDETECTED)


def _size(boxes: Floats) -> Floats:
    """[N, 1] px, the longer side."""
    return (boxes[:, 2:] - boxes[:, :2]).max(1, keepdims=True)


def _points(detections: Detections) -> Floats:
    """[N, K + 2, 2] px: keypoints, NaN where not seen, then the two corners of the box."""
    keypoints = np.where(detections.seen()[..., None], detections.keypoints, np.nan)
    return np.concatenate([keypoints, detections.boxes.reshape(-1, 2, 2)], 1)
