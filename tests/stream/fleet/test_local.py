"""Shards as processes of this machine: served, killed, changed, found again, stopped. One fleet goes through all."""

from __future__ import annotations

import json
import os
import signal
import urllib.request
from collections.abc import Iterable, Iterator
from pathlib import Path

import psutil
import pyarrow.parquet as pq
import pytest

from tests.stream.fleet.conftest import Running, wait_for
from xpose_stream.stream.client import Subscriber
from xpose_stream.stream.fleet.status import ShardStatus
from xpose_stream.stream.sinks.messages import TracksMessage
from xpose_stream.stream.sources.frame import RUN

CAMERAS = {"c0", "c1", "c2"}


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory, clip: Path) -> Iterator[Running]:
    """Three cameras on two shards, at work; each test leaves it so."""
    running = Running(tmp_path_factory.mktemp("f"), clip)
    running.up()
    running.wait_until_up()
    yield running
    running.down()


def shard_of(camera: str, shards: dict[str, ShardStatus]) -> ShardStatus:
    return next(shard for shard in shards.values() if camera in shard.cameras)


def pids(shards: dict[str, ShardStatus]) -> dict[str, int | None]:
    return {name: shard.pid for name, shard in shards.items()}


def messages_of(stream: Subscriber, cameras: Iterable[str], each: int = 2) -> dict[str, list[TracksMessage]]:
    """So many messages of each of these cameras, and whatever else comes until then."""
    got: dict[str, list[TracksMessage]] = {camera: [] for camera in cameras}
    wanted = set(got)
    for message in stream:
        got.setdefault(message.camera, []).append(message)
        if all(len(got[camera]) >= each for camera in wanted):
            return got
    raise AssertionError(f"silence after { ({camera: len(had) for camera, had in got.items()}) }")


def assert_unbroken(messages: list[TracksMessage]) -> None:
    """Of one run, no message lost, and no frame twice. Which frames a busy machine has no time for is not told here."""
    numbers, frames = ([getattr(message, what) for message in messages] for what in ("sequence", "frame"))
    assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))
    assert sorted(set(frames)) == frames and len({message.epoch for message in messages}) == 1


def test_cameras_are_served_by_name_and_a_shard_that_is_killed_comes_back_with_new_epochs_and_identities(
    fleet: Running,
) -> None:
    shards = fleet.wait_until_up()
    assert len(shards) == 2 and sorted(len(shard.cameras) for shard in shards.values()) == [1, 2]
    with Subscriber(fleet.directory, quiet=60) as stream:
        first = messages_of(stream, CAMERAS, 6)  # a recording is flushed each second
        hit = shard_of("c0", shards)
        spared = next(shard for shard in shards.values() if shard is not hit)
        assert hit.pid
        run = hit.cameras["c0"].run
        os.kill(hit.pid, signal.SIGKILL)
        wait_for(lambda: (now := fleet.shards.get(hit.shard)) and now.pid not in (None, hit.pid), "another process")
        got: list[TracksMessage] = []
        for message in stream:
            got.append(message)
            if message.camera == "c0" and message.epoch >= (run + 1) * RUN and message.tracks:
                break
    of_hit = [message for camera in hit.cameras for message in first[camera]]
    assert {message.epoch // RUN for message in of_hit} == {run}
    old = {track.id for message in of_hit for track in message.tracks}
    assert old and max(old) < (run + 1) * RUN <= min(track.id for track in got[-1].tracks)
    for camera in spared.cameras:
        assert_unbroken([*first[camera], *(message for message in got if message.camera == camera)])
    assert fleet.wait_until_up()[hit.shard].restarts == hit.restarts + 1
    assert fleet.shards[spared.shard].pid == spared.pid
    wait_for(lambda: list(fleet.root.glob("c0*.parquet")), "the recording of the one that was killed")


def test_its_page_leads_to_a_camera_on_the_page_of_the_shard_that_has_it(fleet: Running) -> None:
    where = {camera: shard.shard for shard in fleet.wait_until_up().values() for camera in shard.cameras}
    with urllib.request.urlopen(f"http://{fleet.page}/cameras", timeout=60) as answer:
        assert {entry["camera"]: entry["shard"] for entry in json.load(answer)} == where
    for camera, shard in where.items():
        with urllib.request.urlopen(f"http://{fleet.page}/camera/{camera}", timeout=60) as answer:
            assert b"xpose-stream" in answer.read() and answer.url.endswith(f"/?camera={camera}")
        with urllib.request.urlopen(answer.url.replace(f"/?camera={camera}", "/cameras"), timeout=60) as answer:
            assert {told["camera"] for told in json.load(answer)} == {one for one in where if where[one] == shard}
        with urllib.request.urlopen(f"http://{fleet.page}/cameras/{camera}.jpg", timeout=60) as answer:
            assert answer.read(2) == b"\xff\xd8"


def test_cameras_are_added_removed_and_changed_and_no_other_loses_a_frame(fleet: Running, clip: Path) -> None:
    before = fleet.wait_until_up()
    with Subscriber(fleet.directory, quiet=60) as stream:
        messages = messages_of(stream, CAMERAS, 1)
        for change in ("added", "changed", "removed"):
            if change == "added":
                fleet.cameras.insert(0, fleet.camera("new"))
            elif change == "changed":
                (fleet.root / "other.mp4").write_bytes(clip.read_bytes())
                fleet.cameras[0]["source"] = str(fleet.root / "other.mp4")
            else:
                del fleet.cameras[0]
            done = fleet.run("apply", str(fleet.write()))
            assert done.returncode == 0, done.stderr
            run = {"added": 1, "changed": 2, "removed": 0}[change]
            while True:
                for camera, had in messages_of(stream, {*CAMERAS, "new"} if run else CAMERAS, 1).items():
                    messages.setdefault(camera, []).extend(had)
                if not run or messages["new"][-1].epoch // RUN == run:
                    break
    assert pids(fleet.wait_until_up()) == pids(before)
    for camera in CAMERAS:
        assert_unbroken(messages[camera])
        assert stream.lost[camera] == 0


def test_a_fleet_that_is_killed_leaves_its_shards_at_work_and_the_next_one_finds_them(fleet: Running) -> None:
    before = pids(fleet.wait_until_up())
    again = fleet.run("up", str(fleet.file))
    assert again.returncode == 1 and "a fleet runs in" in again.stderr
    wait_for(lambda: fleet.spares, "a process that waits")
    waiting = fleet.spares
    assert fleet.process
    fleet.process.kill()
    fleet.process.wait()
    wait_for(lambda: not any(psutil.pid_exists(pid) for pid in waiting), "the end of those who wait for nobody")
    assert "no fleet runs in" in fleet.run("status").stderr
    fleet.up()
    assert pids(fleet.wait_until_up()) == before
    told = fleet.run("status").stdout
    assert "here.0" in told and "of 2 up" in told and "restarts" in told


def test_a_prompt_goes_through_the_shards_without_a_pause_and_bad_weights_are_taken_back(fleet: Running) -> None:
    before = pids(fleet.wait_until_up())
    with Subscriber(fleet.directory, quiet=60) as stream:
        messages = messages_of(stream, CAMERAS, 1)
        fleet.rest["prompt"] = "chair"
        done = fleet.run("apply", str(fleet.write()))
        assert done.returncode == 0 and "0 moved, 0 wait; shards with other settings: 2" in done.stdout, done.stderr
        while not all(messages[camera][-1].prompt.name == "chair" for camera in CAMERAS):
            for camera, had in messages_of(stream, CAMERAS, 1).items():
                messages[camera].extend(had)
    for camera in CAMERAS:
        assert_unbroken(messages[camera])
        assert [*dict.fromkeys(message.prompt.name for message in messages[camera])] == ["person", "chair"]
    assert pids(fleet.wait_until_up()) == before
    good = dict(fleet.rest)
    fleet.rest["prompt"] = "no such thing"
    done = fleet.run("apply", str(fleet.write()))
    assert done.returncode == 1 and "all is as before" in done.stderr and "no such thing" in done.stderr
    assert pids(fleet.wait_until_up()) == before
    (fleet.root / "bad.safetensors").write_bytes(bytes(1000))
    fleet.rest = good | {"engine": {"backend": "eager", "weights": str(fleet.root / "bad.safetensors")}}
    done = fleet.run("apply", str(fleet.write()))
    assert done.returncode == 1 and "failed with it, and all is as before" in done.stderr, done.stderr
    assert "bad.safetensors" in done.stderr and done.stderr.count("error: ") == 1
    fleet.rest = good
    after = pids(fleet.wait_until_up())
    assert sum(after[name] != pid for name, pid in before.items()) == 1  # the second was never asked
    with Subscriber(fleet.directory, quiet=60) as stream:
        found = messages_of(stream, CAMERAS, 1)
    assert {message.prompt.name for messages in found.values() for message in messages} == {"chair"}


def test_down_stops_all_shards_and_leaves_recordings_that_can_be_read(fleet: Running) -> None:
    before = fleet.wait_until_up()
    assert fleet.run("down").returncode == 0 and fleet.process and fleet.process.wait(60) == 0
    assert not fleet.shards and not any(psutil.pid_exists(shard.pid or 0) for shard in before.values())
    files = list(fleet.root.glob("c?*.parquet"))
    assert len(files) >= 3 and all(pq.read_table(path).num_rows for path in files)
    assert not list(fleet.root.glob("*.journal"))
