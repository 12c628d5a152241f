"""A recording that is looked at: any of its moments, its tracks as lanes, and what keypoints did."""

from __future__ import annotations

import bisect
from functools import lru_cache
from pathlib import Path
from typing import Any

import av
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from xpose_stream.stream.page.film import Film
from xpose_stream.stream.recordings.recording import Recording, RecordingError, starts
from xpose_stream.stream.recordings.survey import CameraSurvey, survey
from xpose_stream.stream.sinks.messages import TracksMessage

MOST_LANES = 500
MOST_POINTS = 2000  # of a curve
_TIMED = ["camera", "sequence", "epoch", "clock", "captured_at"]
_CURVE = [*_TIMED, "track_id", "keypoint_x", "keypoint_y", "keypoint_score"]


class Played:
    """One camera of a recording, with its video where there is one. Times are s since the camera's first frame.

    Of the file 16 bytes a frame are kept, and a block of rows. Raises RecordingError.
    """

    def __init__(self, path: Path, camera: str = "") -> None:
        self.recording = Recording(path)
        self._survey = survey(self.recording)
        cameras = {one.name: one for one in self._survey.cameras}
        if not cameras:
            raise RecordingError(f"{path.name} is empty")
        self.camera: CameraSurvey = cameras.get(camera) or next(iter(cameras.values()))
        self._rows, self._seconds = self._index()
        self.film = Film.of(self.recording, self.camera.sizes)
        self._piece = lru_cache(1)(self.recording.piece)

    def close(self) -> None:
        """Give its files back."""
        if self.film:
            self.film.close()

    def told(self) -> dict[str, Any]:
        """What a page needs to know of it."""
        tracks = sorted(self.camera.tracks.values(), key=lambda track: track.rows, reverse=True)
        width, height = self.camera.sizes[-1]
        return {
            "recording": self.recording.path.name,
            "cameras": [one.name for one in self._survey.cameras],
            "camera": self.camera.name,
            "frames": len(self._rows),
            "dropped": self.camera.dropped,
            "seconds": float(self._seconds[-1]),
            "rate": self.camera.rate,
            "started_at": self.camera.started_at,
            "size": [width, height],
            "video": self.film.kind if self.film else "",
            "categories": self.recording.categories,
            "lanes": [
                [one.id, one.category, one.begin - self.camera.begin, one.end - self.camera.begin, one.rows]
                for one in tracks[:MOST_LANES]
            ],
            "more": max(len(tracks) - MOST_LANES, 0),
        }

    def moment(self, time: float, step: int) -> tuple[int, float, TracksMessage, av.VideoFrame | None]:
        """The frame nearest to a time, or so many frames on: its place, its time, its message and its picture."""
        at = int(np.searchsorted(self._seconds, time))
        if at and (at == len(self._seconds) or time - self._seconds[at - 1] < self._seconds[at] - time):
            at -= 1
        at = min(max(at + step, 0), len(self._rows) - 1)
        message, seconds = self._message(int(self._rows[at])), float(self._seconds[at])
        return at, seconds, message, self.film(message, seconds) if self.film else None

    def curve(self, track: int, keypoint: int, begin: float, end: float) -> dict[str, Any]:
        """Where a keypoint of a track was between two times, and its scores; every `every`th of its rows."""
        known = self.camera.tracks.get(track)
        if known is None:
            raise RecordingError(f"{self.recording.path.name} has no track {track} of {self.camera.name}")
        if keypoint >= len(self.recording.categories[known.category].keypoints):
            raise RecordingError(f"the track {track} has no keypoint {keypoint}")
        found = [self._part(table, track, keypoint) for table in self._between(begin, end)]
        columns = np.concatenate([np.empty((4, 0)), *found], 1)
        columns = columns[:, (columns[0] >= begin) & (columns[0] <= end)]
        every = -(-columns.shape[1] // MOST_POINTS) or 1
        names = ("seconds", "x", "y", "score")
        return {"every": every} | dict(zip(names, columns[:, ::every].round(4).tolist(), strict=True))

    def _part(self, table: pa.Table, track: int, keypoint: int) -> np.ndarray:
        """[4, N] seconds, x, y, score of the rows of a track."""
        rows = table.filter(pc.equal(table["track_id"], track))
        listed = [pc.list_element(rows[name], keypoint) for name in _CURVE[-3:] if len(rows)]
        values = [np.asarray(column.to_numpy(), float) for column in listed] or [np.empty(0)] * 3
        return np.stack([self._survey.seconds(rows) - self.camera.begin, *values])

    def _between(self, begin: float, end: float) -> Any:
        """Tables of all that lies between two times, and some more."""
        first, last = (int(np.searchsorted(self._seconds, time)) for time in (begin, end))
        rows = [int(self._rows[min(at, len(self._rows) - 1)]) for at in (first, last)]
        groups = [max(bisect.bisect_right(self.recording.group_rows, row) - 1, 0) for row in rows]
        return self.recording.blocks(_CURVE, self.camera.name, groups=range(groups[0], groups[1] + 1))

    def _index(self) -> tuple[np.ndarray, np.ndarray]:
        """Of each frame its first row and its time."""
        rows, seconds, before = [], [], 0
        for table in self.recording.blocks(_TIMED, rows=1 << 17):
            heads = starts(table)
            mine = heads[np.asarray(pc.equal(table["camera"], self.camera.name))[heads]]
            rows.append(mine + before)
            seconds.append(self._survey.seconds(table.take(pa.array(mine))) - self.camera.begin)
            before += len(table)
        return np.concatenate(rows), np.concatenate(seconds)

    def _message(self, row: int) -> TracksMessage:
        """The message whose first row this is."""
        table = self._from(row)
        if len(starts(table)) < 2 and row + len(table) < len(self.recording):  # it may go on
            table = pa.concat_tables([table, self._from(row + len(table))])
        ends = starts(table)
        return next(self.recording.messages(table.slice(0, int(ends[1]) if len(ends) > 1 else len(table))))

    def _from(self, row: int) -> pa.Table:
        """The rows from this one on, as far as they are at hand."""
        group = bisect.bisect_right(self.recording.group_rows, row) - 1
        number, inside = divmod(row - self.recording.group_rows[group], self.recording.block_rows)
        return self._piece(group, number).slice(inside)
