"""Tracks as Open Sound Control over UDP, for what plays, lights and moves puppets."""

from __future__ import annotations

import re
import socket
from types import TracebackType
from typing import Any

from pythonosc.osc_bundle_builder import OscBundleBuilder
from pythonosc.osc_message_builder import OscMessageBuilder

from xpose_stream.stream.sinks.messages import TracksMessage
from xpose_stream.stream.sinks.sink import HIGHEST_PORT, SinkError

_FORBIDDEN = re.compile(r"[\s#*,/?\[\]{}]+")


class Osc:
    """Sends to `endpoint` (HOST:PORT), in a bundle for each track whose time tag is the time of capture,

        /xpose/CAMERA/TRACK/KEYPOINT  x y score    px, px, 0 to 1 (0: not seen in this frame); only what is known
        /xpose/CAMERA/TRACK/end                    when a track is told no longer
        /xpose/CAMERA/frame  number tracks         once for each frame

    The time tag of a file's frame is the time at which it was decoded. What OSC does not allow in an address becomes _.
    Raises SinkError when there is no such host.
    """

    def __init__(self, endpoint: str) -> None:
        host, _, port = endpoint.rpartition(":")
        try:
            if not 0 < int(port) <= HIGHEST_PORT:
                raise ValueError
            family, kind, _, _, address = socket.getaddrinfo(host, int(port), type=socket.SOCK_DGRAM)[0]
        except (OSError, ValueError):
            raise SinkError(f"cannot send OSC to {endpoint}: write it like 127.0.0.1:9000") from None
        self._address: Any = address
        self._socket = socket.socket(family, kind)
        self._live: dict[str, set[int]] = {}

    def send(self, message: TracksMessage) -> None:
        """The bundles of one frame; a network that takes none loses them."""
        at: Any = taken_at(message)  # s; the library says int and takes a fraction
        root = f"/xpose/{_name(message.camera)}"
        names = {category.id: category.keypoints for category in message.categories}
        for track in message.tracks:
            bundle = OscBundleBuilder(at)
            scores = track.keypoint_scores or [None] * len(track.keypoints)
            for name, place, score in zip(names[track.category], track.keypoints, scores, strict=True):
                if place is not None:
                    _add(bundle, f"{root}/{track.id}/{_name(name)}", *place, score or 0.0)
            self._send(bundle)
        bundle, live = OscBundleBuilder(at), {track.id for track in message.tracks}
        for gone in sorted(self._live.get(message.camera, set()) - live):
            _add(bundle, f"{root}/{gone}/end")
        self._live[message.camera] = live
        _add(bundle, f"{root}/frame", message.frame, len(message.tracks))
        self._send(bundle)

    def _send(self, bundle: OscBundleBuilder) -> None:
        try:
            self._socket.sendto(bundle.build().dgram, self._address)
        except OSError:  # a cable that is out, a name that is gone: as any loss of UDP
            return

    def __enter__(self) -> Osc:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._socket.close()


def taken_at(message: TracksMessage) -> float:
    """Unix time at which the frame was taken; of a file, at which it was decoded."""
    return message.published_at - message.latency_ms / 1e3 if message.clock == "file" else message.captured_at


def _name(text: str) -> str:
    return _FORBIDDEN.sub("_", text).encode("ascii", "replace").decode().replace("?", "_") or "_"


def _add(bundle: OscBundleBuilder, address: str, *values: float) -> None:
    message = OscMessageBuilder(address)
    for value in values:
        message.add_arg(value)
    bundle.add_content(message.build())
