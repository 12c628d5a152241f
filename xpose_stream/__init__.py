"""Real-time video to identity-stable, smoothed keypoints of anything you can name.

    import xpose_stream as xs
    for frame, tracks in xs.stream("rtsp://camera/stream", prompt="person"):
        print(frame.captured_at, tracks.ids, tracks["person"].keypoints)
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from xpose_stream.error import UserError as Error
    from xpose_stream.found import Found, Instances
    from xpose_stream.live import Stream, stream
    from xpose_stream.picture import Detector
    from xpose_stream.prompting import example
    from xpose_stream.recorded import read
    from xpose_stream.stream.recordings.recording import Recording

__version__ = "0.1.0"
__all__ = ["Detector", "Error", "Found", "Instances", "Recording", "Stream", "example", "read", "stream"]

# Where each is; imported when it is asked for, since torch takes seconds.
_HOME = {
    "Detector": "picture",
    "Found": "found",
    "Instances": "found",
    "Recording": "stream.recordings.recording",
    "Stream": "live",
    "example": "prompting",
    "read": "recorded",
}


def __getattr__(name: str) -> Any:
    if name == "stream":
        return import_module("xpose_stream.stream")  # the room itself, which can be called
    if name == "Error":
        return import_module("xpose_stream.error").UserError
    if name in _HOME:
        return getattr(import_module(f"xpose_stream.{_HOME[name]}"), name)
    raise AttributeError(f"module xpose_stream has no attribute {name}")
