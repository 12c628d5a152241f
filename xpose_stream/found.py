"""What was found in a picture, as NumPy arrays."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpose_stream.error import UserError
from xpose_stream.stream.sinks.messages import Category, TrackMessage, TracksMessage

Floats = NDArray[np.float64]


@dataclass(frozen=True)
class Instances:
    """The N instances of one category with its K keypoints, in px of the picture; NaN where nothing is known.

    category, keypoint_names, edges  what is looked for; edges are pairs of indices of keypoints.
    """

    category: str
    keypoint_names: tuple[str, ...]
    edges: tuple[tuple[int, int], ...]
    _rows: Sequence[TrackMessage]

    def __len__(self) -> int:
        return len(self._rows)

    @cached_property
    def ids(self) -> NDArray[np.int64]:
        """[N] identities, which stay with a thing from frame to frame."""
        return np.array([row.id for row in self._rows], np.int64)

    @cached_property
    def status(self) -> list[str]:
        """[N] "tentative", "confirmed" or "coasting"; see docs/messages.md."""
        return [row.status for row in self._rows]

    @cached_property
    def scores(self) -> Floats:
        """[N] 0..1."""
        return np.array([row.score for row in self._rows], np.float64)

    @cached_property
    def ages(self) -> Floats:
        """[N] s since they were first seen."""
        return np.array([row.age for row in self._rows], np.float64)

    @cached_property
    def boxes(self) -> Floats:
        """[N, 4] x0, y0, x1, y1."""
        return np.array([row.box for row in self._rows], np.float64).reshape(-1, 4)

    @cached_property
    def keypoints(self) -> Floats:
        """[N, K, 2] x, y, smoothed."""
        return self._points([row.keypoints for row in self._rows], 2)

    @cached_property
    def keypoint_scores(self) -> Floats:
        """[N, K] 0..1, how likely each is visible where it was measured."""
        return self._points([row.keypoint_scores or [] for row in self._rows], 1)[..., 0]

    @cached_property
    def keypoint_status(self) -> list[list[str]]:
        """[N, K] "never_seen", "predicted", "rejected" or "measured"; see docs/messages.md."""
        return [list(row.keypoint_status) for row in self._rows]

    @cached_property
    def velocities(self) -> Floats:
        """[N, K, 2] px/s."""
        return self._points([row.velocities for row in self._rows], 2)

    @cached_property
    def covariances(self) -> Floats:
        """[N, K, 2, 2] px^2 of `keypoints`."""
        return self._points([row.covariances for row in self._rows], 3)[..., [[0, 1], [1, 2]]]

    @property
    def sigmas(self) -> Floats:
        """[N, K] px, standard deviation of each coordinate: the root of the mean of both variances."""
        return np.asarray(np.sqrt(np.trace(self.covariances, axis1=-2, axis2=-1) / 2))

    @cached_property
    def measured(self) -> Floats:
        """[N, K, 2] what the model saw in this frame, not smoothed."""
        return self._points([row.measured for row in self._rows], 2)

    def _points(self, rows: Sequence[Sequence[Any]], width: int) -> Floats:
        points = np.full((len(rows), len(self.keypoint_names), width), np.nan)
        for row, values in enumerate(rows):
            for column, value in enumerate(values):
                if value is not None:
                    points[row, column] = value
        return points


class Found:
    """All instances in one picture. `found["person"]` are those of one category, as `Instances`.

    message  the same as docs/messages.md has it.
    """

    def __init__(self, message: TracksMessage, forecast: Callable[[float], TracksMessage] | None = None) -> None:
        self.message = message
        self._forecast = forecast
        self._categories = {category.id: category for category in message.categories}

    def __len__(self) -> int:
        return len(self.message.tracks)

    @property
    def categories(self) -> list[str]:
        """What was looked for."""
        return [category.name for category in self.message.categories]

    @property
    def names(self) -> list[str]:
        """[T] the category of each."""
        return [self._categories[track.category].name for track in self.message.tracks]

    @property
    def ids(self) -> NDArray[np.int64]:
        """[T] see Instances; so are the others."""
        return self._all.ids

    @property
    def scores(self) -> Floats:
        """[T] 0..1."""
        return self._all.scores

    @property
    def boxes(self) -> Floats:
        """[T, 4] x0, y0, x1, y1 in px."""
        return self._all.boxes

    @property
    def keypoints(self) -> Floats:
        """[T, K, 2] px; K is that of the category with the most keypoints."""
        return self._all.keypoints

    @property
    def sigmas(self) -> Floats:
        """[T, K] px."""
        return self._all.sigmas

    @cached_property
    def _all(self) -> Instances:
        lists = [category.keypoints for category in self.message.categories]
        longest: tuple[str, ...] = max(lists, key=len, default=())
        return Instances("", longest, (), self.message.tracks)

    def __getitem__(self, category: str) -> Instances:
        """The instances of a category that is looked for; raises Error for another."""
        for known in self.message.categories:
            if known.name == category:
                return self._of(known)
        asked = ", ".join(self.categories)
        raise UserError(f"'{category}' is not looked for; the prompt asks for {asked}")

    def _of(self, category: Category) -> Instances:
        rows = [track for track in self.message.tracks if track.category == category.id]
        return Instances(category.name, category.keypoints, category.edges, rows)

    def predict(self, time: float) -> Found:
        """The same tracks where they will be at `time`, s on the clock of the frame's `captured_at`.

        May be called at any later moment. Raises ValueError for a time before the frame's, and Error where nothing is
        tracked, as in a single picture.
        """
        if self._forecast is None:
            raise UserError("nothing can be predicted from a single picture; follow a video with xpose_stream.stream")
        return Found(self._forecast(time))

    def draw(self, image: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """A copy of the picture, uint8 [H, W, 3], with what was found drawn on it."""
        from xpose_stream.stream.sinks.overlay import draw

        return np.asarray(draw(image, self.message), np.uint8)

    def to_supervision(self) -> Any:
        """The keypoints as `supervision.KeyPoints`; categories with fewer keypoints than others end in zeros.

        Raises Error when the package supervision is not installed.
        """
        try:
            from supervision import KeyPoints
        except ImportError:
            raise UserError("the package supervision is not installed; pip install supervision") from None
        every = self._all
        data: dict[str, Any] = {"class_name": np.array(self.names, object), "track_id": every.ids}
        return KeyPoints(
            xy=np.nan_to_num(every.keypoints).astype(np.float32),
            class_id=np.array([track.category for track in self.message.tracks], int),
            confidence=np.nan_to_num(every.keypoint_scores).astype(np.float32),
            data=data,
        )
