"""A site of a fleet, on clips that begin anew when they are over, with a model so small that it loads in a moment."""

from __future__ import annotations

import json
import os
import random
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import psutil
import pytest

from tests.stream.spot import repeat
from xpose_stream.engines import NANO
from xpose_stream.stream.fleet.door import Wish, knock
from xpose_stream.stream.fleet.fleet import FleetError, FleetStatus
from xpose_stream.stream.fleet.status import ShardStatus
from xpose_stream.stream.prepare import CLIP

ROOT = Path(__file__).parents[3]
PATIENCE = 240.0  # s; what takes some on an idle machine
PORTS = 4  # of a shard


def free_ports(count: int) -> int:
    """The first of so many ports in a row that are free, below those that the system hands out by itself,
    and above those that Ray does."""
    while True:
        first = random.randrange(20_000, 32_000)
        try:
            for port in range(first, first + count):
                socket.create_server(("127.0.0.1", port)).close()
            return first
        except OSError:
            continue


def wait_for(true: Callable[[], Any], what: str, patience: float = PATIENCE) -> Any:
    """What `true` returns, once that is something."""
    end = time.monotonic() + patience
    while not (value := true()):
        assert time.monotonic() < end, f"{what} never came"
        time.sleep(0.05)
    return value


class Running:
    """`fleet up` in a process, with its site and folder."""

    def __init__(self, folder: Path, clip: Path, cameras: int = 3, shards: int = 2) -> None:
        self.root, self.folder, self.file = folder, folder / "f", folder / "site.yaml"
        self.clip, self.ports = clip, free_ports(PORTS * shards + 2)
        self.directory = f"tcp://127.0.0.1:{self.ports + PORTS * shards}"
        self.page = f"127.0.0.1:{self.ports + PORTS * shards + 1}"
        self.cameras: list[dict[str, Any]] = [self.camera(f"c{number}") for number in range(cameras)]
        self.rest: dict[str, Any] = {
            "engine": {"backend": "eager", "weights": str(NANO)},
            "limits": {"staleness_ms": 60_000},
            "outputs": {"record": str(folder / "{camera}.parquet"), "page": self.page},
            "fleet": {
                "machines": [{"name": "here", "shards": shards, "ports": self.ports}],
                "directory": self.directory,
            },
        }
        self.environment = dict(os.environ)
        self.process: subprocess.Popen[bytes] | None = None

    def camera(self, name: str) -> dict[str, Any]:
        return {"name": name, "source": str(self.clip), "realtime": True}

    def write(self) -> Path:
        self.file.write_text(json.dumps({"cameras": self.cameras, **self.rest}))
        return self.file

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, str(ROOT / "run_stream.py"), "fleet", *arguments, "--folder", str(self.folder)]

    def up(self, *arguments: str) -> None:
        log = open(self.root / "log", "ab")  # noqa: SIM115  # of the process
        command = self.command("up", str(self.write()), *arguments)
        self.process = subprocess.Popen(command, stderr=log, stdout=log, cwd=self.root, env=self.environment)

    def run(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(self.command(*arguments), capture_output=True, text=True, timeout=PATIENCE)

    @property
    def status(self) -> FleetStatus | None:
        try:
            return knock(self.folder, Wish("status")).status
        except FleetError:
            return None

    @property
    def shards(self) -> dict[str, ShardStatus]:
        return {shard.shard: shard for shard in told.shards} if (told := self.status) else {}

    def all_up(self) -> dict[str, ShardStatus]:
        """Its shards, when all cameras send."""
        shards = self.shards
        up = {name for shard in shards.values() for name, camera in shard.cameras.items() if camera.up}
        return shards if up == {camera["name"] for camera in self.cameras} else {}

    def wait_until_up(self) -> dict[str, ShardStatus]:
        return wait_for(self.all_up, f"{len(self.cameras)} cameras that are up: {self.log}")

    @property
    def spares(self) -> set[int]:
        """Processes that wait to be a shard."""
        shards = {shard.pid for shard in self.shards.values()}
        mine = str(self.folder / "shards")
        found = [one for one in psutil.process_iter(["pid", "cmdline"]) if mine in " ".join(one.info["cmdline"] or ())]
        return {one.pid for one in found} - shards

    @property
    def log(self) -> str:
        logs = [self.root / "log", *self.folder.glob("shards/*/log")]
        return "\n".join(path.read_text()[-2000:] for path in logs if path.exists())

    def down(self) -> None:
        """End it, however it is, and all of its shards."""
        if self.process and self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.process.kill()
        from xpose_stream.stream.fleet.leases import Life

        for life in self.folder.glob("shards/*/life"):
            if pid := Life(life).pid:
                os.kill(pid, signal.SIGKILL)


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Ten minutes of people who cross, again and again, at 2 frames/s."""
    folder = tmp_path_factory.mktemp("fleet")
    return repeat(people(folder / "once.mp4", 2), folder / "people.mp4", 25)


def people(path: Path, rate: int) -> Path:
    """24 s of people who cross, 320x240."""
    with av.open(str(CLIP)) as source, av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=rate)
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        stream.options = {"preset": "veryfast", "bf": "0", "g": "10"}
        for number, picture in enumerate(source.decode(video=0)):
            if number % (30 // rate) == 0:
                frame = picture.reformat(320, 240)
                frame.pts, frame.time_base = number // (30 // rate), Fraction(1, rate)
                container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


@pytest.fixture
def fleet(tmp_path: Path, clip: Path) -> Iterator[Running]:
    """A site of three cameras and two shards, not yet up."""
    running = Running(tmp_path, clip)
    yield running
    running.down()
