"""Tracks for Rerun's viewer."""

from __future__ import annotations

from types import TracebackType

import rerun as rr

from xpose_stream.stream.sinks.messages import Category, TrackMessage, TracksMessage
from xpose_stream.stream.sinks.sink import SinkError


class Rerun:
    """Sends to the viewer at `endpoint` (HOST:PORT), or wherever `stream` goes.

    CAMERA/tracks/ID holds keypoints with their names and limbs, CAMERA/tracks/ID/box the box; both are cleared when the
    track is told no longer. Times are `captured_at` and `frame`. Raises SinkError.
    """

    def __init__(self, endpoint: str | None = None, stream: rr.RecordingStream | None = None) -> None:
        self._stream = stream or rr.RecordingStream("xpose-stream")
        self._categories: dict[str, list[Category]] = {}
        self._live: dict[str, set[int]] = {}
        if endpoint is not None:
            try:
                self._stream.connect_grpc(f"rerun+http://{endpoint}/proxy")
            except (RuntimeError, ValueError):
                raise SinkError(f"cannot send to Rerun at {endpoint}: write it like 127.0.0.1:9876") from None

    def send(self, message: TracksMessage) -> None:
        """One frame."""
        stream, camera = self._stream, message.camera
        stream.set_time("frame", sequence=message.frame)
        if message.clock == "file":
            stream.set_time("captured_at", duration=message.captured_at)
        else:
            stream.set_time("captured_at", timestamp=message.captured_at)
        if self._categories.get(camera) != message.categories:
            self._categories[camera] = message.categories
            stream.log(camera, _context(message.categories), static=True)
        live = {track.id for track in message.tracks}
        for gone in self._live.get(camera, set()) - live:
            stream.log(f"{camera}/tracks/{gone}", rr.Clear(recursive=True))
        self._live[camera] = live
        names = {category.id: (place, category.name) for place, category in enumerate(message.categories)}
        for track in message.tracks:
            self._track(f"{camera}/tracks/{track.id}", track, *names[track.category])

    def _track(self, entity: str, track: TrackMessage, place: int, name: str) -> None:
        known = [(number, point) for number, point in enumerate(track.keypoints) if point is not None]
        numbers, points = [number for number, _ in known], [point for _, point in known]
        self._stream.log(entity, rr.Points2D(points, class_ids=place, keypoint_ids=numbers))
        label = f"{name} {track.id}  {track.score:.2f}"
        box = rr.Boxes2D(array=[track.box], array_format=rr.Box2DFormat.XYXY, class_ids=place, labels=label)
        self._stream.log(f"{entity}/box", box)

    def __enter__(self) -> Rerun:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stream.flush(timeout_sec=1.0)
        self._stream.disconnect()


def _context(categories: list[Category]) -> rr.AnnotationContext:
    return rr.AnnotationContext(
        [
            rr.ClassDescription(
                info=rr.AnnotationInfo(id=place, label=category.name),
                keypoint_annotations=list(enumerate(category.keypoints)),
                keypoint_connections=list(category.edges),
            )
            for place, category in enumerate(categories)
        ]
    )
