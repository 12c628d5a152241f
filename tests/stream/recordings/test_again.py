"""What a recording holds can be tracked and published again, and is the same."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
import zmq

from tests.stream.recordings.eventful import messages, record
from tests.stream.rig import Rig
from tests.stream.scene import message_of
from tests.stream.spot import repeat, spot_prompts, write_spot_clip
from xpose_stream.engines import PinnedPrompts
from xpose_stream.engines.xpose import XPoseOutput
from xpose_stream.stream.client import Subscriber
from xpose_stream.stream.detector import Detector
from xpose_stream.stream.recordings.recording import RecordingError
from xpose_stream.stream.recordings.replay import Replay, _Timeline
from xpose_stream.stream.recordings.retrack import retrack
from xpose_stream.stream.session import Session
from xpose_stream.stream.sinks.messages import TracksMessage, encode
from xpose_stream.stream.sinks.publisher import Publisher
from xpose_stream.stream.sinks.recorder import Recorder, recover
from xpose_stream.stream.site import Site
from xpose_stream.stream.sources.frame import Frame

ROOT = Path(__file__).parents[3]
TRACKS = ["sequence", "frame", "captured_at", "published_at", "track_id", "score", "status", "age", "keypoint_status"]


class Unsure:
    """An engine that sees five things, here and there, surely or not, and each keypoint somewhere else."""

    device = torch.device("cpu")

    def __init__(self, engine: Any) -> None:
        self.config, self._random = engine.config, torch.Generator().manual_seed(7)

    def pin(self, instances: torch.Tensor, keypoints: torch.Tensor, mask: torch.Tensor) -> PinnedPrompts:
        return PinnedPrompts(instances, keypoints, None)

    def prepare(self, images: torch.Tensor, prompts: PinnedPrompts) -> str:
        return "unsure"

    def __call__(self, images: torch.Tensor, prompts: PinnedPrompts) -> XPoseOutput:
        time.sleep(0.02)
        count, classes, points = len(images), *prompts.keypoints.shape[:2]
        places = torch.linspace(0.15, 0.85, 5)[None, :, None].expand(count, 5, 2)
        shake = torch.randn(count, 5, 2, generator=self._random) * 0.01
        boxes = torch.cat([places + shake, torch.full((count, 5, 2), 0.12)], -1)
        scattered = torch.randn(count, 5, points, 2, generator=self._random) * 0.02
        logits = torch.randn(count, 5, classes, generator=self._random) * 1.5
        return XPoseOutput(logits, boxes, boxes[:, :, None, :2] + scattered)


@pytest.fixture(scope="module")
def eventful(tmp_path_factory: pytest.TempPathFactory, rtsp_server: Callable[..., Any]) -> tuple[Path, list[bytes]]:
    """A recording with detections of a camera that is slow, is lost, comes back and is asked for another prompt, and
    what a subscriber received meanwhile."""
    folder = tmp_path_factory.mktemp("eventful")
    clip = repeat(write_spot_clip(folder / "short.mp4", 12), folder / "spots.mp4", 3)
    recorder: Recorder | None = None

    def keep(frame: Frame, message: TracksMessage) -> None:
        nonlocal recorder
        camera = rig.camera("door")
        recorder = recorder or Recorder(folder / "t.parquet", tracker=rig._tracker, detections=True)
        recorder.write(message, camera.given)

    with rtsp_server(clip) as server, Publisher("tcp://127.0.0.1:0") as publisher, zmq.Context() as context:
        socket = context.socket(zmq.SUB)
        socket.subscribe(b"tracks/")
        socket.connect(publisher.endpoint)
        assert publisher.wait_for_subscriber(20)
        with Rig({}, publisher=publisher, watcher=keep) as rig:
            rig.engine = Unsure(rig.engine)  # type: ignore[assignment]
            rig.pipeline.detector = Detector(rig.engine, spot_prompts())
            rig.do(lambda: rig.pipeline.add(rig.start("door", server.url, predict=0.1)))
            rig.wait_for_more("door", 20)
            rig.engine.__class__.__call__, usual = slowed(rig.engine.__class__.__call__), rig.engine.__class__.__call__  # type: ignore[method-assign]
            rig.wait(lambda: rig.camera("door").ledger.dropped, "drop")
            rig.engine.__class__.__call__ = usual  # type: ignore[method-assign]
            server.kill()
            rig.wait(lambda: rig.camera("door").state == "lost", "loss")
            with rtsp_server(clip, port=server.port):
                rig.wait(lambda: rig.camera("door").reader.reconnects, "reconnect")
                rig.wait_for_more("door", 20)
                person = spot_prompts()
                skeleton = person.skeletons[0]
                sigmas = tuple(2 * each for each in skeleton.sigmas[:11])
                upper = replace(skeleton, keypoints=skeleton.keypoints[:11], edges=(), pairs=(), sigmas=sigmas)
                rest = {"keypoints": person.keypoints[:, :11], "keypoint_mask": person.keypoint_mask[:, :11]}
                other = replace(person, name="upper", version=2, skeletons=(upper,), **rest)
                rig.do(lambda: setattr(rig.pipeline, "detector", Detector(rig.engine, other)))
                rig.wait_for_more("door", 20)
        assert recorder
        recorder.close()
        received = []
        while socket.poll(1000):
            received.append(socket.recv_multipart()[1])
        socket.close(0)
    return folder / "t.parquet", received


def slowed(call: Callable[..., Any]) -> Callable[..., Any]:
    def slow(*given: Any) -> Any:
        time.sleep(0.3)
        return call(*given)

    return slow


def test_the_run_was_eventful(eventful: tuple[Path, list[bytes]]) -> None:
    table = pq.read_table(eventful[0])
    assert len(set(table["epoch"].to_pylist())) > 1 and set(table["prompt"].to_pylist()) == {"person", "upper"}
    frames = np.unique(table["frame"].to_numpy())
    assert (np.diff(frames) > 1).any()  # drops
    assert len(set(table["track_id"].to_pylist())) > 5 and "coasting" in table["status"].to_pylist()


def test_tracked_again_with_the_same_settings_it_is_the_same_bit_for_bit(
    eventful: tuple[Path, list[bytes]], tmp_path: Path
) -> None:
    target = tmp_path / "again.parquet"
    assert retrack(eventful[0], target) == len(eventful[1])
    again, live = pq.read_table(target), pq.read_table(eventful[0])
    assert again.equals(live) and again.schema.equals(live.schema, check_metadata=False)
    assert [encode(message) for message in Replay(target, exact=True, speed=0)] == eventful[1]


def test_when_tracking_again_is_stopped_nothing_stays_half_written(
    eventful: tuple[Path, list[bytes]], tmp_path: Path
) -> None:
    table = pq.read_table(eventful[0])
    with pq.ParquetWriter(tmp_path / "long.parquet", table.schema) as writer:
        for _ in range(200):
            writer.write_table(table)
        writer.add_key_value_metadata(pq.read_metadata(eventful[0]).metadata)
    process = subprocess.Popen([sys.executable, str(ROOT / "run_stream.py"), "retrack", str(tmp_path / "long.parquet")])
    end = time.monotonic() + 120
    while not list(tmp_path.glob("*.partial")) and time.monotonic() < end:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    assert process.wait(60) == 130
    assert [path.name for path in tmp_path.iterdir()] == ["long.parquet"]


def test_tracked_again_with_other_settings_it_is_another(eventful: tuple[Path, list[bytes]], tmp_path: Path) -> None:
    retrack(eventful[0], tmp_path / "again.parquet", {"process_noise": 9.0, "coast": 0.1})
    again, live = pq.read_table(tmp_path / "again.parquet"), pq.read_table(eventful[0])
    assert set(again["frame"].to_pylist()) == set(live["frame"].to_pylist())
    assert again["keypoint_x"] != live["keypoint_x"]


def test_what_is_published_again_is_what_a_subscriber_had_received_byte_for_byte(
    eventful: tuple[Path, list[bytes]],
) -> None:
    with Publisher("tcp://127.0.0.1:0", lossless=True) as publisher, zmq.Context() as context:
        socket = context.socket(zmq.SUB)
        socket.subscribe(b"tracks/")
        socket.connect(publisher.endpoint)
        assert publisher.wait_for_subscriber(20)
        for message in Replay(eventful[0], exact=True, speed=0):
            publisher.publish(message)
        assert [socket.recv_multipart()[1] for _ in eventful[1]] == eventful[1]
        socket.close(0)


def test_the_demo_tracked_again_and_published_again_is_the_same(tmp_path: Path) -> None:
    endpoint, seen = f"ipc://{tmp_path}/tracks", itertools.count(1)
    outputs = {"record": str(tmp_path / "t.parquet"), "record_detections": True, "predict": "now", "publish": endpoint}

    def watch(frame: Frame, message: TracksMessage) -> None:
        if next(seen) == 150:
            os.kill(os.getpid(), signal.SIGTERM)

    with zmq.Context() as context, context.socket(zmq.SUB) as socket:
        socket.subscribe(b"tracks/")
        socket.connect(endpoint)
        site = Site.of(str(ROOT / "configs" / "demo" / "crossing.mp4"), **outputs)
        Session(site, wait_for_subscriber=30).run(watch)
        received = []
        while socket.poll(1000):
            received.append(socket.recv_multipart()[1])
    assert len(received) >= 150
    retrack(tmp_path / "t.parquet", tmp_path / "again.parquet")
    assert pq.read_table(tmp_path / "again.parquet").equals(pq.read_table(tmp_path / "t.parquet"))
    for path in (tmp_path / "t.parquet", tmp_path / "again.parquet"):
        assert [encode(message) for message in Replay(path, exact=True, speed=0)] == received


def test_what_was_detected_survives_a_kill(tmp_path: Path, eventful: tuple[Path, list[bytes]]) -> None:
    script = (
        "import sys, os\nfrom xpose_stream.stream.recordings.replay import Replay\n"
        "from xpose_stream.stream.recordings.retrack import _given\n"
        "from xpose_stream.stream.recordings.recording import Recording\n"
        "from xpose_stream.stream.sinks.recorder import Recorder\n"
        "recording = Recording(sys.argv[1])\n"
        "recorder = Recorder(sys.argv[2], tracker=recording.tracker, detections=True)\n"
        "for message, given in zip(recording, _given(recording)): recorder.write(message, given)\n"
        "recorder.flush()\nos._exit(9)\n"
    )
    subprocess.run([sys.executable, "-c", script, str(eventful[0]), str(tmp_path / "k.parquet")], cwd=ROOT, timeout=90)
    assert recover(tmp_path / "k.parquet") > 0
    assert pq.read_table(tmp_path / "k.parquet").equals(pq.read_table(eventful[0]))
    retrack(tmp_path / "k.parquet", tmp_path / "again.parquet")


def test_without_detections_nothing_can_be_tracked_again(tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match=r"holds no detections; record them with `run --record-detections`$"):
        retrack(record(tmp_path / "t.parquet", messages()), tmp_path / "again.parquet")
    assert not (tmp_path / "again.parquet").exists()


def test_all_that_a_recording_can_hold_comes_back_but_for_when_it_was_published(tmp_path: Path) -> None:
    sent = messages(irregular=True)
    path = record(tmp_path / "t.parquet", sent)
    assert list(Replay(path, exact=True, speed=0)) == sent
    before = time.time()
    again = list(Replay(path, speed=0))
    assert all(before <= message.published_at <= time.time() for message in again)
    assert [msgspec.structs.replace(m, published_at=0.0) for m in again] == [
        msgspec.structs.replace(m, published_at=0.0) for m in sent
    ]


def test_it_keeps_its_pace_or_another_and_can_begin_later_and_again(tmp_path: Path) -> None:
    path = record(tmp_path / "t.parquet", [message_of(index, people=1) for index in range(30)])
    begun = time.monotonic()
    assert len(list(Replay(path, speed=2))) == 30
    assert 29 / 60 <= time.monotonic() - begun < 20
    assert [m.frame for m in Replay(path, speed=0, start=0.5)] == list(range(15, 30))
    looped = itertools.islice(Replay(path, speed=0, start=0.9, loop=True), 7)
    assert [m.frame for m in looped] == [27, 28, 29, 27, 28, 29, 27]


def test_beginning_later_reads_only_what_comes_then(tmp_path: Path) -> None:
    path = record(tmp_path / "t.parquet", [message_of(index, people=1) for index in range(900)])
    pq.write_table(pq.read_table(path), path, row_group_size=100)
    played = Replay(path, speed=0, start=899 / 30 - 1e-6)
    assert [m.frame for m in played] == [899]
    assert len(played._groups(_Timeline(next(iter(Replay(path, speed=0)))))) == 1


def test_the_command_waits_for_a_listener_and_says_how_many(tmp_path: Path) -> None:
    path = record(tmp_path / "t.parquet", messages())
    endpoint = f"ipc://{tmp_path}/again"
    command = [sys.executable, str(ROOT / "run_stream.py"), "replay", str(path), "--publish", endpoint]
    with subprocess.Popen([*command, "--speed", "0", "--exact"], stdout=subprocess.PIPE, text=True) as process:
        with Subscriber(endpoint, quiet=30) as stream:
            assert [next(stream) for _ in messages()] == messages()
        assert process.communicate(timeout=30)[0] == f"{len(messages())} messages\n"
