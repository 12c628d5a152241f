"""SLEAP: labels (.slp) for each camera and category, through sleap-io."""

from __future__ import annotations

import numpy as np
import sleap_io
from sleap_io import LabeledFrame, Labels, PredictedInstance

from xpose_stream.stream.recordings.export.disk import reserve
from xpose_stream.stream.recordings.export.finished import COLUMNS
from xpose_stream.stream.recordings.export.job import Job, file_name
from xpose_stream.stream.recordings.rows import confidence_of, points_of

_MOST = 10_000  # instances in a file, which sleap-io holds in memory
_HEADER, _INSTANCE, _POINT = 1 << 18, 256, 32  # bytes of the file, at most: HDF5 crashes where it cannot write


def write(job: Job) -> None:
    """Write CAMERA_CATEGORY.slp, or several parts of it: predicted instances of the frames in which there are any."""
    labels: dict[tuple[str, int], _Labels] = {}
    for table in job.recording.blocks(COLUMNS, rows=8192):
        for name, kind, part in job.by_camera(table):
            mine = labels.get((name, kind)) or labels.setdefault((name, kind), _Labels(job, name, kind))
            count = len(job.recording.categories[kind].keypoints)
            points, scores = points_of(part, "keypoint", count), confidence_of(part, count)
            identities, frames, sure = (part[each].to_pylist() for each in ("track_id", "frame", "score"))
            for row, frame in enumerate(frames):
                mine.add(frame, identities[row], points[row], scores[row], sure[row])
        job.step(len(table))
    for mine in labels.values():
        mine.write(last=True)
    if any(mine.parts > 1 for mine in labels.values()):
        job.notes.append(f"files of SLEAP hold {_MOST} instances at most here: there are several parts")


class _Labels:
    """What is not written yet of a camera and a category."""

    def __init__(self, job: Job, camera: str, kind: int) -> None:
        category = job.recording.categories[kind]
        self._job, self._name = job, f"{file_name(camera)}_{file_name(job.category_names[kind])}"
        edges = [(category.keypoints[a], category.keypoints[b]) for a, b in category.edges]
        self._skeleton = sleap_io.Skeleton(nodes=list(category.keypoints), edges=edges, name=category.name)
        video = str(job.video) if job.video else f"{file_name(camera)}.mp4"
        self._video = sleap_io.Video(filename=video, open_backend=False)
        self._category = job.category_names[kind]
        self._tracks: dict[int, sleap_io.Track] = {}
        self._frames: dict[int, list[PredictedInstance]] = {}
        self._count = self.parts = 0

    def add(self, frame: int, identity: int, points: np.ndarray, scores: np.ndarray, score: float) -> None:
        """Add an instance of K points [K, 2] px and scores [K]."""
        if self._count >= _MOST and frame not in self._frames:
            self.write()
        track = self._tracks.get(identity) or self._tracks.setdefault(
            identity, sleap_io.Track(f"{self._category}_{identity}")
        )
        instance = PredictedInstance.from_numpy(
            points, skeleton=self._skeleton, point_scores=scores, score=score, track=track, tracking_score=score
        )
        self._frames.setdefault(frame, []).append(instance)
        self._count += 1

    def write(self, last: bool = False) -> None:
        """Write a part, or all if it is the only one."""
        self.parts += 1
        frames = [LabeledFrame(video=self._video, frame_idx=at, instances=those) for at, those in self._frames.items()]
        made = Labels(frames, videos=[self._video], skeletons=[self._skeleton], provenance=self._job.provenance)
        part = "" if last and self.parts == 1 else f"_part{self.parts:04}"
        path = self._job.target / f"{self._name}{part}.slp"
        reserve(path, _HEADER + self._count * (_INSTANCE + len(self._skeleton.nodes) * _POINT))
        made.save(str(path), verbose=False)
        self._tracks, self._frames, self._count = {}, {}, 0
