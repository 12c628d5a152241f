"""Shards on two real nodes of a Ray cluster, whose parts are killed."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import psutil
import pytest

from tests.stream.fleet.conftest import PORTS, Running, wait_for
from tests.stream.fleet.test_local import messages_of, shard_of
from xpose_stream.stream.client import Subscriber
from xpose_stream.stream.fleet.leases import Life
from xpose_stream.stream.sources.frame import RUN

pytest.importorskip("ray")
from tests.stream.fleet.cluster import Cluster

CAMERAS = {"c0", "c1", "c2"}


@pytest.fixture
def cluster() -> Iterator[Cluster]:
    """Machines a and b."""
    with Cluster("a", "b") as cluster:
        yield cluster


def test_cameras_outlive_a_shard_an_actor_a_machine_and_the_head(fleet: Running, cluster: Cluster) -> None:
    machines = [{"name": "a", "ports": fleet.ports}, {"name": "b", "ports": fleet.ports + PORTS}]
    fleet.rest["fleet"]["machines"] = machines
    fleet.environment = cluster.environment
    fleet.up("--ray", cluster.address)
    shards = fleet.wait_until_up()
    assert set(shards) == {"a.0", "b.0"}
    runs = {camera: [told.run] for shard in shards.values() for camera, told in shard.cameras.items()}
    with Subscriber(fleet.directory, quiet=120) as stream:
        assert set(messages_of(stream, CAMERAS)) == CAMERAS
        for hit in ("shard", "actor"):
            one = shards["b.0"]
            assert one.pid
            victim = one.pid if hit == "shard" else psutil.Process(one.pid).ppid()
            os.kill(victim, signal.SIGKILL)
            wait_for(lambda old=one.pid: fleet.shards["b.0"].pid not in (None, old), f"a shard after its {hit}")
            shards = fleet.wait_until_up()
            for camera, told in shards["b.0"].cameras.items():
                assert told.run > runs[camera][-1]
                runs[camera].append(told.run)
        cluster.kill("b", "raylet")
        wait_for(lambda: set(shards := fleet.all_up()) == {"a.0"} and shards, "all cameras on the machine that is left")
        found = messages_of(stream, CAMERAS)
        told = shard_of("c0", fleet.shards).cameras
        assert set(told) == CAMERAS
        for camera, had in runs.items():
            last = found[camera][-1]
            assert last.epoch // RUN == told[camera].run >= had[-1]
        assert "the machine b is gone" in fleet.run("status").stdout
        cluster.kill("a", "gcs_server")
        after = messages_of(stream, CAMERAS, 8)  # and goes on
    assert fleet.process
    fleet.process.send_signal(signal.SIGTERM)
    lives = [Life(path) for path in fleet.folder.glob("shards/*/life")]
    wait_for(lambda: not any(life.lived for life in lives), "the end of all shards, for which no head is asked")
    assert not list(fleet.root.glob("*.journal")) and list(fleet.root.glob("c?.parquet"))
    for camera in CAMERAS:
        numbers = [message.sequence for message in after[camera]]
        assert numbers == list(range(numbers[0], numbers[0] + len(numbers)))


def test_a_cluster_that_is_not_there_is_one_sentence(fleet: Running) -> None:
    done = fleet.run("up", str(fleet.write()), "--ray", f"127.0.0.1:{fleet.ports}")
    assert done.returncode == 1 and "no Ray cluster answers at" in done.stderr and "Traceback" not in done.stderr
