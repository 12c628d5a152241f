"""What Foxglove and Lichtblick show of a camera: tracks that can be plotted, skeletons to draw on the video, the video.

Their readers of JSON take neither lists in lists nor null: here a keypoint is an object, and what is not known is left
out.
"""

from __future__ import annotations

import colorsys
import json
from typing import Any, get_args, get_origin, get_type_hints

import av
import foxglove
import msgspec
from av.video.codeccontext import VideoCodecContext
from foxglove import messages as shown
from foxglove.channels import CompressedVideoChannel, ImageAnnotationsChannel

from xpose_stream.stream.sinks.messages import Category, Prompt, TrackMessage, TracksMessage
from xpose_stream.stream.sources.frame import Frame

_POINTS, _LINES, _LOOP = (getattr(shown.PointsAnnotationType, name) for name in ("Points", "LineList", "LineLoop"))


class Keypoint(msgspec.Struct, omit_defaults=True):
    """A keypoint of a track, px and px/s; fields as of a TrackMessage."""

    name: str
    status: str
    x: float | None = None
    y: float | None = None
    vx: float | None = None
    vy: float | None = None
    xx: float | None = None
    xy: float | None = None
    yy: float | None = None
    measured_x: float | None = None
    measured_y: float | None = None
    score: float | None = None
    predicted_x: float | None = None
    predicted_y: float | None = None


class Track(msgspec.Struct, omit_defaults=True):
    """A track; the box in px."""

    id: int
    category: str
    score: float
    status: str
    age: float
    x0: float
    y0: float
    x1: float
    y1: float
    keypoints: list[Keypoint]


class View(msgspec.Struct, omit_defaults=True):
    """A TracksMessage."""

    camera: str
    sequence: int
    frame: int
    width: int
    height: int
    pts: float
    captured_at: float
    clock: str
    clock_uncertainty: float
    epoch: int
    published_at: float
    latency_ms: float
    prompt: Prompt
    tracks: list[Track]
    predicted_time: float | None = None


class Views:
    """The channels of one camera in `context`: /CAMERA/tracks, /CAMERA/annotations and, with `video`, /CAMERA/video."""

    def __init__(self, camera: str, context: foxglove.Context, video: bool = False) -> None:
        schema = foxglove.Schema(name="xpose.Tracks", encoding="jsonschema", data=json.dumps(schema_of(View)).encode())
        topic = f"/{camera}"
        self._tracks = foxglove.Channel(f"{topic}/tracks", schema=schema, message_encoding="json", context=context)
        self._annotations = ImageAnnotationsChannel(f"{topic}/annotations", context=context)
        self._video = CompressedVideoChannel(f"{topic}/video", context=context) if video else None
        self._encode = AnnexB()

    def log(self, frame: Frame | None, message: TracksMessage) -> None:
        """One frame, at the time of its capture."""
        at = round(message.captured_at * 1e9)
        self._tracks.log(msgspec.json.encode(view(message)), log_time=at)
        self._annotations.log(drawn(message), log_time=at)
        if self._video and frame:
            picture = self._encode(frame.picture, message.captured_at)
            self._video.log(
                shown.CompressedVideo(timestamp=_time(at), frame_id=message.camera, data=picture, format="h264"),
                log_time=at,
            )


class AnnexB:
    """H.264 as Foxglove wants it: Annex B, no B-frames, a key frame with its headers each second."""

    def __init__(self) -> None:
        self._encoder: VideoCodecContext | None = None
        self._key = 0.0

    def __call__(self, picture: av.VideoFrame, seconds: float) -> bytes:
        """The one access unit of a picture, in even numbers of px."""
        width, height = picture.width // 2 * 2, picture.height // 2 * 2
        encoder = self._encoder
        if encoder is None or (encoder.width, encoder.height) != (width, height):
            encoder = self._encoder = _encoder(width, height)
            self._key = float("-inf")
        plain = picture.reformat(width, height, "yuv420p")
        plain.pts = None
        plain.pict_type = av.video.frame.PictureType.NONE
        if not 0 <= seconds - self._key < 1:
            plain.pict_type, self._key = av.video.frame.PictureType.I, seconds
        return b"".join(bytes(packet) for packet in encoder.encode(plain))


def _encoder(width: int, height: int) -> VideoCodecContext:
    encoder = av.CodecContext.create("libx264", "w")
    assert isinstance(encoder, VideoCodecContext)
    encoder.width, encoder.height, encoder.pix_fmt = width, height, "yuv420p"
    encoder.framerate, encoder.gop_size, encoder.thread_count = 30, 10_000, 1  # type: ignore[assignment]
    encoder.options = {
        "preset": "ultrafast", "tune": "zerolatency", "crf": "23", "bf": "0", "forced-idr": "1",
        "x264-params": "annexb=1:repeat-headers=1",
    }  # fmt: skip
    return encoder


def view(message: TracksMessage) -> View:
    """The message with a name to every keypoint."""
    categories = {category.id: category for category in message.categories}
    fields = {name: getattr(message, name) for name in View.__struct_fields__ if name != "tracks"}
    return View(tracks=[_track(track, categories[track.category]) for track in message.tracks], **fields)


def _track(track: TrackMessage, category: Category) -> Track:
    nothing = [None] * len(category.keypoints)
    columns = zip(
        category.keypoints, track.keypoint_status, track.keypoints, track.velocities, track.covariances, track.measured,
        track.keypoint_scores or nothing, track.predicted or nothing, strict=True,
    )  # fmt: skip
    pair, triple = (None, None), (None, None, None)
    keypoints = []
    for name, status, place, velocity, covariance, measured, score, predicted in columns:
        numbers: list[Any] = [*(place or pair), *(velocity or pair), *(covariance or triple), *(measured or pair)]
        numbers += [score, *(predicted or pair)]
        keypoints.append(Keypoint(name, status, *numbers))
    return Track(track.id, category.name, track.score, track.status, track.age, *track.box, keypoints)


def schema_of(kind: type[msgspec.Struct]) -> dict[str, Any]:
    """JSON Schema without references, unions and tuples."""
    return {"type": "object", "properties": {name: _kind(hint) for name, hint in get_type_hints(kind).items()}}


def _kind(hint: Any) -> dict[str, Any]:
    if get_origin(hint) is list:
        return {"type": "array", "items": _kind(get_args(hint)[0])}
    if isinstance(hint, type) and issubclass(hint, msgspec.Struct):
        return schema_of(hint)
    return {"type": {str: "string", int: "integer"}.get(hint, "number")}


def drawn(message: TracksMessage) -> shown.ImageAnnotations:
    """Skeletons, boxes and labels; the hue is the category's, the shade the track's. px from the outer corner."""
    points: list[shown.PointsAnnotation] = []
    texts: list[shown.TextAnnotation] = []
    at = _time(round(message.captured_at * 1e9))
    categories = {category.id: (place, category) for place, category in enumerate(message.categories)}
    for track in message.tracks:
        place, category = categories[track.category]
        colour = colour_of(place, len(categories), track)
        about = {"id": str(track.id), "category": category.name, "status": track.status, "score": f"{track.score:.3f}"}
        told = [shown.KeyValuePair(key=key, value=value) for key, value in about.items()]
        x0, y0, x1, y1 = track.box
        corners = [(x0, y0), (x1, y0), (x1, y1), (x0, y1)]
        seen = [point for point in track.keypoints if point is not None]
        limbs = [(track.keypoints[a], track.keypoints[b]) for a, b in category.edges]
        lines = [end for limb in limbs if None not in limb for end in limb if end is not None]
        for kind, places, thickness in ((_LOOP, corners, 1.0), (_LINES, lines, 2.0), (_POINTS, seen, 6.0)):
            if places:
                points.append(
                    shown.PointsAnnotation(
                        timestamp=at, type=kind, points=[shown.Point2(x=x, y=y) for x, y in places],
                        outline_color=colour, outline_colors=[colour] * len(places) if kind == _POINTS else [],
                        thickness=thickness, metadata=told,
                    )
                )  # fmt: skip
        label = f"{category.name} {track.id}  {track.score:.2f}"
        texts.append(
            shown.TextAnnotation(
                timestamp=at, position=shown.Point2(x=x0, y=y0), text=label, font_size=12.0, text_color=colour,
                background_color=shown.Color(r=0.0, g=0.0, b=0.0, a=0.5), metadata=told,
            )
        )  # fmt: skip
    frame = [shown.KeyValuePair(key="frame", value=str(message.frame))]
    return shown.ImageAnnotations(timestamp=at, points=points, texts=texts, metadata=frame)


def colour_of(place: int, categories: int, track: TrackMessage) -> shown.Color:
    """Paler while the track is not seen."""
    hue = (place / categories + 0.08 * (track.id * 0.618 % 1)) % 1
    r, g, b = colorsys.hsv_to_rgb(hue, 0.45 if track.status == "coasting" else 0.9, 1.0 - 0.3 * (track.id * 0.381 % 1))
    return shown.Color(r=r, g=g, b=b, a=1.0)


def _time(nanoseconds: int) -> shown.Timestamp:
    seconds, rest = divmod(nanoseconds, 1_000_000_000)
    return shown.Timestamp(sec=seconds, nsec=rest)
