"""A recording in which everything happens that a reader must stand: made by the recorder, from messages."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np

from tests.stream.scene import message_of
from xpose_stream.stream.sinks.messages import Category, Prompt, TrackMessage, TracksMessage
from xpose_stream.stream.sinks.recorder import Recorder
from xpose_stream.trackers import TrackerConfig

HALL, KITCHEN = "hall", "Küche 台所"
CUP = Category(id=1, name="Becher 杯", keypoints=("rim", "Henkel 取手"), edges=((0, 1),))
PROMPT = Prompt("person, Becher 杯", 2)
EMPTY, ENDS, HIDDEN, UNSEEN = range(10, 13), 30, range(20, 24), 4  # frames; the keypoint never seen of person 1001


def f32(values: tuple[float, ...]) -> tuple[float, ...]:
    return tuple(float(np.float32(value)) for value in values)


def person(message: TracksMessage, index: int) -> TrackMessage:
    """Person 1001, whose fifth keypoint is never seen and whose second is predicted in odd frames."""
    track = message.tracks[0]
    known = [place for place in range(5) if place != UNSEEN]
    lists = {
        name: [f32(value) if place in known else None for place, value in enumerate(getattr(track, name))]
        for name in ("keypoints", "velocities", "covariances", "measured")
    }
    status = ["measured" if place in known else "never_seen" for place in range(5)]
    scores = [0.75 if place in known else None for place in range(5)]
    if index % 2:
        lists["measured"][1], scores[1], status[1] = None, None, "predicted"
    return msgspec.structs.replace(
        track, id=1001, score=0.5, box=f32(track.box), keypoint_status=status, keypoint_scores=scores, **lists
    )


def cup(index: int) -> TrackMessage:
    """Cup 70000, which ends."""
    place = [(200.5 + index, 50.25), (210.0 + index, 60.0)]
    return TrackMessage(
        id=70000, category=1, score=0.25, status="confirmed", age=index / 30, box=(200.0, 50.0, 220.0, 70.0),
        keypoints=place, keypoint_status=["measured"] * 2, velocities=[(30.0, 0.0)] * 2,
        covariances=[(4.0, 0.0, 1.0)] * 2, measured=place, keypoint_scores=[0.5, 1.0],
    )  # fmt: skip


def messages(rate: float = 30.0, irregular: bool = False, count: int = 50) -> list[TracksMessage]:
    """Two cameras in turn. The hall's was lost at half time; its frames 13 and 14 were dropped."""
    shake = np.random.default_rng(0).uniform(-0.4, 0.4, count) if irregular else np.zeros(count)
    made = []
    for index in range(count):
        seconds = (index + float(shake[index])) / rate
        usual = message_of(index, people=1)
        tracks = [] if index in EMPTY or index in HIDDEN else [person(usual, index)]
        tracks += [cup(index)] if index < ENDS and index not in EMPTY else []
        late = index >= count // 2
        times = {"pts": seconds, "captured_at": 1.7e9 + seconds, "published_at": 1.7e9 + seconds + 0.02}
        whole = {"clock": "arrival", "clock_uncertainty": 0.02, "latency_ms": 8.0, "prompt": PROMPT}
        whole |= {"categories": [usual.categories[0], CUP]}
        if late:  # another epoch: media times begin anew, identities too
            times["pts"] -= count // 2 / rate
            tracks = [msgspec.structs.replace(track, id=track.id + 1) for track in tracks]
        if index not in (13, 14):
            sequence = index if index < 13 else index - 2
            made.append(
                msgspec.structs.replace(usual, sequence=sequence, epoch=int(late), tracks=tracks, **times, **whole)
            )
        made.append(
            msgspec.structs.replace(
                usual, camera=KITCHEN, tracks=[person(usual, index)] if index >= 5 else [], **times, **whole
            )
        )
    return made


def record(path: Path, made: list[TracksMessage]) -> Path:
    """The recording of these messages at `path`."""
    with Recorder(path, tracker=TrackerConfig()) as recorder:
        for message in made:
            recorder.write(message)
    return path
