"""What a page may say: small JSON objects, each with its `do`. None of them names a file, an address or a command."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

MOST_BYTES = 128 << 10  # of one order; 8 examples of 68 keypoints are 20 kB

Name = Annotated[str, Meta(min_length=1, max_length=200)]
Index = Annotated[int, Meta(ge=0, lt=2**53)]
Id = Annotated[int, Meta(ge=0, lt=2**31)]
Point = tuple[float, float]
File = Annotated[str, Meta(min_length=1, max_length=255)]
Camera = Annotated[str, Meta(max_length=200)]


class _Order(msgspec.Struct, tag_field="do", tag=str.lower, forbid_unknown_fields=True, frozen=True):
    pass


class Arrived(_Order, frozen=True):
    """A frame has come; it is not decoded yet."""

    camera: Name
    frame: Index


class Watch(_Order, frozen=True):
    """Which cameras are shown, and how wide in px. None: nobody looks."""

    cameras: Annotated[dict[Name, Annotated[int, Meta(ge=1, le=8192)]], Meta(max_length=256)]


class Ping(_Order, frozen=True):
    """Asks for the server's time; `at` comes back."""

    at: float


class Ask(_Order, frozen=True):
    """Another prompt in words."""

    id: Id
    prompt: Annotated[str, Meta(max_length=1000)]


class Again(_Order, frozen=True):
    """A prompt that was in use before, by its version."""

    id: Id
    version: Index


class Freeze(_Order, frozen=True):
    """Hold a camera's frame by its number, and some around it; the frames of `keep` are held on, all others let go."""

    id: Id
    camera: Name
    frame: Index
    keep: Annotated[list[tuple[Name, Index]], Meta(max_length=8)] = []


class Picture(_Order, frozen=True):
    """The full picture of a frame that is held."""

    id: Id
    camera: Name
    frame: Index


class Thaw(_Order, frozen=True):
    """Let go of all that is held."""


class Marks(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """An example: px of the full picture of a frame that is held; None for a keypoint that is not given."""

    camera: Name
    frame: Index
    box: tuple[float, float, float, float]
    keypoints: Annotated[list[Point | None], Meta(min_length=1, max_length=256)]


class Clicked(msgspec.Struct, forbid_unknown_fields=True, frozen=True):
    """A prompt made by clicking. words: meant by its name too."""

    category: Annotated[str, Meta(min_length=1, max_length=60)]
    keypoints: Annotated[
        list[Annotated[str, Meta(min_length=1, max_length=60)]], Meta(min_length=1, max_length=256)
    ]
    edges: Annotated[list[tuple[Index, Index]], Meta(max_length=512)]
    examples: Annotated[list[Marks], Meta(min_length=1, max_length=8)]
    words: bool = False


class Try(_Order, frozen=True):
    """Say what a clicked prompt finds on the frames that are held; nothing changes."""

    id: Id
    prompt: Clicked


class Use(_Order, frozen=True):
    """Look for a clicked prompt from now on."""

    id: Id
    prompt: Clicked


class Save(_Order, frozen=True):
    """Write a clicked prompt into a file."""

    id: Id
    prompt: Clicked


class Record(_Order, frozen=True):
    """Begin to record all cameras; video: with their overlay."""

    id: Id
    video: bool = False


class Stop(_Order, frozen=True):
    """End what is being recorded."""

    id: Id


class Recordings(_Order, frozen=True):
    """Say which recordings there are."""

    id: Id


class Open(_Order, frozen=True):
    """Say what is in a recording of that list. camera: one of it; "": its first."""

    id: Id
    recording: File
    camera: Camera = ""


class Moment(_Order, frozen=True):
    """The frame of a recording that is nearest to `time` (s since its first), or `step` frames from it; px wide."""

    id: Id
    recording: File
    camera: Camera
    time: float
    step: Annotated[int, Meta(ge=-1000, le=1000)] = 0
    width: Annotated[int, Meta(ge=1, le=8192)] = 640


class Curve(_Order, frozen=True):
    """Where a keypoint of a track was between two times (s)."""

    id: Id
    recording: File
    camera: Camera
    track: Index
    keypoint: Annotated[int, Meta(ge=0, lt=1 << 16)]
    begin: float
    end: float


class Export(_Order, frozen=True):
    """Write a recording in another format."""

    id: Id
    recording: File
    format: Annotated[str, Meta(max_length=20)]
    metres_per_pixel: Annotated[float, Meta(ge=1e-9, le=1e9)] | None = None


Order = Arrived | Watch | Ping | Ask | Again | Freeze | Picture | Thaw | Try | Use | Save
Order |= Record | Stop | Recordings | Open | Moment | Curve | Export

_decoder = msgspec.json.Decoder(Order)


def read(text: str | bytes) -> Order:
    """The order in a message; raises ValueError with one sentence."""
    try:
        return _decoder.decode(text)
    except (msgspec.MsgspecError, UnicodeError, RecursionError) as error:
        raise ValueError(f"this is no order: {error}") from None
