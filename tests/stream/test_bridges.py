"""Other programs' protocols, received in another process by the library that those programs use."""

from __future__ import annotations

import contextlib
import json
import math
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pytest

from tests.stream.recordings.eventful import HALL, messages, record
from tests.stream.scene import message_of
from xpose_stream.stream.bridges import BRIDGES
from xpose_stream.stream.sinks.messages import TracksMessage
from xpose_stream.stream.sinks.sink import SinkError
from xpose_stream.stream.site import OutputSite

ROOT = Path(__file__).parents[2]
OSC = """
import json, sys
import socket
from pythonosc.osc_bundle import OscBundle
listening = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 22)
listening.bind(("127.0.0.1", 0))
listening.settimeout(30)
print(listening.getsockname()[1], flush=True)
left = int(sys.argv[1])
while left:
    bundle = OscBundle(listening.recv(65536))
    for message in bundle:
        print(json.dumps([bundle.timestamp, message.address, message.params]))
        left -= message.address.endswith("/frame")
"""
LSL = """
import json, sys, time
import pylsl
[samples] = pylsl.resolve_byprop("name", "xpose hall", timeout=30)
[events] = pylsl.resolve_byprop("name", "xpose hall events", timeout=30)
inlet, markers = pylsl.StreamInlet(samples), pylsl.StreamInlet(events)
inlet.open_stream(30), markers.open_stream(30)
info = inlet.info(30)
channel, labels = info.desc().child("channels").child("channel"), []
while not channel.empty():
    labels.append([channel.child_value(name) for name in ("label", "marker", "object", "type", "unit")])
    channel = channel.next_sibling("channel")
print(json.dumps([info.type(), info.nominal_srate(), labels]), flush=True)
for _ in range(int(sys.argv[1])):
    sample, at = inlet.pull_sample(30)
    print(json.dumps([sample, at + inlet.time_correction(), pylsl.local_clock(), time.time()]), flush=True)
while True:
    event, at = markers.pull_sample(1.0)
    if event is None:
        break
    print(json.dumps(event), flush=True)
"""


@contextlib.contextmanager
def receiver(script: str, *arguments: str) -> Iterator[subprocess.Popen[str]]:
    command = [sys.executable, "-c", script, *arguments]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        yield process
        process.kill()


def lines(process: subprocess.Popen[str]) -> list[Any]:
    assert process.stdout
    return [json.loads(line) for line in process.stdout]


def test_osc_carries_every_keypoint_with_the_time_of_capture_and_the_end_of_a_track() -> None:
    sent = [message for message in messages() if message.camera == HALL]
    with receiver(OSC, str(len(sent))) as process:
        assert process.stdout
        with BRIDGES["osc"](f"127.0.0.1:{int(process.stdout.readline())}", OutputSite()) as send:
            for message in sent:
                send(None, message)
        found = lines(process)
    assert [each[2] for each in found if each[1] == "/xpose/hall/frame"] == [[m.frame, len(m.tracks)] for m in sent]
    expected = [point for m in sent for track in m.tracks for point in track.keypoints if point is not None]
    keypoints = [each for each in found if len(each[2]) == 3]
    np.testing.assert_allclose([each[2][:2] for each in keypoints], expected, rtol=1e-6)
    times = [m.captured_at for m in sent for track in m.tracks for point in track.keypoints if point is not None]
    assert [each[0] for each in keypoints] == pytest.approx(times, abs=1e-3)
    assert "/xpose/hall/1001/nose" in {each[1] for each in found}
    assert all(each[1].isascii() for each in found)  # names that OSC has no letters for
    assert ["/xpose/hall/70000/end" in each for each in found].count(True) == 2  # hidden for three frames, and its end


def test_lsl_carries_every_sample_in_its_slot_at_its_time() -> None:
    ours = [message_of(index, people=index % 3) for index in range(40)]
    with BRIDGES["lsl"](2, OutputSite()) as send:
        send(None, live(ours[0]))
        with receiver(LSL, str(len(ours))) as process:
            assert process.stdout
            kind, rate, labels = json.loads(process.stdout.readline())
            time.sleep(0.5)
            taken = []
            for message in ours:
                message = live(message)
                taken.append(message.captured_at)
                send(None, message)
            found = lines(process)
    assert (kind, rate, len(labels)) == ("MoCap", 0.0, 2 * 5 * 3)
    assert labels[0] == ["person0_nose_x", "nose", "person0", "PositionX", "px"]
    assert labels[-1] == ["person1_right_hip_c", "right_hip", "person1", "Confidence", "normalized"]
    samples, events = found[: len(ours)], [each[0] for each in found[len(ours) :]]
    for index, (sample, at, clock, now) in enumerate(samples):
        expected = [ours[index].tracks[slot].keypoints[0] if slot < index % 3 else None for slot in range(2)]
        for slot, point in enumerate(expected):
            place = sample[15 * slot : 15 * slot + 2]
            assert all(map(math.isnan, place)) if point is None else place == pytest.approx(point)
        assert now - (clock - at) == pytest.approx(taken[index], abs=0.02)  # LSL's clock and ours: when it was taken
    assert events.count("birth 1 person 0") >= 13 and events.count("death 2 person 1") >= 13


def live(message: TracksMessage) -> TracksMessage:
    return msgspec.structs.replace(message, clock="arrival", captured_at=time.time() - 0.05)


def test_rerun_receives_tracks_their_names_and_their_ends(tmp_path: Path) -> None:
    port = free_port()
    command = [sys.executable, "-m", "rerun", "--save", str(tmp_path / "t.rrd"), "--port", str(port)]
    with subprocess.Popen(
        [*command, "--bind", "127.0.0.1"], stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL
    ) as viewer:
        until_open(port)
        with BRIDGES["rerun"](f"127.0.0.1:{port}", OutputSite()) as send:
            for message in messages():
                if message.camera == HALL:
                    send(None, message)
        time.sleep(1.0)
        viewer.send_signal(signal.SIGINT)
        viewer.wait(20)
    shown = [sys.executable, "-m", "rerun", "rrd", "print", "-vvv", str(tmp_path / "t.rrd")]
    text = subprocess.run(shown, capture_output=True, text=True, timeout=60).stdout
    for part in ("/hall/tracks/1001", "/hall/tracks/70000/box", "AnnotationContext", "Clear", "captured_at"):
        assert part in text, part


def test_foxglove_lists_the_channels_and_receives_live(tmp_path: Path) -> None:
    """Spoken as Foxglove does: its sub-protocol, a subscription, and binary messages."""
    port = free_port()
    with BRIDGES["foxglove"](f"127.0.0.1:{port}", OutputSite()) as send:
        send(None, message_of(0))
        with websocket(port) as client:
            channels = advertised(client)
            assert set(channels) == {"/hall/tracks", "/hall/annotations"}
            client.send({"op": "subscribe", "subscriptions": [{"id": 7, "channelId": channels["/hall/tracks"]["id"]}]})
            time.sleep(0.5)
            for index in range(1, 6):
                send(None, message_of(index))
            frames = []
            while len(frames) < 5:
                kind, payload = client.receive()
                if kind == 2 and payload[0] == 1:
                    frames.append(json.loads(payload[13:])["frame"])
        assert frames == [1, 2, 3, 4, 5]
        with (
            pytest.raises(SinkError, match="cannot serve Foxglove"),
            BRIDGES["foxglove"](f"127.0.0.1:{port}", OutputSite()),
        ):
            pass
    with pytest.raises(SinkError, match="can be reached from other machines"), BRIDGES["foxglove"](":0", OutputSite()):
        pass


def advertised(client: Websocket) -> dict[str, Any]:
    while True:
        kind, payload = client.receive()
        if kind == 1 and (told := json.loads(payload))["op"] == "advertise":
            return {channel["topic"]: channel for channel in told["channels"]}


def test_a_recording_goes_where_a_stream_goes(tmp_path: Path) -> None:
    sent = messages()
    path = record(tmp_path / "t.parquet", sent)
    with receiver(OSC, str(len(sent))) as process:
        assert process.stdout
        endpoint = f"127.0.0.1:{int(process.stdout.readline())}"
        command = [sys.executable, str(ROOT / "run_stream.py"), "replay", str(path), "--speed", "20", "--osc", endpoint]
        subprocess.run(command, check=True, timeout=60, cwd=ROOT)
        assert sum(each[1].endswith("/frame") for each in lines(process)) == len(sent)


@pytest.mark.parametrize("name", ["osc", "foxglove"])
def test_an_endpoint_that_is_none_is_told(name: str) -> None:
    with pytest.raises(SinkError, match=r"127\.0\.0\.1"), BRIDGES[name]("127.0.0.1:x", OutputSite()):
        pass


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


def until_open(port: int) -> None:
    for _ in range(300):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.1)
    raise AssertionError


class Websocket:
    """Just enough of RFC 6455."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), 20)
        self._file = self._socket.makefile("rb")
        ask = f"GET / HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        ask += "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
        self._socket.sendall(f"{ask}Sec-WebSocket-Protocol: foxglove.sdk.v1\r\n\r\n".encode())
        assert b"101" in self._file.readline()
        while self._file.readline().strip():
            pass

    def receive(self) -> tuple[int, bytes]:
        head = self._file.read(2)
        size = head[1] & 127
        if size > 125:
            size = int.from_bytes(self._file.read(2 if size == 126 else 8), "big")
        return head[0] & 15, self._file.read(size)

    def send(self, told: dict[str, Any]) -> None:
        data = json.dumps(told).encode()
        assert len(data) < 126
        self._socket.sendall(bytes([0x81, 0x80 | len(data)]) + bytes(4) + data)

    def close(self) -> None:
        self._file.close()
        self._socket.close()


@contextlib.contextmanager
def websocket(port: int) -> Iterator[Websocket]:
    client = Websocket(port)
    try:
        yield client
    finally:
        client.close()
