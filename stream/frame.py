"""One decoded picture and the times that belong to it."""

from __future__ import annotations

from dataclasses import dataclass

import av
import numpy as np
from numpy.typing import NDArray

from stream.clock import ClockName


@dataclass(frozen=True, slots=True)
class Frame:
    """A decoded picture of one camera with its times.

    camera       name of the source.
    index        0, 1, 2, ... over the frames decoded from this source, over all epochs.
    pts          s, media time as the container or camera states it.
    captured_at  s on `clock`: Unix time for "sender" and "arrival", time since the first frame for "file".
    arrived      s on time.monotonic() at which the decoded frame was ready; for a file played in real time, was due.
    picture      the pixels, upright and square, in whatever format the decoder gave.
    uncertainty  s by which captured_at may be off this host's time, as far as it can be told; see stream/clock.py.
    epoch        0, 1, 2, ...; grows with every reconnect and every change of size, pixel format or colour. Media times
                 and pictures of different epochs have nothing to do with each other.
    decoding     s that the decoder took for it.
    """

    camera: str
    index: int
    pts: float
    captured_at: float
    clock: ClockName
    arrived: float
    picture: av.VideoFrame
    uncertainty: float = 0.0
    epoch: int = 0
    decoding: float = 0.0

    @property
    def width(self) -> int:
        """Width in pixels."""
        return self.picture.width

    @property
    def height(self) -> int:
        """Height in pixels."""
        return self.picture.height

    def to_rgb(self) -> NDArray[np.uint8]:
        """The pixels as uint8 [height, width, 3], red first, row 0 on top."""
        return self.picture.to_ndarray(format="rgb24").astype(np.uint8, copy=False)
