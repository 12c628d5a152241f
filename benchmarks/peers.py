"""Other people's trackers and filters behind one interface; their parameters are those that benchmarks.tune found.

Trackers of boxes keep the keypoints of their detections. One-Euro (Casiez et al., CHI 2012) smooths those, which
is what their users do.
"""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
from filterpy.common import Q_discrete_white_noise
from filterpy.kalman import KalmanFilter
from numpy.typing import NDArray

from xpose_stream.trackers import Detections, Tracker, TrackerConfig

Floats = NDArray[np.float64]

FRAME = 1 / 30  # s, what trackers that count frames are told
PICTURE = np.zeros((720, 1280, 3), np.uint8)


@dataclass(frozen=True)
class Followed:
    """What a tracker says of one frame: ids [T], boxes [T, 4] px, keypoints [T, K, 2] px, where they will be, and
    what only ours says: covariances [T, K, 2, 2] px^2 and keypoint status [T, K]."""

    ids: NDArray[np.int64]
    boxes: Floats
    keypoints: Floats
    ahead: Callable[[float], Floats]  # keypoints so many s later
    covariances: Floats | None = None
    status: NDArray[np.int64] | None = None


class Peer(Protocol):
    """A tracker in a benchmark."""

    def __call__(self, detections: Detections, time: float) -> Followed:
        """Take in one frame."""


class Ours:
    """The tracker of this project."""

    def __init__(self, config: TrackerConfig) -> None:
        self.tracker = Tracker(config)

    def __call__(self, detections: Detections, time: float) -> Followed:
        """Take in one frame."""
        tracks = self.tracker.update(detections, time).confirmed()

        def ahead(seconds: float) -> Floats:
            return self.tracker.predict(time + seconds).confirmed().keypoints

        return Followed(tracks.ids, tracks.boxes, tracks.keypoints, ahead, tracks.covariances, tracks.keypoint_status)


@dataclass
class OneEuro:
    """The One-Euro filter, vectorised: of one thing's keypoints; also what holds them when it does not filter."""

    least: float = np.inf  # Hz, cutoff at rest
    beta: float = 0.0
    slope: float = 1.0  # Hz, cutoff of the speed
    place: Floats | None = field(default=None, init=False)
    speed: Floats | None = field(default=None, init=False)
    time: float = field(default=0.0, init=False)

    def __call__(self, points: Floats, time: float) -> Floats:
        """Filtered points [K, 2]; NaN holds the last one."""
        if self.place is None or self.speed is None:
            self.place, self.speed, self.time = points.copy(), np.zeros_like(points), time
            return self.place
        interval, self.time = time - self.time, time
        known = ~np.isnan(points)
        first = known & np.isnan(self.place)
        change = np.where(known & ~first, (points - self.place) / interval, 0.0)
        gain = _share(self.slope, interval)
        self.speed = np.where(known, self.speed + gain * (change - self.speed), self.speed)
        share = np.ones(()) if np.isinf(self.least) else _share(self.least + self.beta * np.abs(self.speed), interval)
        moved = self.place + share * (points - self.place)
        self.place = np.where(first, points, np.where(known, moved, self.place))
        return self.place


def _share(cutoff: Any, interval: float) -> Any:
    return 1 / (1 + 1 / (2 * np.pi * cutoff * interval))


class _Boxes:
    """A tracker of boxes: its identities with the keypoints of the detections, filtered by One-Euro if asked."""

    def __init__(self, smooth: Mapping[str, float]) -> None:
        self._smooth = smooth
        self._filters: dict[int, OneEuro] = {}

    def _followed(self, ids: Any, boxes: Floats, keypoints: Floats, time: float) -> Followed:
        points = np.empty_like(keypoints)
        for row, identity in enumerate(np.asarray(ids).tolist()):
            keypoint_filter = self._filters.setdefault(identity, OneEuro(**self._smooth))
            points[row] = keypoint_filter(keypoints[row], time)
        return Followed(np.asarray(ids, np.int64), boxes, points, lambda _: points)


class ByteTrack(_Boxes):
    """supervision's ByteTrack."""

    def __init__(self, smooth: Mapping[str, float] = {}, **settings: Any) -> None:
        super().__init__(smooth)
        with warnings.catch_warnings(), contextlib.redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            import supervision

            self._supervision = supervision
            self.tracker = supervision.ByteTrack(frame_rate=30, **settings)

    def __call__(self, detections: Detections, time: float) -> Followed:
        """Take in one frame."""
        found = self.tracker.update_with_detections(self.given(detections))
        rows = np.asarray(found.data.get("row", ()), int)
        return self._followed(found.tracker_id, found.xyxy, detections.keypoints[rows], time)

    def given(self, detections: Detections) -> Any:
        """The detections as supervision has them."""
        return self._supervision.Detections(
            xyxy=detections.boxes.astype(np.float32), confidence=detections.scores.astype(np.float32),
            class_id=detections.class_ids, data={"row": np.arange(len(detections))},
        )  # fmt: skip


class OcSort(_Boxes):
    """boxmot's OC-SORT."""

    def __init__(self, smooth: Mapping[str, float] = {}, **settings: Any) -> None:
        super().__init__(smooth)
        with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
            from boxmot import OcSort as Theirs

            self._tracker = Theirs(use_byte=True, **settings)

    def __call__(self, detections: Detections, time: float) -> Followed:
        """Take in one frame."""
        given = np.column_stack([detections.boxes, detections.scores, detections.class_ids]).astype(np.float32)
        found = np.asarray(self._tracker.update(given.reshape(-1, 6), PICTURE)).reshape(-1, 8)
        rows = found[:, 7].astype(int)
        return self._followed(found[:, 4], found[:, :4], detections.keypoints[rows], time)


class Norfair:
    """norfair with its own filter, fed with keypoints and the corners of the box.

    Args:
        distance: "voting", the share of points that are not near, or "mean", the mean distance in sizes.
        threshold: of that distance.
        noise, change: R and Q of its filter.
        least: score from which detections count.
        patience: frames for which a track lives on.
        near: sizes, for "voting".
    """

    def __init__(
        self, distance: str, threshold: float, noise: float, change: float, least: float, patience: int,
        near: float = 0.1,
    ) -> None:  # fmt: skip
        import norfair

        self._detection, self._least, self._near = norfair.Detection, least, near
        self._tracker = norfair.Tracker(
            "euclidean", threshold, hit_counter_max=patience, initialization_delay=2, detection_threshold=0.05,
            filter_factory=norfair.OptimizedKalmanFilterFactory(R=noise, Q=change), past_detections_length=0,
        )  # fmt: skip
        # Set afterwards, as the constructor warns of every function that is not one of norfair's own.
        function = self._voting if distance == "voting" else self._mean
        self._tracker.distance_function = norfair.distances.ScalarDistance(function)

    def _offsets(self, detection: Any, tracked: Any) -> Floats:
        seen = detection.scores > 0.05
        size = (tracked.estimate[-1] - tracked.estimate[-2]).max()
        return np.linalg.norm((detection.points - tracked.estimate)[seen], axis=1) / max(size, 1.0)

    def _voting(self, detection: Any, tracked: Any) -> float:
        return float((self._offsets(detection, tracked) > self._near).mean())

    def _mean(self, detection: Any, tracked: Any) -> float:
        return float(self._offsets(detection, tracked).mean())

    def __call__(self, detections: Detections, time: float) -> Followed:
        """Take in one frame."""
        given = []
        for box, score, points in zip(detections.boxes, detections.scores, detections.keypoints, strict=True):
            if score >= self._least:
                seen, corners = ~np.isnan(points[:, :1]), box.reshape(2, 2)
                places = np.concatenate([np.where(seen, points, corners.mean(0)), corners])
                given.append(self._detection(places, scores=np.append(seen[:, 0], [1.0, 1.0]), label="0"))
        found = self._tracker.update(given)
        points = np.array([o.estimate for o in found]).reshape(len(found), detections.keypoints.shape[1] + 2, 2)
        speeds = np.array([o.estimate_velocity for o in found]).reshape(points.shape)[:, :-2] / FRAME
        ids = np.array([o.id for o in found], np.int64)
        places = points[:, :-2]
        return Followed(ids, points[:, -2:].reshape(-1, 4), places, lambda seconds: places + seconds * speeds)


class Filterpy:
    """A filterpy KalmanFilter per keypoint, for places given with their identity [N, K, 2]."""

    def __init__(self, noise: float, change: float, order: int = 2) -> None:
        self._noise, self._change, self._order = noise, change, order
        self._filters: dict[tuple[int, int], KalmanFilter] = {}
        self._times: dict[tuple[int, int], float] = {}

    def __call__(self, points: Floats, sizes: Floats, time: float) -> None:
        """Take in one frame; sizes [N] px scale the noise."""
        for i, k in np.ndindex(points.shape[:2]):
            seen, size = not np.isnan(points[i, k, 0]), float(sizes[i])
            kf = self._filters.get((i, k))
            if kf is None:
                if seen:
                    self._filters[i, k] = self._start(points[i, k], size)
                    self._times[i, k] = time
                continue
            kf.F, kf.Q = self._steps(time - self._times[i, k], size)
            kf.R = np.eye(2) * (self._noise * size) ** 2
            kf.predict()
            kf.update(points[i, k] if seen else None)
            self._times[i, k] = time

    def _start(self, point: Floats, size: float) -> KalmanFilter:
        n = self._order
        kf = KalmanFilter(2 * n, 2)
        kf.x = np.zeros(2 * n)
        kf.x[::n] = point
        kf.H = np.kron(np.eye(2), np.eye(1, n))
        scale = [(self._noise * size) ** 2, size**2, (10 * size) ** 2][:n]
        kf.P = np.kron(np.eye(2), np.diag(scale))
        return kf

    def _steps(self, interval: float, size: float) -> tuple[Floats, Floats]:
        n = self._order
        one = np.array([[1, interval, interval**2 / 2], [0, 1, interval], [0, 0, 1]])[:n, :n]
        # The variance of a jump of the acceleration scales so that `change` means the same at every interval.
        spread = Q_discrete_white_noise(n, interval, (self._change * size) ** 2 / interval, block_size=2)
        return np.kron(np.eye(2), one), spread

    def state(self, shape: tuple[int, ...]) -> tuple[Floats, Floats]:
        """Places and speeds [N, K, 2]; NaN before the first measurement."""
        places, speeds = np.full(shape, np.nan), np.full(shape, np.nan)
        for key, kf in self._filters.items():
            places[key], speeds[key] = kf.x[:: self._order], kf.x[1 :: self._order]
        return places, speeds
