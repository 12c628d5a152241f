"""Rerun: an .rrd file with an entity per track, the skeletons as annotation context, and a view of each camera."""

from __future__ import annotations

import json

import numpy as np
import pyarrow as pa
import rerun as rr
import rerun.blueprint as rrb

from xpose_stream.stream.recordings.export.disk import reserve
from xpose_stream.stream.recordings.export.finished import COLUMNS
from xpose_stream.stream.recordings.export.job import Job
from xpose_stream.stream.recordings.rows import points_of
from xpose_stream.stream.recordings.smooth import by_track
from xpose_stream.stream.recordings.survey import CameraSurvey

_MORE, _ROW, _POINT = 1 << 20, 128, 24  # bytes of the file, at most


def write(job: Job) -> None:
    """Write the file; its time line `time` counts from the recording's first frame."""
    cameras = {camera.name: camera for camera in job.survey.cameras}
    views = [_view(camera) for camera in cameras.values()]
    _need(job, 0)
    with rr.RecordingStream("xpose-stream", recording_id=job.recording.path.stem) as stream:
        stream.save(job.target, default_blueprint=rrb.Blueprint(rrb.Grid(*views), collapse_panels=True))
        stream.log("/", _context(job), static=True)
        made = json.dumps(job.provenance, indent=1, ensure_ascii=False)
        stream.log("made", rr.TextDocument(f"```\n{made}\n```", media_type="text/markdown"), static=True)
        for table in job.recording.blocks(COLUMNS):
            _need(job, len(table))
            for name, kind, part in job.by_camera(table):
                for _, rows in by_track(part):
                    _send(job, stream, cameras[name], kind, part.take(pa.array(rows)))
            stream.flush()
            job.step(len(table))
        _need(job, 16 * len(job.survey.tracks))
        for track in job.survey.tracks:
            camera = cameras[track.camera]
            stream.set_time("time", duration=track.end + 1 / (camera.rate or 1))
            stream.set_time("frame", sequence=track.last_frame + 1)
            stream.log(_entity(job, track.camera, track.category, track.id), rr.Clear(recursive=False))


def _need(job: Job, rows: int) -> None:
    """Raise OSError where so many rows have no room, since Rerun does not notice that or crashes."""
    widest = max((len(category.keypoints) for category in job.recording.categories), default=0)
    reserve(job.target.with_name(f".{job.target.name}"), _MORE + rows * (_ROW + widest * _POINT))


def _send(job: Job, stream: rr.RecordingStream, camera: CameraSurvey, kind: int, part: pa.Table) -> None:
    """The rows of a track; where it is missing in the next frame, a row of no points follows."""
    points = points_of(part, "keypoint", len(job.recording.categories[kind].keypoints))
    frames, seconds = part["frame"].to_numpy(), job.survey.seconds(part)
    gone = np.flatnonzero(np.diff(frames) > 1) + 1
    frames = np.insert(frames, gone, frames[gone - 1] + 1)
    seconds = np.insert(seconds, gone, seconds[gone - 1] + 1 / (camera.rate or 1))
    points = np.insert(points, gone, np.nan, axis=0)
    known = ~np.isnan(points[..., 0])
    places = np.nonzero(known)[1].astype(np.uint16)
    columns = rr.Points2D.columns(
        positions=points[known].astype(np.float32),
        keypoint_ids=places,
        class_ids=np.full(len(places), kind + 1, np.uint16),
    )
    stream.send_columns(
        _entity(job, camera.name, kind, part["track_id"][0].as_py()),
        indexes=[rr.TimeColumn("time", duration=seconds), rr.TimeColumn("frame", sequence=frames)],
        columns=columns.partition(known.sum(1)),
    )


def _entity(job: Job, camera: str, kind: int, identity: int) -> str:
    return f"{rr.escape_entity_path_part(camera)}/{rr.escape_entity_path_part(job.category_names[kind])}_{identity}"


def _view(camera: CameraSurvey) -> rrb.Spatial2DView:
    width, height = camera.sizes[-1]
    bounds = rrb.VisualBounds2D(x_range=[0, width], y_range=[0, height])
    origin = f"/{rr.escape_entity_path_part(camera.name)}"
    return rrb.Spatial2DView(origin=origin, name=camera.name, visual_bounds=bounds)


def _context(job: Job) -> rr.AnnotationContext:
    return rr.AnnotationContext(
        [
            rr.ClassDescription(
                info=rr.AnnotationInfo(id=place + 1, label=name),
                keypoint_annotations=[
                    rr.AnnotationInfo(id=number, label=label) for number, label in enumerate(category.keypoints)
                ],
                keypoint_connections=list(category.edges),
            )
            for place, (name, category) in enumerate(zip(job.category_names, job.recording.categories, strict=True))
        ]
    )
