"""Pictures that a program has in memory, as a video."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import Any

import av
import numpy as np

from xpose_stream.stream.sources.error import SourceError


class Arrays:
    """Arrays as a video of `rate` pictures per s: see Media.

    Each is uint8 [height, width, 3], red first, row 0 on top; `arrays` may be a generator, and is read as the pictures
    are needed. Raises SourceError when there is none, or it is of another kind.
    """

    live = finite = blind = False
    videos: tuple[str, ...] = ()
    image: str | None = None
    skipped = 0
    mixed = False
    sender_start = None
    duration: float | None = None
    codec = "arrays"
    decoding = 0.0
    patience = math.inf

    def __init__(self, arrays: Iterable[Any], rate: float) -> None:
        self.rate: float | None = rate
        self.width = self.height = self.corrupt = 0
        rest = iter(arrays)
        try:
            self.first = picture_of(next(rest))
        except StopIteration:
            raise SourceError("there is no picture among the arrays; give at least one") from None
        self._pictures = chain([self.first], map(picture_of, rest))

    def pictures(self) -> Iterator[tuple[float, av.VideoFrame]]:
        """See Media."""
        assert self.rate
        for number, picture in enumerate(self._pictures):
            yield number / self.rate, picture

    def close(self) -> None:
        """See Media."""


def picture_of(array: Any) -> av.VideoFrame:
    """The picture in an array uint8 [height, width, 3], red first; raises SourceError for any other."""
    array = np.asarray(array)
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[2] != 3 or not array.size:
        told = f"{array.dtype} {list(array.shape)}"
        raise SourceError(f"a picture must be an array uint8 [height, width, 3], red first, not {told}")
    return av.VideoFrame.from_ndarray(np.ascontiguousarray(array), format="rgb24")
