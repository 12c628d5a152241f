"""Frames, tracks and messages as the pipeline makes them, for the tests of the sinks."""

from __future__ import annotations

import time

import av
import numpy as np

from xpose_stream.stream.sinks.messages import Category, Prompt, TracksMessage, from_tracks
from xpose_stream.stream.sources.frame import Frame
from xpose_stream.trackers import KeypointStatus, Status, Tracks

NAMES = ("nose", "left_shoulder", "right_shoulder", "left_hip", "right_hip")
PERSON = Category(id=0, name="person", keypoints=NAMES, edges=((0, 1), (0, 2), (1, 2), (1, 3), (2, 4), (3, 4)))
BODY = np.array([[0, 0], [20, 30], [-20, 30], [15, 90], [-15, 90]], float)


def frame_of(index: int, width: int = 320, height: int = 240, rate: float = 30.0, camera: str = "hall") -> Frame:
    """Frame `index` of a file: a grey ramp."""
    picture = np.broadcast_to(np.linspace(0, 255, width, dtype=np.uint8)[None, :, None], (height, width, 3))
    video = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
    return Frame(camera, index, index / rate, index / rate, "file", time.monotonic(), video)


def tracks_of(index: int, people: int, keypoints: int = 5) -> Tracks:
    """`people` bodies, moving right by 1 px per frame; the arrays hold `keypoints` >= 5 keypoints, NaN beyond five."""
    spread = np.full((people, keypoints, 2), np.nan)
    spread[:, :5] = BODY + np.array([[60 + 90 * person + index, 60] for person in range(people)]).reshape(people, 1, 2)
    low, high = spread[:, :5].min(1), spread[:, :5].max(1)
    return Tracks(
        ids=np.arange(1, people + 1),
        class_ids=np.zeros(people, int),
        scores=np.full(people, 0.9),
        boxes=np.concatenate([low, high], axis=1).reshape(people, 4),
        keypoints=spread,
        velocities=np.full_like(spread, 30.0),
        covariances=np.broadcast_to(np.array([[4.0, 1.0], [1.0, 9.0]]), (people, keypoints, 2, 2)).copy(),
        measurements=spread + 0.5,
        keypoint_scores=np.where(np.isnan(spread[..., 0]), np.nan, 0.75),
        status=np.full(people, Status.CONFIRMED),
        keypoint_status=np.full((people, keypoints), KeypointStatus.MEASURED),
        ages=np.full(people, index / 30),
        time=index / 30,
    )


def message_of(index: int, people: int = 2, camera: str = "hall") -> TracksMessage:
    """The message of frame `index`."""
    frame = frame_of(index, camera=camera)
    return from_tracks(frame, tracks_of(index, people), [PERSON], prompt=Prompt("person", 1), sequence=index)
