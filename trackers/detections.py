"""What a detector saw in one frame."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

# Farther from the origin than any picture reaches (px): such numbers are a detector's failure, not a place.
ABSURD = 1e6


@dataclass(frozen=True, slots=True)
class Detections:
    """The detections of one frame, in any order. Arrays are converted to the types below.

    Attributes:
        boxes: [N, 4] float64 xyxy px.
        scores: [N] float64, 0..1.
        class_ids: [N] int64.
        keypoints: [N, K, 2] float64 px; NaN where a keypoint was not seen or its category has fewer than K.
        keypoint_scores: [N, K] float64, 0..1.
        keypoint_sigmas: [N, K] float64 px, standard deviation of each coordinate as the detector tells it; None when
            it tells nothing, NaN when it tells nothing of a keypoint.
        best: 0..1, the highest score that the detector gave anything in the frame, also where that is too little to be
            among the detections.

    Raises:
        ValueError: the shapes do not fit each other.
    """

    boxes: NDArray[np.float64]
    scores: NDArray[np.float64]
    class_ids: NDArray[np.int64]
    keypoints: NDArray[np.float64]
    keypoint_scores: NDArray[np.float64]
    keypoint_sigmas: NDArray[np.float64] | None = None
    best: float = 0.0

    def __post_init__(self) -> None:
        for name in ("boxes", "scores", "keypoints", "keypoint_scores"):
            object.__setattr__(self, name, np.asarray(getattr(self, name), np.float64, order="C"))
        object.__setattr__(self, "class_ids", np.asarray(self.class_ids, np.int64))
        if self.keypoint_sigmas is not None:
            object.__setattr__(self, "keypoint_sigmas", np.asarray(self.keypoint_sigmas, np.float64))
        n = len(self.boxes) if self.boxes.ndim else 0
        k = self.keypoints.shape[1] if self.keypoints.ndim == 3 else 0
        expected = {
            "boxes": (n, 4),
            "scores": (n,),
            "class_ids": (n,),
            "keypoints": (n, k, 2),
            "keypoint_scores": (n, k),
        }
        if self.keypoint_sigmas is not None:
            expected["keypoint_sigmas"] = (n, k)
        for name, shape in expected.items():
            if getattr(self, name).shape != shape:
                raise ValueError(
                    f"Detections.{name} must have shape {list(shape)} beside boxes {list(self.boxes.shape)} "
                    f"and keypoints {list(self.keypoints.shape)}, not {list(getattr(self, name).shape)}."
                )

    def __len__(self) -> int:
        return len(self.boxes)

    @classmethod
    def empty(cls, keypoints: int) -> Detections:
        """Nothing seen, for `keypoints` keypoints per thing."""
        none = np.empty(0)
        points = np.empty((0, keypoints, 2))
        return cls(np.empty((0, 4)), none, none.astype(np.int64), points, points[..., 0])

    def __getitem__(self, rows: NDArray[np.int64] | NDArray[np.bool_] | slice) -> Detections:
        """Some of them, by indices, a mask [N] or a slice."""
        return Detections(
            self.boxes[rows], self.scores[rows], self.class_ids[rows], self.keypoints[rows], self.keypoint_scores[rows],
            None if self.keypoint_sigmas is None else self.keypoint_sigmas[rows], self.best,
        )  # fmt: skip

    def usable(self, least: float) -> NDArray[np.int64]:
        """Rows with a score of at least `least` and a finite box that is not empty, best first.

        The order depends on what the rows hold and not on where they stand.
        """
        x0, y0, x1, y1 = self.boxes.T
        full = (x1 > x0) & (y1 > y0) & (x0 > -ABSURD) & (y0 > -ABSURD) & (x1 < ABSURD) & (y1 < ABSURD)
        rows = np.flatnonzero(full & (self.scores >= least) & (self.scores < np.inf))
        if len(rows) < 2:
            return rows
        order = np.lexsort((*self.boxes[rows].T, self.class_ids[rows], -self.scores[rows]))
        return rows[order]
