"""A page that does not keep up gets fewer frames and never old ones."""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import msgpack
import numpy as np
from websockets.sync.client import ClientConnection, connect

from tests.stream.spot import write_spot_clip


def frame_of(page: ClientConnection, patience: float = 20) -> tuple[dict[str, Any], np.ndarray]:
    """Header and picture of the next frame; raises TimeoutError."""
    while not isinstance(data := page.recv(patience), bytes):
        pass
    (length,) = struct.unpack("<I", data[:4])
    picture = cv2.imdecode(np.frombuffer(data[4 + length :], np.uint8), cv2.IMREAD_COLOR)
    return msgpack.unpackb(data[4 : 4 + length]), np.asarray(picture)


def told_arrived(page: ClientConnection) -> int:
    """The next frame's number; that it arrived is answered."""
    message = frame_of(page)[0]["message"]
    page.send(json.dumps({"do": "arrived", "camera": message["camera"], "frame": message["frame"]}))
    return message["frame"]


def test_a_page_that_is_suspended_holds_two_frames_and_goes_on_with_the_newest(live: Callable, tmp_path: Path) -> None:
    clip = write_spot_clip(tmp_path / "spot.mp4", 120, size=(640, 480))
    with (
        live({"spot": str(clip)}, pause=1 / 60) as running,
        connect(f"ws://127.0.0.1:{running.server.port}/ws") as page,
    ):
        page.send(json.dumps({"do": "watch", "cameras": {"spot": 300}}))
        first = [frame_of(page) for _ in range(2)]
        running.rig.wait_for_more("spot", 60)
        for header, picture in first:
            assert header["kind"] == "frame" and picture.shape == (240, 320, 3), "as large as it is shown, about"
            message = header["message"]
            page.send(json.dumps({"do": "arrived", "camera": "spot", "frame": message["frame"]}))
        latest = running.rig.seen["spot"][-1].message.frame
        header, _ = frame_of(page)
        assert header["message"]["frame"] >= latest - 1 > first[-1][0]["message"]["frame"] + 50, "none of those between"


def test_what_is_not_shown_is_not_sent(live: Callable, tmp_path: Path) -> None:
    clip = write_spot_clip(tmp_path / "spot.mp4", 60, size=(160, 120))
    sources = {"door": str(clip), "yard": str(clip)}
    with live(sources, pause=1 / 60) as running, connect(f"ws://127.0.0.1:{running.server.port}/ws") as page:
        page.send(json.dumps({"do": "watch", "cameras": {"yard": 160, "nowhere": 160}}))
        for _ in range(20):
            message = frame_of(page)[0]["message"]
            assert message["camera"] == "yard"
            page.send(json.dumps({"do": "arrived", "camera": "yard", "frame": message["frame"]}))


def test_a_stream_that_does_not_keep_up_is_shown_less_often(live: Callable, tmp_path: Path) -> None:
    clip = write_spot_clip(tmp_path / "spot.mp4", 60, size=(160, 120), rate=30)
    with live({"spot": str(clip)}, realtime=True, pause=1 / 20) as running:  # one of two or three frames is dropped
        with connect(f"ws://127.0.0.1:{running.server.port}/ws") as page:
            page.send(json.dumps({"do": "watch", "cameras": {"spot": 160}}))
            while not running.server.hub.behind:
                told_arrived(page)
            first, *_, last = [told_arrived(page) for _ in range(12)]
        published = sum(first < one.message.frame <= last for one in running.rig.seen["spot"])
    assert published >= 2 * 11, "of two or more that were published one is shown"
