"""The wire format: one self-contained message per processed frame of one camera. docs/messages.md is its contract."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

import msgspec
import numpy as np

from stream.clock import ClockName
from trackers import KeypointStatus, Status, Tracks

if TYPE_CHECKING:
    from stream.frame import Frame

VERSION = 1

TrackStatus = Literal["tentative", "confirmed", "coasting"]
KeypointState = Literal["never_seen", "predicted", "rejected", "measured"]
_STATUS: dict[int, TrackStatus] = {
    Status.TENTATIVE: "tentative",
    Status.CONFIRMED: "confirmed",
    Status.COASTING: "coasting",
}
_KEYPOINT_STATUS: dict[int, KeypointState] = {
    KeypointStatus.NEVER_SEEN: "never_seen",
    KeypointStatus.PREDICTED: "predicted",
    KeypointStatus.REJECTED: "rejected",
    KeypointStatus.MEASURED: "measured",
}

Pair = tuple[float, float]
Triple = tuple[float, float, float]


class MessageError(Exception):
    """Bytes that are no message of the version read here; the message is one sentence."""


class Prompt(msgspec.Struct, frozen=True):
    """The prompt that the model was given: its name, and a version that grows each time the prompt is changed."""

    name: str
    version: int


class Category(msgspec.Struct, frozen=True):
    """A kind of thing that is tracked: keypoint names in the order of a track's arrays, edges as pairs of indices."""

    id: int
    name: str
    keypoints: tuple[str, ...]
    edges: tuple[tuple[int, int], ...]


class TrackMessage(msgspec.Struct, frozen=True):
    """One track at `captured_at`. Arrays have one entry per keypoint of the category; None where nothing is known.

    box x0, y0, x1, y1 and keypoints x, y: px of the frame, from its top left corner, y down. velocities: px/s.
    covariances xx, xy, yy of the keypoint: px^2. measured: the model's keypoint of this frame, unfiltered, and
    keypoint_scores how likely it is visible there, 0..1 (the list is None in messages of earlier versions). age: s.
    predicted, predicted_covariances: keypoints and covariances at the message's `predicted_time`; None without one.
    """

    id: int
    category: int
    score: float
    status: TrackStatus
    age: float
    box: tuple[float, float, float, float]
    keypoints: list[Pair | None]
    keypoint_status: list[KeypointState]
    velocities: list[Pair | None]
    covariances: list[Triple | None]
    measured: list[Pair | None]
    predicted: list[Pair | None] | None = None
    predicted_covariances: list[Triple | None] | None = None
    keypoint_scores: list[float | None] | None = None


class TracksMessage(msgspec.Struct, frozen=True, kw_only=True):
    """All tracks of one frame. Times in seconds; latency_ms from the decoded frame to the making of this message.

    predicted_time: for which tracks are predicted, on the clock of captured_at; None when they are not.
    """

    version: int = VERSION
    camera: str
    sequence: int
    frame: int
    width: int
    height: int
    pts: float
    captured_at: float
    clock: ClockName
    clock_uncertainty: float
    epoch: int
    published_at: float
    latency_ms: float
    predicted_time: float | None = None
    prompt: Prompt
    categories: list[Category]
    tracks: list[TrackMessage]


class _Version(msgspec.Struct):
    version: int


_encoder = msgspec.msgpack.Encoder()
_decoder = msgspec.msgpack.Decoder(TracksMessage)
_version = msgspec.msgpack.Decoder(_Version)


def encode(message: TracksMessage) -> bytes:
    """The msgpack bytes of `message`."""
    return _encoder.encode(message)


def decode(payload: bytes) -> TracksMessage:
    """The message in `payload`; raises MessageError for another version or anything that is no such message."""
    try:
        version = _version.decode(payload).version
        if version == VERSION:
            return _decoder.decode(payload)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise MessageError(f"not a tracks message of {len(payload)} bytes: {error}") from None
    raise MessageError(f"the message has version {version}, but this program reads version {VERSION}")


def from_tracks(
    frame: Frame,
    tracks: Tracks,
    categories: Sequence[Category],
    *,
    prompt: Prompt,
    sequence: int,
    predicted: Tracks | None = None,
) -> TracksMessage:
    """The message for one frame: `tracks` at its capture time, px of this frame; no tracks make a message too.

    categories: one for each class id in `tracks`, whose keypoint arrays may be longer than the category's list of
    names and are cut to it. sequence: how many messages of this camera came before. predicted: the same tracks at a
    later time. Stamped with the time of the call.
    """
    lengths = {category.id: len(category.keypoints) for category in categories}
    return TracksMessage(
        camera=frame.camera,
        sequence=sequence,
        frame=frame.index,
        width=frame.width,
        height=frame.height,
        pts=frame.pts,
        captured_at=frame.captured_at,
        clock=frame.clock,
        clock_uncertainty=frame.uncertainty,
        epoch=frame.epoch,
        published_at=time.time(),
        latency_ms=(time.monotonic() - frame.arrived) * 1e3,
        predicted_time=None if predicted is None else frame.captured_at + predicted.time - tracks.time,
        prompt=prompt,
        categories=list(categories),
        tracks=[_track(tracks, predicted, row, lengths[int(tracks.class_ids[row])]) for row in range(len(tracks))],
    )


def _track(tracks: Tracks, predicted: Tracks | None, row: int, length: int) -> TrackMessage:
    status = tracks.keypoint_status[row, :length]
    seen = status != KeypointStatus.NEVER_SEEN  # the tracker's guess is not passed on as if it were known
    return TrackMessage(
        id=int(tracks.ids[row]),
        category=int(tracks.class_ids[row]),
        score=float(tracks.scores[row]),
        status=_STATUS[int(tracks.status[row])],
        age=float(tracks.ages[row]),
        box=tuple(tracks.boxes[row].tolist()),
        keypoints=_known(tracks.keypoints[row, :length], seen),
        keypoint_status=[_KEYPOINT_STATUS[value] for value in status.tolist()],
        velocities=_known(tracks.velocities[row, :length], seen),
        covariances=_covariances(tracks, row, seen),
        measured=_known(tracks.measurements[row, :length], seen),
        predicted=None if predicted is None else _known(predicted.keypoints[row, :length], seen),
        predicted_covariances=None if predicted is None else _covariances(predicted, row, seen),
        keypoint_scores=[each if np.isfinite(each) else None for each in tracks.keypoint_scores[row, :length].tolist()],
    )


def _covariances(tracks: Tracks, row: int, seen: np.ndarray) -> list[Any]:
    return _known(tracks.covariances[row, : len(seen)].reshape(len(seen), 4)[:, [0, 1, 3]], seen)


def _known(values: np.ndarray, seen: np.ndarray) -> list[Any]:
    """Rows of `values` [K,n] as tuples; None for one that is not `seen` [K] or not finite: NaN is no number to send."""
    known = (seen & np.isfinite(values).all(axis=1)).tolist()
    return [tuple(value) if good else None for value, good in zip(values.tolist(), known, strict=True)]
