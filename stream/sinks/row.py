"""What a message is in the rows of a recording: one for each track, or one without a track."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from xpose_stream.stream.sinks.messages import TrackMessage, TracksMessage

_FRAME = ["camera", "frame", "sequence", "pts", "captured_at", "clock", "clock_uncertainty", "epoch"]
_FRAME += ["published_at", "latency_ms", "predicted_time", "width", "height", "image"]


def rows_of(message: TracksMessage) -> list[dict[str, Any]]:
    """By the names of the columns of docs/recordings.md."""
    frame = {name: getattr(message, name) for name in _FRAME}
    frame |= {"prompt": message.prompt.name, "prompt_version": message.prompt.version}
    names = {category.id: category.name for category in message.categories}
    return [frame | _track(track, names[track.category]) for track in message.tracks] or [frame]


def _track(track: TrackMessage, category: str) -> dict[str, Any]:
    row: dict[str, Any] = dict(zip(("box_x0", "box_y0", "box_x1", "box_y1"), track.box, strict=True))
    row |= {"track_id": track.id, "category": category, "category_id": track.category}
    row |= {"score": track.score, "status": track.status, "age": track.age, "keypoint_status": track.keypoint_status}
    row |= _split("keypoint", ("x", "y"), track.keypoints)
    row |= _split("velocity", ("x", "y"), track.velocities)
    row |= _split("covariance", ("xx", "xy", "yy"), track.covariances)
    row |= _split("measured", ("x", "y"), track.measured) | {"keypoint_score": track.keypoint_scores}
    if track.predicted is not None and track.predicted_covariances is not None:
        row |= _split("predicted", ("x", "y"), track.predicted)
        row |= _split("predicted_covariance", ("xx", "xy", "yy"), track.predicted_covariances)
    return row


def _split(name: str, axes: tuple[str, ...], values: Sequence[tuple[float, ...] | None]) -> dict[str, Any]:
    """One column per axis; a value that is None is None on every axis."""
    return {
        f"{name}_{axis}": [None if value is None else value[place] for value in values]
        for place, axis in enumerate(axes)
    }
