"""The last seconds of every camera, so that what somebody clicks on is the frame they saw."""

from __future__ import annotations

import threading
from collections import defaultdict, deque
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import av
import msgspec
import numpy as np

from xpose_stream.stream.sinks.messages import TracksMessage, encode
from xpose_stream.stream.sources.frame import Frame

SECONDS = 5.0
MOST_BYTES = 256 << 20  # of pixels, all cameras together


@dataclass(frozen=True)
class Seen:
    """A frame with its message."""

    frame: Frame
    message: TracksMessage

    @classmethod
    def copied(cls, frame: Frame, message: TracksMessage) -> Seen:
        """The same with pixels of its own.

        A decoder takes its pictures from a pool, and keeps for ever as many as were ever held at once.
        """
        return cls(replace(frame, picture=_copy(frame.picture)), message)

    @property
    def size(self) -> int:
        """Bytes of its pixels, about."""
        return self.frame.width * self.frame.height * self.frame.picture.format.bits_per_pixel // 8

    @cached_property
    def payload(self) -> msgspec.Raw:
        """The message as it goes out."""
        return msgspec.Raw(encode(self.message))


class Ring:
    """The newest frames of each camera, at most SECONDS and MOST_BYTES of them. For any thread.

    Where the bytes are not enough for the seconds, the camera that has most gives up its oldest frame.
    """

    def __init__(self, most_bytes: int = MOST_BYTES) -> None:
        self._most, self._lock = most_bytes, threading.Lock()
        self._frames: dict[str, deque[Seen]] = defaultdict(deque)
        self._bytes: dict[str, int] = defaultdict(int)

    def add(self, seen: Seen) -> None:
        """Keep a frame, and give up what is too old or too much."""
        camera = seen.frame.camera
        with self._lock:
            frames = self._frames[camera]
            frames.append(seen)
            self._bytes[camera] += seen.size
            while frames[0].frame.arrived < seen.frame.arrived - SECONDS:
                self._give_up(camera)
            while sum(self._bytes.values()) > self._most:
                self._give_up(max(self._bytes, key=self._bytes.__getitem__))

    def find(self, camera: str, index: int) -> Seen | None:
        """A camera's frame by its number, if it is still there."""
        with self._lock:
            return next((seen for seen in self._frames.get(camera, ()) if seen.frame.index == index), None)

    def strip(self, camera: str, count: int) -> list[Seen]:
        """At most `count` frames of a camera, evenly over what is there, oldest first."""
        with self._lock:
            frames = list(self._frames.get(camera, ()))
        if len(frames) <= count:
            return frames
        return [frames[round(i * (len(frames) - 1) / (count - 1))] for i in range(count)]

    def clear(self) -> None:
        """Keep nothing."""
        with self._lock:
            self._frames.clear()
            self._bytes.clear()

    @property
    def bytes(self) -> int:
        """Of pixels that are kept."""
        with self._lock:
            return sum(self._bytes.values())

    def _give_up(self, camera: str) -> None:
        self._bytes[camera] -= self._frames[camera].popleft().size


def _copy(picture: av.VideoFrame) -> av.VideoFrame:
    copied = av.VideoFrame(picture.width, picture.height, picture.format.name)
    for one, other in zip(picture.planes, copied.planes, strict=True):
        rows, width = min(one.height, other.height), min(one.line_size, other.line_size)
        both: list[Any] = [one, other]
        source, target = (np.frombuffer(plane, np.uint8).reshape(-1, plane.line_size) for plane in both)
        target[:rows, :width] = source[:rows, :width]
    for name in ("colorspace", "color_range", "color_primaries", "color_trc"):
        setattr(copied, name, getattr(picture, name))
    return copied
