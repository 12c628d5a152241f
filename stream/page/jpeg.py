"""Frames as JPEG, no larger than they are shown."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

import av
import cv2
import numpy as np
from av.video.reformatter import VideoReformatter

from xpose_stream.stream.page.ring import Seen
from xpose_stream.stream.sinks.overlay import draw
from xpose_stream.stream.sources.frame import Frame

_STEP = 160  # px; widths that pages ask for are rounded up to it, so that several share a picture
QUALITY, _FINE = 80, 92


class Encoder:
    """Makes JPEGs in a thread of its own; pages that show a camera equally large share them."""

    def __init__(self) -> None:
        self._thread = ThreadPoolExecutor(1, "page jpeg")
        self._scalers: dict[tuple[str, int], VideoReformatter] = {}
        self._made: dict[tuple[str, int, bool], tuple[Seen, asyncio.Future[bytes]]] = {}

    async def __call__(self, seen: Seen, width: int, overlay: bool = False) -> bytes:
        """A frame at least `width` px wide if it is, with its tracks drawn on it if `overlay`."""
        key = seen.frame.camera, -(-width // _STEP) * _STEP, overlay
        made = self._made.get(key)
        if made is None or made[0] is not seen:
            made = self._made[key] = seen, self._begin(seen, key[1], overlay, QUALITY)
        return await asyncio.shield(made[1])

    async def fine(self, seen: Seen, width: int | None = None) -> bytes:
        """A frame for looking closely; full size unless `width` px."""
        return await self._begin(seen, width or seen.frame.width, False, QUALITY if width else _FINE)

    def forget(self) -> None:
        """Nobody looks any more."""
        self._made.clear()
        self._scalers.clear()

    def close(self) -> None:
        """Make no more."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _begin(self, seen: Seen, width: int, overlay: bool, quality: int) -> asyncio.Future[bytes]:
        make = _drawn if overlay else self._scaled
        return asyncio.get_running_loop().run_in_executor(self._thread, make, seen, width, quality)

    def _scaled(self, seen: Seen, width: int, quality: int) -> bytes:
        frame = seen.frame
        scaler = self._scalers.setdefault((frame.camera, width), VideoReformatter())  # tables are made once per size
        return encode(picture(frame, min(width, frame.width), scaler), quality)


def _drawn(seen: Seen, width: int, quality: int) -> bytes:
    return encode(draw(seen.frame.to_rgb(), seen.message)[..., ::-1], quality)


def picture(frame: Frame, width: int, scaler: VideoReformatter) -> np.ndarray:
    """A frame scaled to `width` px: uint8 [h, w, 3], blue first."""
    height = max(1, round(frame.height * width / frame.width))
    scaled: av.VideoFrame = scaler.reformat(
        frame.picture, width, height, format="bgr24", interpolation="AREA" if width < frame.width else None, threads=1
    )
    return np.asarray(scaled.to_ndarray(), np.uint8)


def encode(bgr: np.ndarray, quality: int) -> bytes:
    """The JPEG of uint8 [h, w, 3], blue first. OpenCV's encoder: 0.7 ms at 640x480, no other is worth a dependency."""
    return cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()
