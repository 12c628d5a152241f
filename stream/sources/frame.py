"""One decoded picture and the times that belong to it."""

from __future__ import annotations

import time
from dataclasses import dataclass

import av
import numpy as np
from numpy.typing import NDArray

from xpose_stream.stream.sources.clock import ClockName
from xpose_stream.stream.sources.colour import YCGCO, scaler_colorspace

# Epochs and identities of a camera's run number n begin at n times this: never given again, and still exact in JSON.
RUN = 10**9


@dataclass(frozen=True, slots=True)
class Frame:
    """A decoded picture of one camera with its times.

    camera       name of the source.
    index        0, 1, 2, ... over the frames decoded from this source, over all epochs; of images in a folder also over
                 those that could not be read.
    pts          s, media time as the container or camera states it.
    captured_at  s on `clock`: Unix time for "sender" and "arrival", time since the first frame for "file".
    arrived      s on time.monotonic() at which the decoded frame was ready; for a file played in real time, was due.
    picture      the pixels, upright and square, in whatever format the decoder gave.
    uncertainty  s by which captured_at may be off this host's time, as far as it can be told; see stream/clock.py.
    epoch        0, 1, 2, ...; grows with every reconnect and every change of size, pixel format or colour. Media times
                 and pictures of different epochs have nothing to do with each other.
    decoding     s that the decoder took for it.
    image        name of the file that it was read from, of a folder of images; else None.
    mixed        there are others of more than two sizes beside it, as in a folder of photographs.
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
    image: str | None = None
    mixed: bool = False

    @classmethod
    def still(cls, picture: av.VideoFrame) -> Frame:
        """A picture that belongs to no video."""
        return cls("picture", 0, 0.0, 0.0, "file", time.monotonic(), picture)

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
        if self.picture.colorspace == YCGCO:
            from xpose_stream.stream.sources import yuv

            picture = yuv.planar(self.picture)
            mixed = yuv.to_rgb(yuv.resize(yuv.planes_of(picture), (self.width, self.height)), picture)
            return mixed.permute(1, 2, 0).round().byte().numpy()
        rgb = self.picture.to_ndarray(format="rgb24", src_colorspace=scaler_colorspace(self.picture))
        return rgb.astype(np.uint8, copy=False)
