"""What a recording holds, found in one pass over it: its cameras, their times and tracks."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from xpose_stream.stream.recordings.recording import Recording, starts
from xpose_stream.stream.recordings.rows import Floats

_COLUMNS = ["camera", "sequence", "frame", "epoch", "clock", "captured_at", "published_at", "width", "height"]
_COLUMNS += ["track_id", "prompt", "prompt_version", "category_id"]
_SANE = 60.0  # s that a clock may be off this host's and still be believed to tell the time
_SNAP = 1e-3  # a rate this near to a usual one is that

Segment = tuple[int, str]  # epoch and clock, in which captured_at never goes back


@dataclass(slots=True)
class TrackSurvey:
    """A track: the place of its category in `Recording.categories`, rows, first and last frame and time (s)."""

    camera: str
    id: int
    category: int
    rows: int
    first_frame: int
    last_frame: int
    begin: float
    end: float


@dataclass(slots=True)
class CameraSurvey:
    """A camera. Times in s since the recording's first frame; `started_at` is that of the camera, Unix time.

    frames   in the recording; `empty` of them without a track.
    dropped  frames that were decoded and are not in it.
    rate     frames/s of the camera, dropped ones too; 0 when it cannot be told.
    gap      the longest time without a frame.
    offsets  captured_at less the time here, by epoch and clock.
    sizes    width, height in px.
    """

    name: str
    started_at: float
    first_frame: int = 0
    frames: int = 0
    empty: int = 0
    dropped: int = 0
    begin: float = 0.0
    end: float = 0.0
    gap: float = 0.0
    rate: float = 0.0
    sizes: list[tuple[int, int]] = field(default_factory=list)
    offsets: dict[Segment, float] = field(default_factory=dict)
    tracks: dict[int, TrackSurvey] = field(default_factory=dict)

    @property
    def epochs(self) -> int:
        """How many times its picture began anew, the first included."""
        return len({epoch for epoch, _ in self.offsets})

    @property
    def clocks(self) -> list[str]:
        """By which its frames were timed."""
        return list(dict.fromkeys(clock for _, clock in self.offsets))


@dataclass(frozen=True, slots=True)
class Survey:
    """The cameras of a recording, in the order of their first frames."""

    cameras: tuple[CameraSurvey, ...]

    @property
    def tracks(self) -> list[TrackSurvey]:
        """Of all cameras."""
        return [track for camera in self.cameras for track in camera.tracks.values()]

    def seconds(self, table: pa.Table) -> Floats:
        """[N] the time of each row, s since the recording's first frame; needs camera, epoch, clock, captured_at.

        Goes on where a clock is changed or set, or is not the time of day.
        """
        offsets = np.zeros(len(table))
        keys = table.select(["camera", "epoch", "clock"])
        known = {camera.name: camera.offsets for camera in self.cameras}
        for name, epoch, clock in (
            tuple(row.values()) for row in keys.group_by(keys.column_names).aggregate([]).to_pylist()
        ):
            same = pc.and_(pc.equal(keys["camera"], name), pc.equal(keys["epoch"], epoch))
            same = pc.and_(same, pc.equal(keys["clock"], clock))
            offsets[np.asarray(same, bool)] = known[name][epoch, clock]
        return np.round(table["captured_at"].to_numpy() - offsets, 6)


def survey(recording: Recording, step: Callable[[int], None] = lambda rows: None) -> Survey:
    """Look through all of it: every row once, and of each only what is of its frame. step: told how many are done."""
    cameras: dict[str, CameraSurvey] = {}
    steps: dict[str, _Steps] = {}
    for table in recording.blocks(_COLUMNS, rows=1 << 17):
        table = table.append_column("kind", pa.array(recording.category_of(table)))
        for name in table["camera"].unique().to_pylist():
            part = table.filter(pc.equal(table["camera"], name))
            heads = part.take(starts(part))
            if name not in cameras:
                cameras[name], steps[name] = CameraSurvey(name, _unix(heads)), _Steps()
            steps[name].add(cameras[name], heads, next(iter(cameras.values())).started_at)
            _meet(cameras[name], part)
        step(len(table))
    for name, camera in cameras.items():
        camera.rate = steps[name].rate
    return Survey(tuple(cameras.values()))


def _unix(heads: pa.Table) -> float:
    """When the first of these frames was taken, Unix time."""
    captured, published = (heads[name][0].as_py() for name in ("captured_at", "published_at"))
    return float(captured if abs(captured - published) < _SANE else published)


class _Steps:
    """From frame to frame of one camera."""

    def __init__(self) -> None:
        self._last: pa.Table | None = None
        self._frames = self._seconds = 0.0

    @property
    def rate(self) -> float:
        """See CameraSurvey."""
        if self._seconds <= 0:
            return 0.0
        measured = self._frames / self._seconds
        usual = min((round(measured), round(measured * 1.001) / 1.001), key=lambda each: abs(each - measured))
        return float(usual) if abs(usual - measured) < _SNAP * measured else float(f"{measured:.6g}")

    def add(self, camera: CameraSurvey, heads: pa.Table, origin: float) -> None:
        """Go on to the frames `heads`, a row of each."""
        camera.frames += len(heads)
        camera.sizes = list(dict.fromkeys(camera.sizes + _pairs(heads, "width", "height")))
        heads = heads if self._last is None else pa.concat_tables([self._last, heads])
        segments = _pairs(heads, "epoch", "clock")
        captured, published = heads["captured_at"].to_numpy(), heads["published_at"].to_numpy()
        times = np.zeros(len(heads))
        same = np.array([a == b for a, b in itertools.pairwise(segments)], bool)
        for start, end in itertools.pairwise([0, *(np.flatnonzero(~same) + 1).tolist(), len(heads)]):
            if segments[start] not in camera.offsets:
                unix = abs(captured[start] - published[start]) < _SANE
                late = 0.0 if segments[start][1] == "file" else camera.started_at - origin  # files begin together
                known = origin if unix else captured[start] - late
                if (
                    start and captured[start] - known <= times[start - 1]
                ):  # the clock is not the time of day, or was set
                    known = captured[start] - times[start - 1] - max(published[start] - published[start - 1], 1e-3)
                camera.offsets[segments[start]] = float(known)
            times[start:end] = captured[start:end] - camera.offsets[segments[start]]
        frames = np.diff(heads["frame"].to_numpy())
        camera.first_frame = camera.first_frame if self._last else heads["frame"][0].as_py()
        camera.dropped += int((frames - 1).clip(0).sum())
        camera.gap = max(camera.gap, float(np.diff(times).max(initial=0.0)))
        self._frames += float(frames[same].sum())
        self._seconds += float(np.diff(times)[same].sum())
        camera.begin, camera.end = (camera.begin if self._last else float(times[0])), float(times[-1])
        self._last = heads.slice(len(heads) - 1)


def _pairs(heads: pa.Table, *names: str) -> list[Any]:
    return list(zip(*(heads[name].to_pylist() for name in names), strict=True))


def _meet(camera: CameraSurvey, part: pa.Table) -> None:
    """Add the tracks of rows of one camera."""
    camera.empty += part["track_id"].null_count
    tracked = part.filter(part["track_id"].is_valid())
    seconds = Survey((camera,)).seconds(tracked)
    tracked = tracked.append_column("seconds", pa.array(seconds))
    wanted = [
        ("frame", "min"),
        ("frame", "max"),
        ("seconds", "min"),
        ("seconds", "max"),
        ("kind", "min"),
        ([], "count_all"),
    ]
    for row in tracked.group_by("track_id").aggregate(wanted).to_pylist():
        identity, rows = row["track_id"], row["count_all"]
        new = TrackSurvey(camera.name, identity, row["kind_min"], 0, row["frame_min"], 0, row["seconds_min"], 0.0)
        track = camera.tracks.setdefault(identity, new)
        track.rows += rows
        track.last_frame, track.end = row["frame_max"], row["seconds_max"]
