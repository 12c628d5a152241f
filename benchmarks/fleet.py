"""A fleet of many machines in simulated time: how long planning takes, what a change and a death move, and when.

    python -m benchmarks.fleet [--cameras 1000] [--workers 50] [--start SECONDS]

The planning, the directory and all that decides are those that run; machines and processes are not there. `--start`:
what a shard takes to its first frame; `--missed`: until Ray says that a machine is gone (docs/fleet.md has both).
"""

from __future__ import annotations

import argparse
import json
import random
import tempfile
import time
from collections import Counter
from pathlib import Path

import msgspec
import zmq

from xpose_stream.stream.fleet.fleet import Fleet
from xpose_stream.stream.fleet.plan import plan
from xpose_stream.stream.fleet.site import FleetSite, Shard
from xpose_stream.stream.fleet.status import CameraStatus, ShardStatus
from xpose_stream.stream.sinks.directory import Directory

STEP = 0.2  # s of simulated time between two looks, as `fleet up` has it


class Simulated:
    """Machines that die when they are told to, and shards that take `start` s to their first frame; see Backend."""

    def __init__(self, machines: set[str], start: float, missed: float) -> None:
        self.now = 0.0
        self._start, self._missed = start, missed
        self._machines = machines
        self._dead: dict[str, float] = {}
        self._shards: dict[str, tuple[Shard, float]] = {}

    def kill(self, machine: str) -> None:
        """It ends now."""
        self._dead[machine] = self.now

    def machines(self, named: set[str]) -> set[str]:
        """See Backend."""
        gone = {machine for machine, at in self._dead.items() if self.now - at >= self._missed}
        return (named & self._machines) - gone

    def start(self, shard: Shard) -> None:
        """See Backend."""
        had = self._shards.get(shard.name)
        self._shards[shard.name] = shard, had[1] if had else self.now + self._start

    def stop(self, name: str) -> None:
        """See Backend."""
        self._shards.pop(name, None)

    def status(self) -> dict[str, ShardStatus]:
        """See Backend."""
        return {name: self._told(*told) for name, told in self._shards.items()}

    def _told(self, shard: Shard, at: float) -> ShardStatus:
        dead = shard.machine in self._dead
        up = not dead and self.now >= at
        cameras = {name: CameraStatus(1, up) for name in shard.cameras}
        state = "unreachable" if dead else "running" if up else "starting"
        return ShardStatus(shard.name, shard.machine, state, shard.version, cameras=cameras)  # type: ignore[arg-type]

    def close(self, stop: bool) -> None:
        """See Backend."""


def site_of(folder: Path, cameras: int, workers: int, rate: float) -> FleetSite:
    """Cameras in four networks, each of which a quarter of the machines reach and its neighbours' too."""
    chance = random.Random(0)
    nets = ["north", "east", "south", "west"]
    machines = [
        {"name": f"m{number}", "address": f"10.0.{number // 250}.{number % 250 + 1}", "rate": rate,
         "networks": [nets[number % 4], nets[(number + 1) % 4]]}
        for number in range(workers)
    ]  # fmt: skip
    told = [
        {"name": f"camera{number}", "source": f"rtsp://10.1.{number // 250}.{number % 250 + 1}/live",
         "rate": chance.choice([5, 10, 15]), "network": chance.choice([*nets, ""])}
        for number in range(cameras)
    ]  # fmt: skip
    path = folder / "site.yaml"
    path.write_text(json.dumps({"cameras": told, "outputs": {"open": True}, "fleet": {"machines": machines}}))
    return FleetSite.load(path)


def timed_plan(site: FleetSite) -> tuple[float, float, float]:
    """s: the first plan, that with one camera more, and that with one machine fewer."""
    begun = time.perf_counter()
    first = plan(site.needs, site.rooms())
    done = time.perf_counter()
    plan(site.needs[1:], site.rooms(), first.placed)
    again = time.perf_counter()
    plan(site.needs, site.rooms()[1:], first.placed)
    assert not first.waiting
    return done - begun, again - done, time.perf_counter() - again


def run(cameras: int, workers: int, rate: float, start: float, missed: float) -> dict[str, float]:
    """The whole: up, a machine's death, and what of it the directory tells."""
    with tempfile.TemporaryDirectory() as name, Directory("tcp://127.0.0.1:*") as directory:
        folder = Path(name)
        begun = time.perf_counter()
        site = site_of(folder, cameras, workers, rate)
        read = time.perf_counter() - begun
        backend = Simulated({machine.name for machine in site.fleet.machines}, start, missed)
        fleet = Fleet(site, backend, folder, lambda: backend.now)
        steps: list[float] = []

        def step() -> int:
            backend.now += STEP
            at = time.perf_counter()
            fleet.tend()
            told = directory.tell(fleet.entries())
            steps.append(time.perf_counter() - at)
            return told

        def serving() -> dict[str, str]:
            return {entry.camera: entry.shard for entry in fleet.entries() if entry.state == "serving"}

        while len(serving()) < cameras:
            step()
        before, up = serving(), backend.now
        loads = Counter(before.values())
        dead = max(loads, key=lambda shard: loads[shard])
        backend.kill(dead.rpartition(".")[0])
        killed, told, placed = backend.now, step(), None
        while len(serving()) < cameras:
            told += step()
            where = {entry.camera: entry.shard for entry in fleet.entries() if entry.shard}
            if placed is None and dead not in where.values():
                placed = backend.now - killed
        after = serving()
        moved = [camera for camera in before if after[camera] != before[camera]]
        assert set(moved) == {camera for camera, shard in before.items() if shard == dead}
        first, added, fewer = timed_plan(site)
        return {
            "cameras": cameras, "workers": workers, "reading the site, s": read,
            "plan, s": first, "plan with a camera more, s": added, "plan with a machine fewer, s": fewer,
            "one look at all of it, most, s": max(steps), "all serve after, simulated s": up,
            "cameras of the machine that died": loads[dead], "cameras that moved": len(moved),
            "they have a place after, simulated s": placed or 0.0,
            "they serve again after, simulated s": backend.now - killed,
            "words of the directory for it": told, "words of the directory per s": words(directory, fleet),
        }  # fmt: skip


def words(directory: Directory, fleet: Fleet) -> float:
    """Entries per s from the directory to one subscriber over loopback, encoded, sent, received and decoded."""
    from xpose_stream.stream.sinks.directory import entry_of

    entries = fleet.entries()
    with zmq.Context() as context, context.socket(zmq.SUB) as socket:
        socket.setsockopt(zmq.RCVHWM, 0)
        socket.setsockopt(zmq.SUBSCRIBE, b"directory/")
        socket.connect(directory.endpoint)
        while not socket.poll(100):
            directory.tell(entries)
        while socket.poll(100):
            socket.recv_multipart()
        begun, rounds = time.perf_counter(), 20
        for number in range(rounds):
            directory.tell([msgspec.structs.replace(entry, run=number + 10) for entry in entries])
            for _ in entries:
                assert entry_of(socket.recv_multipart()[1])
        return rounds * len(entries) / (time.perf_counter() - begun)


def main() -> None:
    """Print a line for each figure."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cameras", type=int, default=1000)
    parser.add_argument("--workers", type=int, default=50)
    parser.add_argument("--rate", type=float, default=300.0, help="frames/s of one shard's engine")
    parser.add_argument("--start", type=float, default=5.0, help="s from the start of a shard to its first frame")
    parser.add_argument("--missed", type=float, default=2.0, help="s until Ray says that a machine is gone")
    asked = parser.parse_args()
    for name, value in run(asked.cameras, asked.workers, asked.rate, asked.start, asked.missed).items():
        print(f"{name}: {value:.3f}" if isinstance(value, float) else f"{name}: {value}")


if __name__ == "__main__":
    main()
