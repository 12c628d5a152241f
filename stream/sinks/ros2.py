"""Tracks as ROS 2 messages without ROS: our own, and vision_msgs' boxes for who only wants those."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Any

import foxglove
import numpy as np
from rosbags.typesys import Stores, get_types_from_msg, get_typestore
from rosbags.typesys.store import Typestore

from xpose_stream.stream.sinks.messages import TrackMessage, TracksMessage
from xpose_stream.stream.sinks.views import Keypoint, Track, view
from xpose_stream.stream.sources.frame import Frame
from xpose_stream.trackers import KeypointStatus, Status

DEFINITIONS = Path(__file__).parents[2] / "configs" / "ros2" / "xpose_msgs" / "msg"
_VISION = {
    "Point2D": "float64 x\nfloat64 y",
    "Pose2D": "vision_msgs/Point2D position\nfloat64 theta",
    "BoundingBox2D": "vision_msgs/Pose2D center\nfloat64 size_x\nfloat64 size_y",
    "ObjectHypothesis": "string class_id\nfloat64 score",
    "ObjectHypothesisWithPose": "vision_msgs/ObjectHypothesis hypothesis\ngeometry_msgs/PoseWithCovariance pose",
    "Detection2D": "std_msgs/Header header\nvision_msgs/ObjectHypothesisWithPose[] results\n"
    "vision_msgs/BoundingBox2D bbox\nstring id",
    "Detection2DArray": "std_msgs/Header header\nvision_msgs/Detection2D[] detections",
}
TRACKS, DETECTIONS = "xpose_msgs/msg/Tracks", "vision_msgs/msg/Detection2DArray"


@cache
def typestore() -> Typestore:
    """ROS 2's types (Jazzy), vision_msgs' and ours."""
    store = get_typestore(Stores.ROS2_JAZZY)
    types: dict[str, Any] = {}
    for name, text in _VISION.items():
        types |= get_types_from_msg(text, f"vision_msgs/msg/{name}")
    for path in sorted(DEFINITIONS.glob("*.msg")):
        types |= get_types_from_msg(path.read_text(), f"xpose_msgs/msg/{path.stem}")
    store.register(types)
    return store


class Ros2:
    """The channels of one camera in `context`: /CAMERA/tracks and /CAMERA/detections, in CDR."""

    def __init__(self, camera: str, context: foxglove.Context) -> None:
        topic = f"/{camera}"
        self._tracks = _channel(f"{topic}/tracks", TRACKS, context)
        self._detections = _channel(f"{topic}/detections", DETECTIONS, context)

    def log(self, frame: Frame | None, message: TracksMessage) -> None:
        """One frame, at the time of its capture."""
        at, store = round(message.captured_at * 1e9), typestore()
        self._tracks.log(bytes(store.serialize_cdr(tracks_of(message), TRACKS)), log_time=at)
        self._detections.log(bytes(store.serialize_cdr(boxes_of(message), DETECTIONS)), log_time=at)


def _channel(topic: str, name: str, context: foxglove.Context) -> foxglove.Channel:
    text, _ = typestore().generate_msgdef(name, ros_version=2)
    schema = foxglove.Schema(name=name, encoding="ros2msg", data=text.encode())
    return foxglove.Channel(topic, schema=schema, message_encoding="cdr", context=context)


def tracks_of(message: TracksMessage) -> Any:
    """An xpose_msgs/Tracks."""
    types, shown = typestore().types, view(message)
    same = ("sequence", "frame", "width", "height", "pts", "captured_at", "clock", "clock_uncertainty", "epoch")
    fields = {name: getattr(shown, name) for name in (*same, "published_at", "latency_ms")}
    return types[TRACKS](
        header=_header(message), **fields, prompt=message.prompt.name, prompt_version=message.prompt.version,
        tracks=[_track(track) for track in shown.tracks],
    )  # fmt: skip


def _track(track: Track) -> Any:
    fields = {name: getattr(track, name) for name in ("id", "category", "score", "age", "x0", "y0", "x1", "y1")}
    status, keypoints = int(Status[track.status.upper()]), [_keypoint(each) for each in track.keypoints]
    return typestore().types["xpose_msgs/msg/Track"](**fields, status=status, keypoints=keypoints)


def _keypoint(keypoint: Keypoint) -> Any:
    names = ("x", "y", "vx", "vy", "xx", "xy", "yy", "measured_x", "measured_y", "score")
    values = {name: getattr(keypoint, name) for name in names}
    known = {name: float("nan") if value is None else value for name, value in values.items()}
    status = int(KeypointStatus[keypoint.status.upper()])
    return typestore().types["xpose_msgs/msg/Keypoint"](name=keypoint.name, status=status, **known)


def boxes_of(message: TracksMessage) -> Any:
    """A vision_msgs/Detection2DArray."""
    names = {category.id: category.name for category in message.categories}
    found = [_box(track, names[track.category], message) for track in message.tracks]
    return typestore().types[DETECTIONS](header=_header(message), detections=found)


def _box(track: TrackMessage, category: str, message: TracksMessage) -> Any:
    types = typestore().types
    vision = {name: types[f"vision_msgs/msg/{name}"] for name in _VISION}
    geometry = {
        name: types[f"geometry_msgs/msg/{name}"] for name in ("Point", "Pose", "PoseWithCovariance", "Quaternion")
    }
    x0, y0, x1, y1 = track.box
    centre = vision["Pose2D"](position=vision["Point2D"](x=(x0 + x1) / 2, y=(y0 + y1) / 2), theta=0.0)
    nowhere = geometry["Pose"](
        position=geometry["Point"](x=0.0, y=0.0, z=0.0), orientation=geometry["Quaternion"](x=0.0, y=0.0, z=0.0, w=1.0)
    )
    guess = vision["ObjectHypothesisWithPose"](
        hypothesis=vision["ObjectHypothesis"](class_id=category, score=track.score),
        pose=geometry["PoseWithCovariance"](pose=nowhere, covariance=np.zeros(36)),
    )
    box = vision["BoundingBox2D"](center=centre, size_x=x1 - x0, size_y=y1 - y0)
    return vision["Detection2D"](header=_header(message), results=[guess], bbox=box, id=str(track.id))


def _header(message: TracksMessage) -> Any:
    types = typestore().types
    seconds, rest = divmod(round(message.captured_at * 1e9), 1_000_000_000)
    stamp = types["builtin_interfaces/msg/Time"](sec=seconds, nanosec=rest)
    return types["std_msgs/msg/Header"](stamp=stamp, frame_id=message.camera)
