"""movement: netCDF with a file for each camera and category, dims time, space, keypoint, individual."""

from __future__ import annotations

import json
from contextlib import ExitStack
from typing import Any

import h5netcdf
import h5py
import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from xpose_stream import __version__
from xpose_stream.stream.recordings.export.disk import Lenient
from xpose_stream.stream.recordings.export.job import Job, file_name
from xpose_stream.stream.recordings.recording import starts
from xpose_stream.stream.recordings.rows import Floats, Integers, confidence_of, points_of
from xpose_stream.stream.recordings.smooth import by_track
from xpose_stream.stream.recordings.survey import CameraSurvey, TrackSurvey

_CHUNK = 1024  # frames; what is NaN altogether takes no room
_DIMS = ("time", "space", "keypoint", "individual")


def write(job: Job) -> None:
    """Write CAMERA_CATEGORY.nc. Confidence is 0 where a place is known but was not measured in that frame."""
    columns = ["camera", "sequence", "epoch", "clock", "captured_at", "track_id", "prompt", "prompt_version"]
    columns += ["category_id", "score", "keypoint_x", "keypoint_y", "keypoint_status", "keypoint_score"]
    done = dict.fromkeys((camera.name for camera in job.survey.cameras), 0)
    with ExitStack() as opened:  # also those after one that cannot be finished: HDF5 crashes on what is left open
        files = {camera.name: _files(job, camera, opened) for camera in job.survey.cameras}
        for table in job.recording.blocks(columns):
            for name in table["camera"].unique().to_pylist():
                part = table.filter(pc.equal(table["camera"], name))
                heads = starts(part)
                places = done[name] + np.searchsorted(heads, np.arange(len(part)), side="right") - 1
                seconds = job.survey.seconds(part)[heads]
                for each in files[name].values():
                    each.times(done[name], seconds)
                for kind, rows, mine in job.by_category(part):
                    files[name][kind].add(mine, places[rows])
                done[name] += len(heads)
            job.step(len(table))


def _files(job: Job, camera: CameraSurvey, opened: ExitStack) -> dict[int, _File]:
    tracks = list(camera.tracks.values())
    kinds = sorted({track.category for track in tracks})
    files = {kind: _File(job, camera, kind, [track for track in tracks if track.category == kind]) for kind in kinds}
    for each in files.values():
        opened.callback(each.close)
    return files


class _File:
    """The tracks of a category on a camera."""

    def __init__(self, job: Job, camera: CameraSurvey, kind: int, tracks: list[TrackSurvey]) -> None:
        names = job.recording.categories[kind].keypoints
        self._count, self._place = len(names), {track.id: place for place, track in enumerate(tracks)}
        category = job.category_names[kind]
        path = job.target / f"{file_name(camera.name)}_{file_name(category)}.nc"
        self._disk = Lenient(path)
        self._hdf5 = h5py.File(self._disk, "w", track_order=True)  # as netCDF demands
        self._file = file = h5netcdf.File(self._hdf5, "w")
        file.dimensions = dict(zip(_DIMS, (camera.frames, 2, len(names), len(tracks)), strict=True))
        texts = {"space": ["x", "y"], "keypoint": list(names), "individual": [f"{category}_{t.id}" for t in tracks]}
        for name, values in texts.items():
            file.create_variable(name, (name,), h5py.string_dtype(), data=np.array(values, object))
        file.create_variable("time", ("time",), float)
        chunk = min(_CHUNK, camera.frames)
        self._create("position", _DIMS, (chunk, 2, len(names), 1))
        self._create("confidence", ("time", "keypoint", "individual"), (chunk, len(names), 1))
        # Written by h5py: h5netcdf would look for each of them each time.
        self._times, self._position, self._confidence = (
            self._hdf5[each] for each in ("time", "position", "confidence")
        )
        told: dict[str, Any] = {"ds_type": "poses", "fps": camera.rate, "time_unit": "seconds", "camera": camera.name}
        told |= {"source_software": f"xpose-stream {__version__}", "source_file": job.recording.path.name}
        for name, value in (told | {"made": json.dumps(job.provenance, ensure_ascii=False)}).items():
            file.attrs[name] = value

    def _create(self, name: str, dims: tuple[str, ...], chunks: tuple[int, ...]) -> None:
        how = {"chunks": chunks, "fillvalue": np.float32(np.nan), "compression": "gzip", "compression_opts": 1}
        self._file.create_variable(name, dims, np.float32, **how)

    def times(self, start: int, seconds: Floats) -> None:
        """Of the frames from `start` on."""
        self._times[start : start + len(seconds)] = seconds

    def add(self, part: pa.Table, places: Integers) -> None:
        """Rows of the file's category, which are in the frames `places` of the camera."""
        points = points_of(part, "keypoint", self._count)
        scores = np.where(np.isnan(points[..., 0]), np.nan, confidence_of(part, self._count))
        for _, rows in by_track(part):
            individual = self._place[part["track_id"][int(rows[0])].as_py()]
            first, last = int(places[rows[0]]), int(places[rows[-1]])
            position = np.full((last + 1 - first, 2, self._count), np.nan, np.float32)
            confidence = np.full((last + 1 - first, self._count), np.nan, np.float32)
            position[places[rows] - first] = points[rows].transpose(0, 2, 1)
            confidence[places[rows] - first] = scores[rows]
            self._position[first : last + 1, :, :, individual] = position
            self._confidence[first : last + 1, :, individual] = confidence
        self._disk.check()

    def close(self) -> None:
        """Finish the file."""
        self._file.close()
        self._hdf5.close()
        self._disk.close()
