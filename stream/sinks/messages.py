"""The wire format: one self-contained message per processed frame of one camera. docs/messages.md is its contract."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Literal, get_type_hints

import msgspec
import numpy as np

from xpose_stream.error import UserError
from xpose_stream.stream.sources.clock import ClockName
from xpose_stream.trackers import KeypointStatus, Status, Tracks

if TYPE_CHECKING:
    from xpose_stream.stream.sources.frame import Frame

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


def _in(unit: str) -> msgspec.Meta:
    return msgspec.Meta(extra_json_schema={"unit": unit})


Seconds = Annotated[float, _in("s")]
Pixels = Annotated[int, _in("px")]
Places = Annotated[list[Pair | None], _in("px")]
Covariances = Annotated[list[Triple | None], _in("px^2")]


class MessageError(UserError):
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
    age: Seconds
    box: Annotated[tuple[float, float, float, float], _in("px")]
    keypoints: Places
    keypoint_status: list[KeypointState]
    velocities: Annotated[list[Pair | None], _in("px/s")]
    covariances: Covariances
    measured: Places
    predicted: Annotated[list[Pair | None] | None, _in("px")] = None
    predicted_covariances: Annotated[list[Triple | None] | None, _in("px^2")] = None
    keypoint_scores: list[float | None] | None = None


class TracksMessage(msgspec.Struct, frozen=True, kw_only=True):
    """All tracks of one frame. Times in seconds; latency_ms from the decoded frame to the making of this message.

    Numbers of tracks and latency_ms are exact in single precision, so that a recording holds what was sent.
    predicted_time: for which tracks are predicted, on the clock of captured_at; None when they are not.
    image: name of the file, of a folder of images; else None.
    """

    version: int = VERSION
    camera: str
    sequence: int
    frame: int
    width: Pixels
    height: Pixels
    pts: Seconds
    captured_at: Seconds
    clock: ClockName
    clock_uncertainty: Seconds
    epoch: int
    published_at: Seconds
    latency_ms: Annotated[float, _in("ms")]
    predicted_time: Annotated[float | None, _in("s")] = None
    image: str | None = None
    prompt: Prompt
    categories: list[Category]
    tracks: list[TrackMessage]


class _Version(msgspec.Struct):
    version: int


Format = Literal["msgpack", "json"]
_encoders: dict[str, Any] = {"msgpack": msgspec.msgpack.Encoder(), "json": msgspec.json.Encoder()}
_decoders: dict[str, Any] = {
    "msgpack": msgspec.msgpack.Decoder(TracksMessage),
    "json": msgspec.json.Decoder(TracksMessage),
}
_versions: dict[str, Any] = {"msgpack": msgspec.msgpack.Decoder(_Version), "json": msgspec.json.Decoder(_Version)}


def unit(kind: type[msgspec.Struct], field: str) -> str:
    """The unit of a field of a message, "" where it has none."""
    [*meta] = getattr(get_type_hints(kind, include_extras=True)[field], "__metadata__", [])
    return str(meta[0].extra_json_schema["unit"]) if meta else ""


def encode(message: TracksMessage, form: Format = "msgpack") -> bytes:
    """The bytes of `message`."""
    encoded: bytes = _encoders[form].encode(message)
    return encoded


def decode(payload: bytes) -> TracksMessage:
    """The message in `payload`, msgpack or JSON; raises MessageError for another version or what is no such message."""
    form = "json" if payload[:1] == b"{" else "msgpack"  # in msgpack that byte is a number, and a message is none
    try:
        version = _versions[form].decode(payload).version
        if version == VERSION:
            decoded: TracksMessage = _decoders[form].decode(payload)
            return decoded
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
    predicted_time: float | None = None,
) -> TracksMessage:
    """The message for one frame: `tracks` at its capture time, px of this frame; no tracks make a message too.

    categories: one for each class id in `tracks`, whose keypoint arrays may be longer than the category's list of
    names and are cut to it. sequence: how many messages of this camera came before. predicted: the same tracks at
    predicted_time, s on the frame's clock. Stamped with the time of the call.
    """
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
        latency_ms=_single((time.monotonic() - frame.arrived) * 1e3),
        predicted_time=predicted_time,
        image=frame.image,
        prompt=prompt,
        categories=list(categories),
        tracks=track_messages(tracks, predicted, categories),
    )


def track_messages(tracks: Tracks, predicted: Tracks | None, categories: Sequence[Category]) -> list[TrackMessage]:
    """What a message says of its tracks; arguments as of `from_tracks`."""
    lengths = {category.id: len(category.keypoints) for category in categories}
    return [_track(tracks, predicted, row, lengths[int(tracks.class_ids[row])]) for row in range(len(tracks))]


def _track(tracks: Tracks, predicted: Tracks | None, row: int, length: int) -> TrackMessage:
    status = tracks.keypoint_status[row, :length]
    seen = status != KeypointStatus.NEVER_SEEN  # the tracker's guess is not passed on as if it were known
    return TrackMessage(
        id=int(tracks.ids[row]),
        category=int(tracks.class_ids[row]),
        score=_single(tracks.scores[row]),
        status=_STATUS[int(tracks.status[row])],
        age=float(tracks.ages[row]),
        box=tuple(_singles(tracks.boxes[row])),
        keypoints=_known(tracks.keypoints[row, :length], seen),
        keypoint_status=[_KEYPOINT_STATUS[value] for value in status.tolist()],
        velocities=_known(tracks.velocities[row, :length], seen),
        covariances=_covariances(tracks, row, seen),
        measured=_known(tracks.measurements[row, :length], seen),
        predicted=None if predicted is None else _known(predicted.keypoints[row, :length], seen),
        predicted_covariances=None if predicted is None else _covariances(predicted, row, seen),
        keypoint_scores=[each if each == each else None for each in _singles(tracks.keypoint_scores[row, :length])],
    )


def _single(value: float) -> float:
    return float(np.float32(value))


def _singles(values: np.ndarray) -> list[Any]:
    singles: list[Any] = values.astype(np.float32).tolist()
    return singles


def _covariances(tracks: Tracks, row: int, seen: np.ndarray) -> list[Any]:
    return _known(tracks.covariances[row, : len(seen)].reshape(len(seen), 4)[:, [0, 1, 3]], seen)


def _known(values: np.ndarray, seen: np.ndarray) -> list[Any]:
    """Rows of `values` [K,n] as tuples; None for one that is not `seen` [K] or not finite: NaN is no number to send."""
    known = (seen & np.isfinite(values).all(axis=1)).tolist()
    return [tuple(value) if good else None for value, good in zip(_singles(values), known, strict=True)]
