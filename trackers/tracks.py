"""What a tracker knows at one time."""

from __future__ import annotations

from dataclasses import dataclass, fields
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray


class Status(IntEnum):
    """Where a track is in its life."""

    TENTATIVE = 0  # detected now, not yet often enough to be believed
    CONFIRMED = 1  # believed and detected at the last update
    COASTING = 2  # believed, but not detected at the last update


class KeypointStatus(IntEnum):
    """Where a keypoint's place comes from."""

    NEVER_SEEN = 0  # a guess: somewhere in the box
    PREDICTED = 1  # seen before, not now
    REJECTED = 2  # seen now where it can hardly be; hardly believed
    MEASURED = 3  # seen now


@dataclass(frozen=True, slots=True)
class Tracks:
    """Tracks at one time. Everything but `measurements` and `keypoint_scores` is always finite.

    Attributes:
        ids: [T] int64, never used twice by a tracker.
        class_ids: [T] int64.
        scores: [T] 0..1, how sure the tracks are: a running mean of their detections' scores, less where the detection
            of this time disagrees with the track's keypoints or is missing.
        boxes: [T, 4] xyxy px, filtered.
        keypoints: [T, K, 2] px, filtered.
        velocities: [T, K, 2] px/s.
        covariances: [T, K, 2, 2] px^2 of `keypoints`.
        measurements: [T, K, 2] px, the raw keypoints matched at this time; NaN where there were none.
        keypoint_scores: [T, K] 0..1, those of the raw keypoints; NaN where there were none.
        status: [T] `Status`.
        keypoint_status: [T, K] `KeypointStatus`.
        ages: [T] s since birth.
        time: s on the clock of the updates.

    Raises:
        ValueError: the shapes do not fit each other.
    """

    ids: NDArray[np.int64]
    class_ids: NDArray[np.int64]
    scores: NDArray[np.float64]
    boxes: NDArray[np.float64]
    keypoints: NDArray[np.float64]
    velocities: NDArray[np.float64]
    covariances: NDArray[np.float64]
    measurements: NDArray[np.float64]
    keypoint_scores: NDArray[np.float64]
    status: NDArray[np.int64]
    keypoint_status: NDArray[np.int64]
    ages: NDArray[np.float64]
    time: float

    def __post_init__(self) -> None:
        t = len(self.ids)
        k = self.keypoints.shape[1] if self.keypoints.ndim == 3 else 0
        points = (t, k, 2)
        shapes: tuple[tuple[int, ...], ...] = (
            (t,), (t,), (t,), (t, 4), points, points, (t, k, 2, 2), points, (t, k), (t,), (t, k), (t,)
        )  # fmt: skip
        for name, expected in zip(self.__slots__, shapes, strict=False):  # all but the time
            if getattr(self, name).shape != expected:
                raise ValueError(
                    f"Tracks.{name} must have shape {list(expected)} beside {t} ids and keypoints "
                    f"{list(self.keypoints.shape)}, not {list(getattr(self, name).shape)}."
                )

    def __len__(self) -> int:
        return len(self.ids)

    def __getitem__(self, rows: NDArray[np.int64] | NDArray[np.bool_]) -> Tracks:
        """Some of them, by indices or by a mask [T]."""
        arrays = {f.name: getattr(self, f.name)[rows] for f in fields(self) if f.name != "time"}
        return Tracks(**arrays, time=self.time)

    def confirmed(self) -> Tracks:
        """Those that are believed: all but the tentative ones."""
        return self[self.status != Status.TENTATIVE]
