"""Overlay: what was tracked, drawn on what was seen, as an MP4 video."""

from __future__ import annotations

import colorsys
import contextlib
import io
import os
import re
import threading
from datetime import UTC, datetime
from fractions import Fraction
from functools import cache
from io import FileIO
from pathlib import Path
from types import SimpleNamespace, TracebackType
from typing import TYPE_CHECKING

import av
import cv2
import numpy as np

from xpose_stream.stream.sinks.messages import Category, TrackMessage, TracksMessage
from xpose_stream.stream.sinks.room import Room
from xpose_stream.stream.sinks.sink import SinkError, TakenError, append, claim, deleted, unwritable

if TYPE_CHECKING:
    from xpose_stream.stream.sources.frame import Frame

Colour = tuple[float, float, float]

_TICKS = 90_000  # per second of video
_KEY_TICKS = _TICKS  # a key frame, and with it a fragment that survives a kill, at least each second
_LEAP_TICKS = 3600 * _TICKS
_SHIFT = 4  # cv2 draws at 1/16 px
_DASH = 8.0
_FONT = cv2.FONT_HERSHEY_SIMPLEX


class Overlay:
    """Writes one camera's frames with their tracks to the MP4 file `path` (H.264 in fragments).

    The file is playable at any moment, up to a second behind, whatever happens to the process. Its size is the first
    frame's, in even numbers; later frames of another size are scaled to fit. Frames are shown at their capture times;
    where those step back, leap an hour or change clock, `rate` (frames/s) gives the step. Without any frame no file
    stays behind. Raises SinkError when the file exists (unless `overwrite`) or cannot be written. Methods may be
    called from any thread. With `room` a full disk is no error: what does not fit is left out and counted there.
    """

    def __init__(
        self, path: str | Path, rate: float | None = None, *, overwrite: bool = False, room: Room | None = None
    ) -> None:
        self.path = self._path = claim(path, overwrite)
        self._room = room
        self._waiting = 0  # frames that are in no fragment yet
        self._head = b""  # of the file, while there is no room for it
        self._head_size = 0
        self._lock = threading.RLock()
        self._timeline = _Timeline(rate or 30.0)
        self._stream: av.VideoStream | None = None
        self._next_key = 0
        self._muxed = io.BytesIO()
        self._closed = False
        try:
            self._file = FileIO(self._path, "w" if overwrite else "x")
        except FileExistsError:
            raise TakenError(f"{self._path} exists already and is not overwritten; choose another name") from None
        except OSError as error:
            raise unwritable(self._path, error) from None

    @property
    def size(self) -> int:
        """bytes of the file so far"""
        return 0 if self._file.closed else os.fstat(self._file.fileno()).st_size

    @property
    def deleted(self) -> bool:
        """Somebody has deleted the file."""
        return deleted(self._file)

    def write(self, frame: Frame, message: TracksMessage) -> None:
        """Draw `message` on `frame` and add it to the video. Raises SinkError on a full disk and after close()."""
        with self._lock:
            if self._closed:
                raise SinkError(f"cannot write {self._path}: the overlay is closed")
            picture = draw(frame.to_rgb(), message)
            try:
                if self._stream is None:
                    height, width = (max(side // 2 * 2, 2) for side in picture.shape[:2])
                    self._open(width, height)
                self._encode(picture, self._timeline.ticks(frame.captured_at, frame.clock))
            except OSError as error:
                raise unwritable(self._path, error) from None

    def close(self) -> None:
        """Finish the video; a second call does nothing. Raises SinkError when its end cannot be written."""
        with self._lock:
            if self._closed:
                return
            self._closed = True
            try:
                if self._stream is None:
                    self._path.unlink(missing_ok=True)
                else:
                    self._container.mux(self._stream.encode(None))
                    self._container.close()
                    self._keep()
                    if self._room:
                        self._room.ended(self._path)
                    if self.size <= self._head_size:  # not one picture had room
                        self._path.unlink(missing_ok=True)
            except OSError as error:
                raise unwritable(self._path, error) from None
            finally:
                self._file.close()

    def _open(self, width: int, height: int) -> None:
        movflags = "frag_keyframe+empty_moov+default_base_moof"
        ahead_only = SimpleNamespace(write=self._muxed.write)  # no seek: what was passed on cannot be changed
        self._container = av.open(ahead_only, "w", format="mp4", options={"movflags": movflags})
        rate = Fraction(self._timeline.rate).limit_denominator(1001)
        options = {"preset": "ultrafast", "tune": "zerolatency", "crf": "23", "forced-idr": "1"}
        stream = self._container.add_stream("libx264", rate=rate, options=options)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.thread_count = 1
        stream.codec_context.time_base = Fraction(1, _TICKS)
        stream.codec_context.gop_size = 10_000  # key frames come by time, below
        stream.codec_context.colorspace = av.video.reformatter.Colorspace.ITU601
        stream.codec_context.color_range = av.video.reformatter.ColorRange.MPEG
        self._stream = stream

    def _encode(self, picture: np.ndarray, ticks: int) -> None:
        assert self._stream is not None
        picture = _fit(picture, self._stream.width, self._stream.height)
        planes = np.asarray(cv2.cvtColor(picture, cv2.COLOR_RGB2YUV_I420), np.uint8)
        frame = av.VideoFrame.from_ndarray(planes, format="yuv420p")
        frame.pts, frame.time_base = ticks, Fraction(1, _TICKS)
        if ticks >= self._next_key:
            frame.pict_type = av.video.frame.PictureType.I
            self._next_key = ticks + _KEY_TICKS
        self._container.mux(self._stream.encode(frame))
        self._waiting += 1
        self._keep()

    def _keep(self) -> None:
        """Pass what was muxed on to the file: nothing, or whole fragments, since half of one would spoil the video."""
        fragments = self._head + self._muxed.getvalue()
        if not fragments:
            return
        head_only = not self._head_size  # the first that comes, in which no picture is yet
        self._head_size = self._head_size or len(fragments)
        written = not self._room or self._room.enough(self._path)
        try:
            if written:
                append(self._file, fragments)
        except OSError as error:
            if not self._room:
                raise
            self._room.ran_out(self._path, error)
            written = False
        if self._room and written:
            self._room.back(self._path)
        elif self._room and not head_only:
            self._room.lost += self._waiting
        # Of what was left out only the head is still wanted.
        self._head = b"" if os.fstat(self._file.fileno()).st_size else self._head or fragments
        self._waiting = self._waiting if head_only else 0
        self._muxed.seek(0)
        self._muxed.truncate()

    def __enter__(self) -> Overlay:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


class _Timeline:
    """Video time of each frame: capture time, shifted where that changes its clock, steps back or leaps an hour."""

    def __init__(self, rate: float) -> None:
        self.rate = rate
        self._clock = ""
        self._start = 0.0
        self._last = -round(_TICKS / rate)

    def ticks(self, captured_at: float, clock: str) -> int:
        ticks = round((captured_at - self._start) * _TICKS)
        if clock != self._clock or not 0 < ticks - self._last < _LEAP_TICKS:
            ticks = self._last + round(_TICKS / self.rate)
            self._start = captured_at - ticks / _TICKS
            self._clock = clock
        self._last = ticks
        return ticks


def draw(rgb: np.ndarray, message: TracksMessage) -> np.ndarray:
    """A copy of `rgb`, uint8 [H,W,3], with the tracks of `message` drawn on it, whose px are those of the picture.

    Each id keeps its colour; left limbs are lighter than it, right limbs darker. A coasting track, whose place is
    predicted and not seen, has a dashed box and thin, greyish limbs; a tentative one thin limbs. At the bottom stand
    camera, frame, time, prompt and, where nothing is tracked, that nothing was found.
    """
    picture = rgb.copy()
    categories = {category.id: category for category in message.categories}
    for track in message.tracks:
        _draw_track(picture, track, categories[track.category])
    _draw_caption(picture, message)
    return picture


def caption(message: TracksMessage) -> str:
    """What stands at the bottom of a picture."""
    at = f"{message.captured_at:.3f} s"
    if message.clock != "file":  # Unix time
        with contextlib.suppress(ValueError, OverflowError, OSError):  # a camera may think that it is any year
            at = f"{datetime.fromtimestamp(message.captured_at, UTC).isoformat(' ', 'milliseconds')[:-6]} UTC"
    said = f"{message.camera}  frame {message.frame}  {at}  {message.prompt.name}"
    return said if message.tracks else f"{said}: nothing found"


def _draw_caption(picture: np.ndarray, message: TracksMessage) -> None:
    height, width = picture.shape[:2]
    text, scale = _ascii(caption(message)), max(0.3, min(height, width) / 1000)
    (w, h), below = cv2.getTextSize(text, _FONT, scale, 1)
    scale = max(scale * min(1.0, (width - 6) / w), 0.2)
    (w, h), below = cv2.getTextSize(text, _FONT, scale, 1)
    bar = picture[max(height - h - 2 * below, 0) :]
    bar[:] = bar * 0.35
    cv2.putText(picture, text, (3, height - below), _FONT, scale, (255, 255, 255), 1, cv2.LINE_AA)


def _ascii(text: str) -> str:
    """OpenCV has no other letters."""
    return text.encode("ascii", "replace").decode()


def _draw_track(picture: np.ndarray, track: TrackMessage, category: Category) -> None:
    coasting, sure = track.status == "coasting", track.status == "confirmed"
    width = max(1, round(min(picture.shape[:2]) / 240))
    colour = _colour(track.id, coasting)
    _draw_box(picture, track, category.name, colour, width)
    points = _pixels([point or (0.0, 0.0) for point in track.keypoints])
    seen = [point is not None for point in track.keypoints]
    limbs: dict[str, list[np.ndarray]] = {"left": [], "right": [], "": []}
    for edge, side in zip(category.edges, _sides(category), strict=True):
        if seen[edge[0]] and seen[edge[1]]:
            limbs[side].append(points[list(edge)])
    for side, lines in limbs.items():
        cv2.polylines(picture, lines, False, _shade(colour, side), width if sure else 1, cv2.LINE_AA, _SHIFT)
    for centre in points[seen].tolist():
        cv2.circle(picture, centre, (width + 1) << _SHIFT, colour, -1, cv2.LINE_AA, _SHIFT)


def _draw_box(picture: np.ndarray, track: TrackMessage, name: str, colour: Colour, width: int) -> None:
    height, breadth = picture.shape[:2]
    x0, y0, x1, y1 = np.clip(track.box, 0, (breadth, height, breadth, height)).tolist()
    corners = [(x0, y0), (x1, y0), (x1, y1), (x0, y1), (x0, y0)]
    lines = _dashes(corners) if track.status == "coasting" else [_pixels(corners)]
    cv2.polylines(picture, lines, False, colour, max(1, width // 2), cv2.LINE_AA, _SHIFT)
    text, scale = _ascii(f"{name} {track.id}  {track.score:.2f}"), 0.22 * (width + 0.2)
    (w, h), below = cv2.getTextSize(text, _FONT, scale, 1)
    left, base = round(x0), max(round(y0) - below, h + 1)
    cv2.rectangle(picture, (left, base - h - 1), (left + w, base + below), colour, -1)
    cv2.putText(picture, text, (left, base), _FONT, scale, (0, 0, 0), 1, cv2.LINE_AA)


def _dashes(corners: list[tuple[float, float]]) -> list[np.ndarray]:
    lines = []
    for start, end in zip(np.array(corners), np.array(corners[1:]), strict=False):
        count = max(1, round(float(np.abs(end - start).sum()) / (2 * _DASH)))
        steps = (np.arange(count)[:, None, None] + [[0.0], [0.5]]) / count
        lines += list(_pixels(start + (end - start) * steps))
    return lines


def _pixels(points: np.ndarray | list[tuple[float, float]]) -> np.ndarray:
    """cv2's fixed-point coordinates [...,2], in which (0, 0) is the centre of the first pixel and not its corner."""
    fixed = (np.asarray(points, float) - 0.5) * (1 << _SHIFT)
    return np.clip(fixed, -(2**19), 2**19).round().astype(np.int32)


def _fit(picture: np.ndarray, width: int, height: int) -> np.ndarray:
    """`picture` scaled to fit into width x height, centred on black."""
    if picture.shape[:2] == (height, width):
        return picture
    scale = min(width / picture.shape[1], height / picture.shape[0])
    w, h = max(1, round(picture.shape[1] * scale)), max(1, round(picture.shape[0] * scale))
    canvas = np.zeros((height, width, 3), np.uint8)
    top, left = (height - h) // 2, (width - w) // 2
    canvas[top : top + h, left : left + w] = cv2.resize(picture, (w, h), interpolation=cv2.INTER_AREA)
    return canvas


@cache
def _sides(category: Category) -> tuple[str, ...]:
    """For each edge "left" or "right" when its keypoints' names say so, else ""."""
    sides = [_side(name) for name in category.keypoints]
    both = [{sides[a], sides[b]} - {""} for a, b in category.edges]
    return tuple(pair.pop() if len(pair) == 1 else "" for pair in both)


def _side(name: str) -> str:
    words = set(re.split(r"[\W_]+", name.lower()))
    return next((side for side in ("left", "right") if words & {side, side[0]}), "")


def _colour(track_id: int, dim: bool) -> Colour:
    """Neighbouring ids get hues far apart (steps of the golden ratio)."""
    red, green, blue = colorsys.hsv_to_rgb(track_id * 0.618034 % 1.0, 0.3 if dim else 0.8, 0.7 if dim else 1.0)
    return 255 * red, 255 * green, 255 * blue


def _shade(colour: Colour, side: str) -> Colour:
    red, green, blue = ({"left": 0.5 * c + 127, "right": 0.6 * c}.get(side, c) for c in colour)
    return red, green, blue
