"""Follows things from frame to frame: identities, smoothed keypoints and their uncertainty."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trackers import compiled
from trackers.association import Bodies, assign, similarities
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
OWN_SPEED = 0.7
NOISE_MEMORY = 2.0
LEAN_MEMORY = 0.1
HIDDEN = 0.1
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
        return _boxes(self.motion)

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
        usable = detections.usable(self.config.low_score)
        if len(usable):
            candidates = detections[usable]
            bodies = self._detected(candidates)
            free = _distinct(bodies, self.config.duplicate)
            if len(now.ids):
                strict, lenient = similarities(self._followed(now, time), bodies)
                rows, columns = self._matches(now, candidates, strict, lenient, free)
                now = self._seen(now, rows, candidates, columns, time)
                free[columns] = False
            free &= candidates.scores >= self.config.high_score
            if free.any():
                now = now + self._apart(self._newborn(candidates[free], time), now, time)
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
        if kept.all():
            return self._moved(self._alive, time) if len(kept) else None
        return self._moved(self._alive[kept], time) if kept.any() else None

    def _moved(self, tracks: _Alive, time: float) -> _Alive:
        interval = time - self._time if len(tracks.ids) else 0.0
        area = tracks.size()[:, 0] ** 2
        density, body_density = self.config.process_noise**2 * area, self.config.body_noise**2 * area
        return replace(
            tracks,
            motion=tracks.motion.predicted(interval, density, self.config.damping, body_density),
            measured=np.full_like(tracks.measured, np.nan),
            weight=np.zeros_like(tracks.weight),
        )

    def _matches(
        self, tracks: _Alive, detections: Detections, strict: Floats, lenient: Floats, free: Mask
    ) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Rows of tracks and of `free` detections that belong together.

        Confirmed tracks choose first, among good detections by a strict comparison, then by a lenient one, which lets
        those back in that come out of hiding, then among poor detections; tentative tracks get what good ones are left.
        """
        confirmed = tracks.hits >= self.config.confirm_hits
        high = detections.scores >= self.config.high_score
        passes = (
            (confirmed, high, strict, self.config.similarity),
            (confirmed, high, lenient, self.config.reentry),
            (confirmed, ~high, strict, self.config.similarity),
            (~confirmed, high, lenient, self.config.reentry),
        )
        waiting, left = np.ones(len(confirmed), np.bool_), free.copy()
        pairs: list[tuple[NDArray[np.int64], NDArray[np.int64]]] = []
        for some_tracks, some_detections, alike, least in passes:
            rows, columns = np.flatnonzero(some_tracks & waiting), np.flatnonzero(some_detections & left)
            if len(rows) and len(columns):
                found = assign(alike[rows[:, None], columns], least)
                rows, columns = rows[found[0]], columns[found[1]]
                waiting[rows] = False
                left[columns] = False
                pairs.append((rows, columns))
                if not left.any():
                    break
        if not pairs:
            return np.empty(0, np.int64), np.empty(0, np.int64)
        return np.concatenate([rows for rows, _ in pairs]), np.concatenate([columns for _, columns in pairs])

    def _seen(
        self, tracks: _Alive, rows: NDArray[np.int64], detections: Detections, columns: NDArray[np.int64], time: float
    ) -> _Alive:
        """The tracks corrected by detections: rows by columns."""
        if not len(rows):
            return tracks
        measured = np.full_like(tracks.measured, np.nan)
        measured[rows] = _points(detections)[columns]
        size = tracks.size()
        assumed = np.empty_like(tracks.weight)
        assumed[:] = (self.config.measurement_noise * size) ** 2
        if detections.keypoint_sigmas is not None:
            sigmas = detections.keypoint_sigmas[columns]
            assumed[rows, :-2] = np.where(np.isfinite(sigmas) & (sigmas > 0), sigmas**2, assumed[rows, :-2])
        step = time - self._time
        terms = np.empty((4, measured.shape[1]))
        terms.T[:-2] = (
            1 / self.config.outliers,
            1.0,
            -math.expm1(-step / NOISE_MEMORY),
            -math.expm1(-step / LEAN_MEMORY),
        )
        # A box that is partly hidden really is smaller: follow it.
        terms.T[-2:] = 0.0, CORNER_GUIDANCE, 0.0, 0.0
        motion, weight = tracks.motion.corrected(measured, assumed, *terms)
        new = ~tracks.ever & ~np.isnan(measured[..., 0])
        if new.any():
            motion = motion.where(new, self._start(measured, _boxes(motion), motion.body))
            weight = np.where(new, 1.0, weight)
        scores, last, hits = tracks.scores.copy(), tracks.last.copy(), tracks.hits.copy()
        scores[rows] -= np.expm1(-(time - last[rows]) / SCORE_MEMORY) * (detections.scores[columns] - scores[rows])
        last[rows] = time
        hits[rows] += 1
        return replace(
            tracks, motion=motion, measured=measured, weight=weight, scores=scores, hits=hits, last=last,
            ever=tracks.ever | new,
        )  # fmt: skip

    def _start(self, measured: Floats, boxes: Floats, body: Floats) -> Motion:
        """Motion of points [T, P, 2] seen for the first time, or (NaN) not yet."""
        seen = ~np.isnan(measured[..., 0])
        size = _size(boxes)
        centre = (boxes[:, None, :2] + boxes[:, None, 2:]) / 2
        position = np.where(seen[..., None], measured, centre)
        variance = (np.where(seen, self.config.measurement_noise, UNSEEN) * size) ** 2
        return Motion.at(position, variance, body, (OWN_SPEED * size) ** 2, (UNKNOWN_SPEED * size) ** 2)

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
        if not self.config.merges or not len(tracks.ids):
            return tracks
        confirmed = tracks.hits >= self.config.confirm_hits
        centres = tracks.motion.position.mean(1)
        source, kept = self._crossings.settle(
            tracks.ids, tracks.class_ids, tracks.boxes(), centres, tracks.last == time, confirmed, tracks.born, time
        )
        identities = {name: getattr(tracks, name)[source] for name in ("ids", "hits", "born")}
        return replace(tracks, **identities)[kept]

    def _apart(self, newborn: _Alive, tracks: _Alive, time: float) -> _Alive:
        """The newborn that are on top of no track, with ids."""
        if len(newborn.ids) and len(tracks.ids):
            _, alike = similarities(self._followed(tracks, time), self._followed(newborn, time))
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
        return Bodies(
            detections.boxes, detections.class_ids, keypoints, seen, variances, tolerance, np.zeros(len(size))
        )

    def _followed(self, tracks: _Alive, time: float) -> Bodies:
        keypoints, seen = tracks.motion.position[:, :-2], tracks.ever[:, :-2]
        boxes = tracks.boxes()
        size = _size(boxes)
        tolerance = self._sigmas(tracks.class_ids, seen.shape[1]) * size
        hidden = np.maximum(time - tracks.last - HIDDEN, 0.0)
        astray = (self.config.astray * size[:, 0] * hidden) ** 2
        variances = tracks.motion.variance()[:, :-2]
        return Bodies(boxes, tracks.class_ids, keypoints, seen, variances, tolerance, astray)

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
        if not shown.all():
            tracks, confirmed = tracks[shown], confirmed[shown]
        coasting = tracks.last < self._time
        status = np.where(confirmed, np.where(coasting, Status.COASTING, Status.CONFIRMED), Status.TENTATIVE)
        boxes = tracks.boxes()
        size = _size(boxes)[:, 0]
        slow = self.config.slow * (self.config.measurement_noise * size) ** 2
        covariances, keypoint_status, distance = _told(tracks, slow)
        agreement = np.where(tracks.last == self._time, np.exp(-distance / size / AGREEMENT), UNDETECTED)
        return Tracks(
            ids=tracks.ids,
            class_ids=tracks.class_ids,
            scores=tracks.scores * agreement,
            boxes=boxes,
            keypoints=tracks.motion.position[:, :-2],
            velocities=tracks.motion.velocity[:, :-2],
            covariances=covariances,
            measurements=tracks.measured[:, :-2],
            status=status,
            keypoint_status=keypoint_status,
            ages=time - tracks.born,
            time=time,
        )


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


def _distinct(bodies: Bodies, duplicate: float) -> Mask:
    """[N] which of some detections, best first, do not repeat a better one."""
    kept = np.ones(len(bodies.boxes), np.bool_)
    if len(kept) > 1:
        _, alike = similarities(bodies, bodies)
        repeats = np.tril(alike >= duplicate, -1)
        for row in np.flatnonzero(repeats.any(1)):
            kept[row] = not repeats[row, kept].any()
    return kept


def _told(tracks: _Alive, slow: Floats) -> tuple[Floats, NDArray[np.int64], Floats]:
    """Covariances [T, K, 2, 2] and status [T, K] of keypoints, and how far [T] px detections are from them on average.

    `slow` [T] px^2 is the part of the assumed noise that stays from frame to frame; what was learnt scales it.
    """
    motion = tracks.motion
    if compiled.AVAILABLE:
        told: Any = compiled.publish
        return told(
            motion.position, tracks.measured, motion.pp, motion.common, motion.noise, tracks.weight, tracks.ever, slow,
            REJECTED,
        )  # fmt: skip
    weight = tracks.weight[:, :-2]
    status = tracks.ever[:, :-2].astype(np.int64)  # NEVER_SEEN, PREDICTED
    status[weight > 0] = KeypointStatus.REJECTED
    status[weight >= REJECTED] = KeypointStatus.MEASURED
    covariances = np.zeros((*weight.shape, 2, 2))
    variances = motion.variance() + slow[:, None] * motion.noise
    covariances[..., 0, 0] = covariances[..., 1, 1] = variances[:, :-2]
    off = tracks.measured[:, :-2] - motion.position[:, :-2]
    away = np.hypot(off[..., 0], off[..., 1])
    seen = ~np.isnan(away)
    return covariances, status, np.where(seen, away, 0.0).sum(1) / np.maximum(seen.sum(1), 1)


def _size(boxes: Floats) -> Floats:
    """[N, 1] px, the longer side."""
    return np.maximum(boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1])[:, None]


def _boxes(motion: Motion) -> Floats:
    """[T, 4] px; corners never cross."""
    first, second = motion.position[:, -2], motion.position[:, -1]
    return np.concatenate([np.minimum(first, second), np.maximum(first, second)], 1)


def _points(detections: Detections) -> Floats:
    """[N, K + 2, 2] px: keypoints, NaN where not seen, then the two corners of the box."""
    keypoints = np.where(detections.seen()[..., None], detections.keypoints, np.nan)
    return np.concatenate([keypoints, detections.boxes.reshape(-1, 2, 2)], 1)
