"""Tracks as they were recorded, each when it has ended."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from xpose_stream.stream.recordings.export.job import Job
from xpose_stream.stream.recordings.rows import confidence_of, points_of
from xpose_stream.stream.recordings.smooth import by_track
from xpose_stream.stream.recordings.spool import Spool
from xpose_stream.stream.recordings.survey import CameraSurvey, TrackSurvey

COLUMNS = ["camera", "sequence", "epoch", "frame", "clock", "captured_at", "track_id", "prompt", "prompt_version"]
COLUMNS += ["category_id", "score", "keypoint_x", "keypoint_y", "keypoint_status", "keypoint_score"]


@dataclass(frozen=True, slots=True)
class Finished:
    """A track; `rows`, on disk while it is in use, of the fields seconds, keypoints [K, 2] px, scores [K]."""

    camera: CameraSurvey
    track: TrackSurvey
    rows: Spool


def finished(job: Job) -> Iterator[Finished]:
    """All tracks of a recording, in the order of their ends."""
    cameras = {camera.name: camera for camera in job.survey.cameras}
    waiting: dict[tuple[str, int], Spool] = {}
    for table in job.recording.blocks(COLUMNS):
        for name, kind, part in job.by_camera(table):
            count = len(job.recording.categories[kind].keypoints)
            for _, rows in by_track(part):
                track = cameras[name].tracks[part["track_id"][int(rows[0])].as_py()]
                key = (name, track.id)
                spool = waiting.get(key) or waiting.setdefault(key, Spool(job.target, _kind(count)))
                _add(job, spool, part.take(pa.array(rows)), count)
                if len(spool) == track.rows:
                    yield Finished(cameras[name], track, waiting.pop(key))
                    spool.remove()
        job.step(len(table))


def _kind(count: int) -> np.dtype[np.void]:
    return np.dtype([("seconds", "f8"), ("keypoints", "f4", (count, 2)), ("scores", "f4", (count,))])


def _add(job: Job, spool: Spool, part: pa.Table, count: int) -> None:
    spool.add(
        len(part),
        seconds=job.survey.seconds(part),
        keypoints=points_of(part, "keypoint", count),
        scores=confidence_of(part, count),
    )
