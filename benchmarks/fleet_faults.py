"""What consumers miss when parts of a fleet die: 12 cameras at 5 frames/s, three shards, two Ray nodes on loopback.

    python -m benchmarks.fleet_faults [--local] [--only shard actor …] [--cameras 12] [--no-spare]

One Subscriber that names cameras only sees it all. A shard, its actor, the raylet of a machine and the head of Ray are
killed (kill -9) one after the other; told is which cameras paused and for how long (the longest time between two
messages of a camera, from the kill on), whether an identity came twice, what the survivors' sequences and frames lack,
and at the end whether all recordings can be read. `--local`: processes of this machine, of which a shard is killed, and
to which a camera is added, changed and removed (`apply`). `--no-spare`: no process waits to take over.
"""

from __future__ import annotations

import argparse
import itertools
import os
import shutil
import signal
import tempfile
import threading
import time
from collections import defaultdict
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import psutil
import pyarrow.parquet as pq

from tests.stream.fleet.cluster import Cluster
from tests.stream.fleet.conftest import PORTS, Running, people, wait_for
from tests.stream.spot import repeat
from xpose_stream.engines import NANO, load, save
from xpose_stream.stream.client import Subscriber
from xpose_stream.stream.fleet.leases import Life
from xpose_stream.stream.sources.frame import RUN

RATE = 5  # frames/s
PAUSED = 1.0  # s between two messages of a camera that is at rest
BUILT = 40.0  # s in which engines are built, where that was not done before
SETTLED = 12.0  # s after all cameras are up again, in which another process gets ready


class Ear:
    """Hears everything from the directory on, in a thread of its own."""

    def __init__(self, directory: str) -> None:
        self.at: dict[str, list[float]] = defaultdict(list)
        self.sequences: dict[str, list[tuple[int, int, int]]] = defaultdict(list)  # run, sequence and frame
        self.born: dict[tuple[str, int], int] = {}  # run, by camera and identity
        self.twice = 0
        self.stream = Subscriber(directory)
        threading.Thread(target=self._hear, daemon=True).start()

    def _hear(self) -> None:
        for message in self.stream:
            run = message.epoch // RUN
            self.at[message.camera].append(time.monotonic())
            self.sequences[message.camera].append((run, message.sequence, message.frame))
            for track in message.tracks:
                self.twice += self.born.setdefault((message.camera, track.id), run) != run

    def pauses(self, since: float) -> dict[str, float]:
        """By camera the longest time without a message, s, where that is a pause."""
        found = {}
        for camera, times in self.at.items():
            heard = [since, *(at for at in times if at > since), time.monotonic()]
            longest = max(after - before for before, after in itertools.pairwise(heard))
            if longest > PAUSED:
                found[camera] = longest
        return found

    def missing(self, before: dict[str, int]) -> tuple[int, int]:
        """Of these cameras, from so many messages on: messages that were published and did not come, and frames that
        were not published."""
        lost = dropped = 0
        for camera, count in before.items():
            heard = self.sequences[camera][max(count - 1, 0) :]
            same = [(one, next) for one, next in itertools.pairwise(heard) if one[0] == next[0]]
            lost += sum(next[1] - one[1] - 1 for one, next in same)
            dropped += sum(max(next[2] - one[2] - 1, 0) for one, next in same)
        return lost, dropped


def hit(fleet: Running, cluster: Cluster | None, what: str) -> None:
    """kill -9 of that part."""
    if what == "apply":
        change(fleet)
    elif what in ("shard", "actor"):
        pid = fleet.shards["b.0" if cluster else "here.0"].pid
        assert pid
        os.kill(pid if what == "shard" else psutil.Process(pid).ppid(), signal.SIGKILL)
    elif cluster:
        cluster.kill("b" if what == "raylet" else "a", what)


def light(path: Path) -> Path:
    """Weights that are shipped, looking at pictures of 96x128, so that two cores have time for 60 of them a second."""
    checkpoint = load(NANO)
    checkpoint.model.config = replace(checkpoint.model.config, short_side=96, long_side=128)
    save(path, checkpoint)
    return path


def change(fleet: Running) -> None:
    """A camera is added, changed and removed."""
    for step in ("added", "changed", "removed"):
        if step == "added":
            fleet.cameras.append(fleet.camera("new"))
        elif step == "changed":
            fleet.cameras[-1]["source"] = str(shutil.copy(fleet.clip, fleet.root / "other.mp4"))
        else:
            fleet.cameras.pop()
        done = fleet.run("apply", str(fleet.write()))
        assert done.returncode == 0, done.stderr


def main() -> None:
    """Print a line for each part that is killed."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--local", action="store_true")
    parser.add_argument("--only", nargs="*", choices=["shard", "actor", "raylet", "gcs_server", "apply"])
    parser.add_argument("--cameras", type=int, default=12)
    parser.add_argument("--no-spare", action="store_true")
    asked = parser.parse_args()
    with ExitStack() as opened:
        folder = Path(opened.enter_context(tempfile.TemporaryDirectory(prefix="xf", ignore_cleanup_errors=True)))
        fleet = Running(folder, repeat(people(folder / "once.mp4", RATE), folder / "people.mp4", 25), asked.cameras, 3)
        cluster = None if asked.local else opened.enter_context(Cluster("a", "b"))
        if cluster:
            machines = [
                {"name": "a", "shards": 2, "ports": fleet.ports},
                {"name": "b", "ports": fleet.ports + 2 * PORTS},
            ]
            fleet.rest["fleet"]["machines"] = machines
            fleet.environment = cluster.environment
        fleet.rest["engine"] = {"backend": "auto", "weights": str(light(folder / "light.safetensors"))}
        fleet.rest["fleet"]["spare"] = not asked.no_spare
        opened.callback(fleet.down)
        begun = time.monotonic()
        fleet.up(*(["--ray", cluster.address] if cluster else []))
        ear = Ear(fleet.directory)
        fleet.wait_until_up()
        wait_for(lambda: len(ear.at) == asked.cameras, "all cameras")
        print(f"all {asked.cameras} cameras are heard after {time.monotonic() - begun:.1f} s", flush=True)
        time.sleep(BUILT)
        if waiting := [psutil.Process(pid).memory_full_info() for pid in fleet.spares]:
            most = max(one.uss for one in waiting) / 1e6
            print(f"{len(waiting)} processes wait, with {most:.0f} MB of their own at most", flush=True)
        for what in asked.only or (["shard", "actor", "raylet", "gcs_server"] if cluster else ["shard", "apply"]):
            since, before = time.monotonic(), {camera: len(times) for camera, times in ear.at.items()}
            hit(fleet, cluster, what)
            time.sleep(1)
            if what != "gcs_server":
                wait_for(fleet.all_up, "all cameras again")
            time.sleep(SETTLED)
            pauses = {camera: pause for camera, pause in ear.pauses(since).items() if camera in before}
            survivors = {camera: count for camera, count in before.items() if camera not in pauses}
            longest, (lost, dropped) = max(pauses.values(), default=0.0), ear.missing(survivors)
            print(
                f"{what}: {len(pauses)} of {asked.cameras} cameras paused, for {longest:.1f} s at most; the other "
                f"{len(survivors)} lack {lost} messages and {dropped} frames; identities that came twice: {ear.twice}",
                flush=True,
            )
        fleet.down()
        lives = [Life(path) for path in fleet.folder.glob("shards/*/life")]
        wait_for(lambda: not any(life.lived for life in lives), "the end of all shards")
        files = sorted(folder.glob("*.parquet"))
        rows = sum(pq.read_table(path).num_rows for path in files)
        journals = len(list(folder.glob("*.journal")))
        print(f"{len(files)} recordings can be read, with {rows} rows; {journals} are left to be recovered")
        print(f"{len(ear.born)} identities in {sum(map(len, ear.at.values()))} messages")


if __name__ == "__main__":
    main()
