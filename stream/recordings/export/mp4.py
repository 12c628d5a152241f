"""MP4: the tracks drawn on the video that was recorded, as `run --overlay` does."""

from __future__ import annotations

import msgspec

from xpose_stream.stream.recordings.export.job import ExportError, Job
from xpose_stream.stream.recordings.survey import CameraSurvey
from xpose_stream.stream.sinks.overlay import Overlay
from xpose_stream.stream.sources import Source, open_source
from xpose_stream.stream.sources.address import camera_name


def write(job: Job) -> None:
    """Draw each frame of the video; one that is not in the recording is left as it is, and counted."""
    if job.video is None:
        raise ExportError("mp4 is drawn on the video that the recording was made of: name it with --video")
    if not job.video.exists():
        raise ExportError(f"the video {job.video} does not exist")
    camera = _camera(job)
    lacking = 0
    with open_source(job.video) as source, Overlay(job.target, source.rate) as overlay:
        _check(job, camera, source)
        messages = job.recording.frames(camera.name)
        message = next(messages)
        for frame in source:
            while message.frame < frame.index and (later := next(messages, None)) is not None:
                message = later
                job.step(max(len(message.tracks), 1))
            here = message.frame == frame.index
            lacking += not here
            overlay.write(frame, message if here else msgspec.structs.replace(message, tracks=[]))
    if lacking:
        job.notes.append(f"{lacking} frames of the video are not in the recording and have nothing drawn on them")


def _camera(job: Job) -> CameraSurvey:
    """The one whose name is the video's, where there are several."""
    cameras = {camera.name: camera for camera in job.survey.cameras}
    if len(cameras) == 1:
        return next(iter(cameras.values()))
    name = camera_name(str(job.video))
    if name not in cameras:
        known = ", ".join(cameras) or "none"
        raise ExportError(f"the video {job.video} is of no camera of the recording; name it as one of them: {known}")
    return cameras[name]


def _check(job: Job, camera: CameraSurvey, source: Source) -> None:
    if (source.width, source.height) not in camera.sizes:
        sizes = ", ".join(f"{width}x{height}" for width, height in camera.sizes)
        raise ExportError(
            f"{job.video} is not what was recorded: its pictures are {source.width}x{source.height}, "
            f"those of the camera {camera.name} were {sizes}"
        )
