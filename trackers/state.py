"""All that a tracker knows of its tracks at one time, and what of it is compared and published."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpose_stream.trackers import compiled
from xpose_stream.trackers.config import TrackerConfig
from xpose_stream.trackers.detections import ABSURD, Detections
from xpose_stream.trackers.kalman import BODY, POINT, Motion, Records
from xpose_stream.trackers.tracks import KeypointStatus, Status, Tracks

Floats = NDArray[np.float64]
Mask = NDArray[np.bool_]
Rows = NDArray[np.int64]

# What is known of a track beside its motion; times in s.
THING = np.dtype(
    [("id", "i8"), ("class_id", "i8"), ("score", "f8"), ("hits", "i8"), ("born", "f8"), ("last", "f8")]
)  # fmt: skip

# A keypoint nobody has seen yet is somewhere around the middle of the box: standard deviation in sizes.
UNSEEN = 0.5
# Nothing is known of a new body's velocity: standard deviation in sizes per second.
UNKNOWN_SPEED = 1.0
# A box that is partly hidden shrinks without its body moving: its corners tell of velocity where keypoints cannot.
CORNER_GUIDANCE = 0.01
OWN_SPEED = 0.7
NOISE_MEMORY = 2.0
LEAN_MEMORY = 0.1
# A track's score is the mean of its detections' over about this many s, ...
SCORE_MEMORY = 0.33
# ... less by the factor e where the detection now lies so many sizes away from the track's keypoints, ...
AGREEMENT = 0.125
# ... and this share of it where there is no detection now.
UNDETECTED = 0.3
# Of frames, however far apart they are, a track may be missed in two, give or take their jitter.
MISSED = 2.5
NO_SIGMAS = np.empty((0, 0))
# Measurements with a smaller weight than this are called rejected.
REJECTED = 0.2


@dataclass(frozen=True, slots=True)
class State:
    """All tracks, one row each.

    The two corners of the box are filtered like keypoints and stand behind the K of them: P = K + 2.

    Attributes:
        things: [T] of `THING`.
        motion: of P points on T bodies.
        time: s.
    """

    things: Records
    motion: Motion
    time: float

    @classmethod
    def newborn(cls, detections: Detections, time: float, config: TrackerConfig) -> State:
        """Tentative tracks without ids, one per detection."""
        things = np.zeros(len(detections), THING)
        points = np.zeros((len(detections), detections.keypoints.shape[1] + 2), POINT)
        bodies = np.zeros(len(detections), BODY)
        function: Any = compiled.begin if compiled.AVAILABLE else _begin
        function(
            things, points, bodies, detections.boxes, detections.scores, detections.class_ids, detections.keypoints,
            time, ABSURD, config.measurement_noise, UNSEEN, OWN_SPEED, UNKNOWN_SPEED,
        )  # fmt: skip
        points["score"][:, :-2] = np.where(points["ever"][:, :-2], detections.keypoint_scores, np.nan)
        return cls(things, Motion(points, bodies), time)

    def __len__(self) -> int:
        return len(self.things)

    def __getitem__(self, rows: Mask) -> State:
        """Some of the tracks, by a mask [T]."""
        return State(self.things[rows], self.motion[rows], self.time)

    def __add__(self, other: State) -> State:
        """The tracks of both."""
        return State(np.concatenate((self.things, other.things)), self.motion + other.motion, self.time)

    @property
    def keypoints(self) -> int:
        """K."""
        return int(self.motion.points.shape[1]) - 2

    def boxes(self) -> Floats:
        """[T, 4] px; corners never cross."""
        return boxes_of(self.motion.points)[0]

    def confirmed(self, config: TrackerConfig) -> Mask:
        """[T] those that are believed."""
        return np.asarray(self.things["hits"] >= config.confirm_hits)

    def remembered(self, time: float, interval: float, config: TrackerConfig) -> State:
        """The tracks that are not forgotten at `time`, as they were; `interval` is that of frames, in s."""
        patience = np.where(self.confirmed(config), config.forget, config.coast).clip(MISSED * interval)
        kept = time - self.things["last"] <= patience
        return self if kept.all() else self[kept]

    def moved(self, time: float, config: TrackerConfig) -> State:
        """The tracks at a later time."""
        _, sizes = boxes_of(self.motion.points)
        density, body_density = (config.process_noise * sizes) ** 2, (config.body_noise * sizes) ** 2
        motion = self.motion.predicted(time - self.time, density, config.damping, body_density, config.filter)
        return State(self.things, motion, time)

    def seen(
        self, rows: Rows, found: State, columns: Rows, sigmas: Floats | None, step: float, config: TrackerConfig
    ) -> State:
        """The tracks corrected by detections, rows by columns, `step` s after the last ones.

        `found` are the detections, as newborn tracks, and `sigmas` [N, K] px what they tell of their noise.
        """
        if not len(rows):
            return self
        things, points = self.things.copy(), self.motion.points
        function: Any = compiled.take if compiled.AVAILABLE else _take
        measured, assumed, fresh = function(
            things, points, found.things, found.motion.points, rows, columns, NO_SIGMAS if sigmas is None else sigmas,
            self.time, config.measurement_noise, SCORE_MEMORY,
        )  # fmt: skip
        terms = np.empty((4, points.shape[1]))
        learning, memory = -math.expm1(-step / NOISE_MEMORY), -math.expm1(-step / LEAN_MEMORY)
        terms.T[:-2] = 1 / config.outliers, 1.0, learning, memory
        # A box that is partly hidden really is smaller: follow it.
        terms.T[-2:] = 0.0, CORNER_GUIDANCE, 0.0, 0.0
        motion = self.motion.corrected(measured, assumed, terms, config.filter)
        motion.points["score"][rows] = found.motion.points["score"][columns]
        if fresh:
            rows, places = np.nonzero(~points["ever"] & ~np.isnan(measured[..., 0]))
            # As of a newborn of this size on a body that already moves.
            point, sizes = motion.points[rows, places], boxes_of(motion.points)[1][rows]
            point["position"] = point["measured"]
            point["velocity"] = motion.bodies["velocity"][rows]
            point["pp"], point["vv"] = (config.measurement_noise * sizes) ** 2, (OWN_SPEED * sizes) ** 2
            point["pv"], point["noise"], point["lean"] = 0.0, 1.0, 0.0
            point["weight"], point["ever"] = 1.0, True
            motion.points[rows, places] = point
        return State(things, motion, self.time)

    def published(self, updated: float, config: TrackerConfig) -> Tracks:
        """What may be seen of the tracks, last `updated` at that time (s)."""
        last = self.things["last"]
        shown = np.where(self.confirmed(config), updated - last <= config.coast, last == updated)
        if not shown.all():
            return self[shown].published(updated, config)
        function: Any = compiled.publish if compiled.AVAILABLE else _publish
        scores, boxes, keypoints, velocities, covariances, measurements, status, keypoint_status = function(
            self.things, self.motion.points, self.motion.bodies, updated, config.confirm_hits,
            config.slow * config.measurement_noise**2, REJECTED, AGREEMENT, UNDETECTED,
        )  # fmt: skip
        return Tracks(
            ids=self.things["id"].copy(),
            class_ids=self.things["class_id"].copy(),
            scores=scores,
            boxes=boxes,
            keypoints=keypoints,
            velocities=velocities,
            covariances=covariances,
            measurements=measurements,
            keypoint_scores=self.motion.points["score"][:, :-2].copy(),
            status=status,
            keypoint_status=keypoint_status,
            ages=self.time - self.things["born"],
            time=self.time,
        )


def boxes_of(points: Records) -> tuple[Floats, Floats]:
    """[T, 4] px, the boxes whose corners are the last two points, and [T] px, their longer sides."""
    if compiled.AVAILABLE:
        boxes, sizes = compiled.boxes_of(points)
        return boxes, sizes
    first, second = points["position"][:, -2], points["position"][:, -1]
    boxes = np.concatenate([np.minimum(first, second), np.maximum(first, second)], 1)
    return boxes, np.abs(second - first).max(1)


def _begin(
    things: Records,
    points: Records,
    bodies: Records,
    boxes: Floats,
    scores: Floats,
    class_ids: Rows,
    keypoints: Floats,
    time: float,
    absurd: float,
    own: float,
    unseen: float,
    speed: float,
    body_speed: float,
) -> None:
    """Fill in tracks that begin with detections: the reference of `compiled.begin`.

    `own` to `body_speed` are standard deviations in sizes, or sizes / s, of places and velocities.
    """
    things["class_id"], things["score"], things["hits"] = class_ids, scores, 1
    things["born"] = things["last"] = time
    points["measured"][:, :-2], points["measured"][:, -2:] = keypoints, boxes.reshape(-1, 2, 2)
    points["ever"] = points["weight"] = (np.abs(points["measured"]) < absurd).all(-1)
    points["measured"][~points["ever"]] = np.nan
    sizes = np.abs(boxes[:, 2:] - boxes[:, :2]).max(1)
    centres = (boxes[:, None, :2] + boxes[:, None, 2:]) / 2
    points["position"] = np.where(points["ever"][..., None], points["measured"], centres)
    points["pp"] = (np.where(points["ever"], own, unseen) * sizes[:, None]) ** 2
    points["vv"] = (speed * sizes[:, None]) ** 2
    points["noise"] = 1.0
    bodies["vv"] = (body_speed * sizes) ** 2


def _take(
    things: Records,
    points: Records,
    found_things: Records,
    found_points: Records,
    rows: Rows,
    columns: Rows,
    sigmas: Floats,
    now: float,
    noise: float,
    memory: float,
) -> tuple[Floats, Floats, bool]:
    """Note what was detected in `things`: the reference of `compiled.take`.

    Returns what was measured [T, P, 2] px, its assumed variance [T, P] px^2 and whether a point is seen that never was.
    """
    measured, assumed = np.full((*points.shape, 2), np.nan), np.empty(points.shape)
    measured[rows] = found_points["measured"][columns]
    assumed[:] = (noise * boxes_of(points)[1][:, None]) ** 2
    if len(sigmas):
        told = sigmas[columns]
        assumed[rows, :-2] = np.where(np.isfinite(told) & (told > 0), told**2, assumed[rows, :-2])
    known = things[rows]
    known["score"] -= np.expm1(-(now - known["last"]) / memory) * (found_things["score"][columns] - known["score"])
    known["last"] = now
    known["hits"] += 1
    things[rows] = known
    return measured, assumed, bool((found_points["ever"][columns] & ~points["ever"][rows]).any())


def _publish(
    things: Records,
    points: Records,
    bodies: Records,
    updated: float,
    confirm_hits: int,
    slow: float,
    rejected: float,
    agreement: float,
    undetected: float,
) -> tuple[NDArray[Any], ...]:
    """What of `Tracks` is to be calculated: the reference of `compiled.publish`.

    `slow` is the share, times a size squared, of the assumed noise that stays from frame to frame; what was learnt
    scales it.
    """
    boxes, sizes = boxes_of(points)
    points = points[:, :-2]
    keypoint_status = points["ever"].astype(np.int64)  # NEVER_SEEN, PREDICTED
    keypoint_status[points["weight"] > 0] = KeypointStatus.REJECTED
    keypoint_status[points["weight"] >= rejected] = KeypointStatus.MEASURED
    covariances = np.zeros((*points.shape, 2, 2))
    variances = points["pp"] + bodies["pp"][:, None] + (slow * sizes**2)[:, None] * points["noise"]
    covariances[..., 0, 0] = covariances[..., 1, 1] = variances
    off = points["measured"] - points["position"]
    away = np.hypot(off[..., 0], off[..., 1])
    seen = ~np.isnan(away)
    distance = np.where(seen, away, 0.0).sum(1) / np.maximum(seen.sum(1), 1)
    detected = things["last"] == updated
    scores = things["score"] * np.where(detected, np.exp(-distance / sizes / agreement), undetected)
    believed = np.where(detected, Status.CONFIRMED, Status.COASTING)
    status = np.where(things["hits"] < confirm_hits, Status.TENTATIVE, believed)
    keypoints, velocities, measured = (points[name].copy() for name in ("position", "velocity", "measured"))
    return scores, boxes, keypoints, velocities, covariances, measured, status, keypoint_status
