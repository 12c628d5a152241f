"""NWB with ndx-pose: a file per track, as movement reads them, with the times as they were."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from pathlib import Path

import h5py
import numpy as np
from ndx_pose import PoseEstimation, PoseEstimationSeries, Skeleton, Skeletons
from pynwb import NWBHDF5IO, H5DataIO, NWBFile

from xpose_stream import __version__
from xpose_stream.stream.recordings.export.disk import Lenient
from xpose_stream.stream.recordings.export.finished import Finished, finished
from xpose_stream.stream.recordings.export.job import Job, file_name
from xpose_stream.stream.recordings.spool import Spool

_ROWS = 16_384  # written at a time
_ORIGIN = "(0, 0) is the outer corner of the top left pixel; x to the right, y down"
_CONFIDENCE = "how likely the keypoint is visible, given the track; 0 where its place is predicted and not measured"


def write(job: Job) -> None:
    """Write CAMERA/CATEGORY_TRACK.nwb; times count from the recording's first frame, its session_start_time."""
    for each in finished(job):
        folder = job.target / file_name(each.camera.name)
        folder.mkdir(exist_ok=True)
        name = f"{file_name(job.category_names[each.track.category])}_{each.track.id}"
        _write(job, each, folder / f"{name}.nwb", f"{job.category_names[each.track.category]}_{each.track.id}")


def _write(job: Job, each: Finished, path: Path, identifier: str) -> None:
    category = job.recording.categories[each.track.category]
    started = min(camera.started_at for camera in job.survey.cameras)
    file = NWBFile(
        session_description=f"{category.name} {each.track.id} of the camera {each.camera.name}",
        identifier=identifier,
        session_start_time=datetime.fromtimestamp(started, UTC),
        notes=json.dumps(job.provenance, ensure_ascii=False),
    )
    device = file.create_device(name=_named(each.camera.name), description="camera")
    nodes = [_named(name) for name in category.keypoints]
    skeleton = Skeleton(
        name=_named(category.name), nodes=nodes, edges=np.array(category.edges, np.uint8).reshape(-1, 2)
    )
    count, series = len(each.rows), list[PoseEstimationSeries]()
    for node in nodes:
        series.append(
            PoseEstimationSeries(
                name=node,
                data=H5DataIO(shape=(count, 2), dtype=np.float32),
                unit="pixels",
                reference_frame=_ORIGIN,
                timestamps=series[0] if series else H5DataIO(shape=(count,), dtype=np.float64),
                confidence=H5DataIO(shape=(count,), dtype=np.float32),
                confidence_definition=_CONFIDENCE,
            )
        )
    pose = PoseEstimation(
        name="PoseEstimation",
        pose_estimation_series=series,
        description="keypoints filtered by a Kalman tracker",
        device=device,
        scorer=", ".join(prompt.name for prompt in job.recording.prompts),
        source_software="xpose-stream",
        source_software_version=__version__,
        skeleton=skeleton,
    )
    behavior = file.create_processing_module(name="behavior", description="keypoints of one individual")
    behavior.add(Skeletons(skeletons=[skeleton]))
    behavior.add(pose)
    with Lenient(path) as disk, h5py.File(disk, "w") as hdf5, NWBHDF5IO(file=hdf5, mode="w") as io:
        io.write(file)
        _fill(hdf5["processing/behavior/PoseEstimation"], nodes, each.rows)


def _fill(pose: h5py.Group, nodes: list[str], rows: Spool) -> None:
    """Write what is not to be in memory at once."""
    for start, part in rows.parts(_ROWS):
        end = start + len(part)
        pose[nodes[0]]["timestamps"][start:end] = part["seconds"]
        for place, node in enumerate(nodes):
            pose[node]["data"][start:end] = part["keypoints"][:, place]
            pose[node]["confidence"][start:end] = part["scores"][:, place]


def _named(name: str) -> str:
    """A name as HDF5 can have it."""
    return re.sub(r"[/:]", "-", name)
