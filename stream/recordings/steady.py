"""Tracks at a fixed rate, for formats that know no other: where frames came at other times, by the smoother."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from xpose_stream.stream.recordings.recording import Block, Recording
from xpose_stream.stream.recordings.rows import Floats, Integers, boxes_of, confidence_of, listed, points_of, status_of
from xpose_stream.stream.recordings.smooth import by_track, tracker_of
from xpose_stream.stream.recordings.spool import Spool
from xpose_stream.stream.recordings.survey import CameraSurvey, Survey, TrackSurvey
from xpose_stream.trackers import KeypointStatus, TrackerConfig
from xpose_stream.trackers.smoothing import smooth

_EXACT = 1e-3  # s by which a frame may be off its tick
_NEAR = 2.5  # frame intervals between two rows of a track, beyond which it was away


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of a track at the ticks k / rate s after the recording's first frame, [F] of K keypoints.

    keypoints  [F, K, 2] px: as recorded where a frame was at its tick and the keypoint known, else smoothed; NaN for
               a keypoint that is never seen.
    deviations [F, K] px of a coordinate, as the tracker or the smoother tells it.
    scores     [F, K] of the keypoints, 0 where they were not measured.
    measured   [F, K] whether the keypoint was seen at that very tick.
    present    [F] whether the track was in a frame at that time, and not in a gap that was filled.
    exact      whether all its frames were at their ticks.
    """

    track: TrackSurvey
    ticks: Integers
    keypoints: Floats
    deviations: Floats
    scores: Floats
    measured: NDArray[np.bool_]
    present: NDArray[np.bool_]
    exact: bool


@dataclass(frozen=True, slots=True)
class Stretch:
    """Ticks of a camera, `first` to `last`, with the pieces of its tracks then."""

    camera: CameraSurvey
    first: int
    last: int
    pieces: list[Piece]


def steady(recording: Recording, told: Survey) -> Iterator[tuple[int, list[Stretch]]]:
    """Go through a recording: so many rows done, and what they were of."""
    config = tracker_of(recording)
    done = {camera.name: ticks_of(camera)[0] for camera in told.cameras}
    for block in recording.around():
        seconds = told.seconds(block.table)
        cameras = block.table["camera"].combine_chunks().dictionary_encode()
        codes: Integers = np.asarray(cameras.indices)
        tracks = by_track(block.table, codes)
        stretches = []
        for camera in told.cameras:
            own = seconds[block.start : block.end][_is(cameras, codes, camera.name)[block.start : block.end]]
            if not len(own):
                continue
            first, last = done[camera.name], int(np.floor((own.max() + _EXACT) * rate_of(camera)))
            done[camera.name] = last + 1
            mine = [rows for code, rows in tracks if cameras.dictionary[code].as_py() == camera.name]
            pieces = [_piece(recording, block, rows, seconds[rows], camera, (first, last), config) for rows in mine]
            stretches.append(Stretch(camera, first, last, [piece for piece in pieces if piece]))
        yield block.end - block.start, stretches


def rate_of(camera: CameraSurvey) -> float:
    """Frames/s; 1 for a camera of a single frame."""
    return camera.rate or 1.0


def ticks_of(camera: CameraSurvey) -> tuple[int, int]:
    """The first tick of a camera and the last."""
    rate = rate_of(camera)
    return int(np.ceil((camera.begin - _EXACT) * rate)), int(np.floor((camera.end + _EXACT) * rate))


def _is(cameras: pa.DictionaryArray, codes: Integers, name: str) -> NDArray[np.bool_]:
    names = cameras.dictionary.to_pylist()
    return np.asarray(codes == names.index(name)) if name in names else np.zeros(len(codes), bool)


def _piece(
    recording: Recording, block: Block, rows: Integers, times: Floats, camera: CameraSurvey, span: tuple[int, int],
    config: TrackerConfig,
) -> Piece | None:  # fmt: skip
    """The part of a track, of which `rows` are known, that lies in the ticks of `span`."""
    keep = np.diff(times, prepend=-np.inf) > 0  # a camera's clock may have been set
    rows, times = rows[keep], times[keep]
    rate = rate_of(camera)
    first = max(span[0], int(np.ceil((times[0] - _EXACT) * rate)))
    last = min(span[1], int(np.floor((times[-1] + _EXACT) * rate)))
    if first > last:
        return None
    track = camera.tracks[block.table["track_id"][int(rows[0])].as_py()]
    part = block.table.take(pa.array(rows))
    ticks, nearest = np.arange(first, last + 1), np.rint(times * rate).astype(np.int64)
    exact = bool((np.abs(times - nearest / rate) <= _EXACT).all() and (np.diff(nearest) > 0).all())
    count = len(recording.categories[track.category].keypoints)
    seen = status_of(part, count) == KeypointStatus.MEASURED
    scores = confidence_of(part, count)
    if exact:
        at = np.searchsorted(nearest, ticks).clip(0, len(nearest) - 1)
        hit = nearest[at] == ticks
        places, deviations = _completed(part, times, ticks / rate, at, hit, count, config)
        return Piece(track, ticks, places, deviations, scores[at] * hit[:, None], seen[at] & hit[:, None], hit, exact)
    places, deviations = _smoothed(part, times, ticks / rate, count, config)
    before = np.searchsorted(times, ticks / rate, side="right").clip(1) - 1
    near = times[(before + 1).clip(max=len(times) - 1)] - times[before] <= _NEAR / rate
    between = np.stack([np.interp(ticks / rate, times, column) for column in scores.T], 1)
    unseen = np.zeros(between.shape, bool)
    return Piece(track, ticks, places, deviations, between * near[:, None], unseen, near, exact)


def _completed(
    part: pa.Table, times: Floats, wanted: Floats, at: Integers, hit: NDArray[np.bool_], count: int, to: TrackerConfig
) -> tuple[Floats, Floats]:
    """As `_smoothed`, but as recorded in the row `at` each time if that is a `hit`, where the keypoint is known."""
    places = points_of(part, "keypoint", count)[at]
    deviations = np.sqrt((listed(part, "covariance_xx", count) + listed(part, "covariance_yy", count)) / 2)[at]
    lacking = np.isnan(places[..., 0]) | ~hit[:, None]
    if (lacking & ~lacking.all(0)).any():
        smoothed, theirs = _smoothed(part, times, wanted, count, to)
        places = np.where(lacking[..., None], smoothed, places)
        deviations = np.where(lacking, theirs, deviations)
    return places, deviations


def _smoothed(part: pa.Table, times: Floats, ticks: Floats, count: int, config: TrackerConfig) -> tuple[Floats, Floats]:
    """Keypoints [F, K, 2] and their deviations [F, K] px at the times `ticks`."""
    every, here = np.unique(np.round(np.concatenate([times, ticks]), 6), return_inverse=True)
    boxes, filtered = boxes_of(part), points_of(part, "keypoint", count)
    measured = np.full((len(every), count, 2), np.nan)
    measured[here[: len(times)]] = points_of(part, "measured", count)
    centres = np.nanmean(np.concatenate([filtered, boxes.reshape(-1, 2, 2)], 1), 1)
    sizes = np.maximum(boxes[:, 2] - boxes[:, 0], boxes[:, 3] - boxes[:, 1])
    way = np.stack([np.interp(every, times, axis) for axis in centres.T], 1)
    result = smooth(every, measured, np.interp(every, times, sizes), way, config)
    wanted = here[len(times) :]
    return result.keypoints[wanted], np.sqrt(result.variances[wanted])


@dataclass(frozen=True, slots=True)
class Whole:
    """A whole track from its first tick on: `rows` of the fields of Piece, float32, on disk while it is in use.

    exact  whether all its frames were at their ticks; `gaps`: whether some of these ticks were in none.
    """

    track: TrackSurvey
    camera: CameraSurvey
    first: int
    rows: Spool
    exact: bool
    gaps: bool


def whole(recording: Recording, told: Survey, folder: Path, step: Callable[[int], None]) -> Iterator[Whole]:
    """Each track of a recording when it has ended; what is there of it before waits in `folder`."""
    cameras = {camera.name: camera for camera in told.cameras}
    waiting: dict[tuple[str, int], _Waiting] = {}
    for rows, stretches in steady(recording, told):
        for piece in (piece for stretch in stretches for piece in stretch.pieces):
            key = (piece.track.camera, piece.track.id)
            waiting.setdefault(key, _Waiting(piece, folder)).add(piece)
            if piece.ticks[-1] >= np.floor((piece.track.end + _EXACT) * rate_of(cameras[key[0]])):
                yield from waiting.pop(key).whole(cameras[key[0]])
        step(rows)
    for key in list(waiting):
        yield from waiting.pop(key).whole(cameras[key[0]])


class _Waiting:
    """The pieces of a track so far."""

    def __init__(self, piece: Piece, folder: Path) -> None:
        self._track, self._first = piece.track, int(piece.ticks[0])
        count = piece.keypoints.shape[1]
        fields = [("keypoints", "f4", (count, 2)), ("deviations", "f4", (count,)), ("scores", "f4", (count,))]
        self._spool = Spool(folder, np.dtype([*fields, ("measured", "?", (count,)), ("present", "?")]))
        self._exact, self._gaps = True, False

    def add(self, piece: Piece) -> None:
        fields = {name: getattr(piece, name) for name in self._spool.kind.names or ()}
        more = int(piece.ticks[-1]) + 1 - self._first - len(self._spool)
        self._spool.add(more, **fields)
        self._exact &= piece.exact
        self._gaps |= more > len(piece.ticks) or not piece.present.all()

    def whole(self, camera: CameraSurvey) -> Iterator[Whole]:
        yield Whole(self._track, camera, self._first, self._spool, self._exact, self._gaps)
        self._spool.remove()
