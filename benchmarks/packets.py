"""Thousands of damaged RTP packets of a live camera, seen by a whole pipeline in a process of its own.

python benchmarks/packets.py [number]      for files: corruption.py
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.progress import track
from rich.table import Table

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from tests.conftest import RtspServer  # noqa: E402
from tests.stream.damage import KINDS, Damage  # noqa: E402
from tests.stream.proxy import Proxy  # noqa: E402
from tests.stream.spot import repeat, write_spot_clip  # noqa: E402

SHARE = 0.2  # of the packets are damaged while a kind of damage lasts
PATIENCE = 60.0  # s without a frame before the pipeline counts as hung

# Runs the camera and answers each line of its standard input with what happened so far; its end checks the ledger.
PIPELINE = """
import json, sys
from tests.stream.rig import Rig
with Rig({"camera": sys.argv[1]}) as rig:
    camera = rig.camera("camera")
    for _ in sys.stdin:
        print(json.dumps([camera.ledger.received, camera.reader.corrupt, camera.reader.reconnects]), flush=True)
"""


class Counts(NamedTuple):
    """Frames decoded, damage counted, and times it was opened anew."""

    frames: int
    corrupt: int
    reconnects: int


class Pipeline:
    """The process that reads the camera at `url`; raises SystemExit in one sentence when it dies or hangs."""

    def __init__(self, url: str) -> None:
        command = [sys.executable, "-c", PIPELINE, url]
        pipe = subprocess.PIPE
        self._said = tempfile.TemporaryFile("w+")  # nobody would read a pipe  # noqa: SIM115
        self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=self._said, text=True, cwd=ROOT)

    def counts(self) -> Counts:
        """So far."""
        assert self._process.stdin and self._process.stdout
        try:
            print(file=self._process.stdin, flush=True)
        except BrokenPipeError:
            line = ""
        else:
            line = self._process.stdout.readline()
        if not line:
            raise SystemExit(f"CRASHED: {self.close()}")
        return Counts(*json.loads(line))

    def wait_for_more(self, frames: int) -> Counts:
        """Ask until so many frames more have come."""
        latest = self.counts()
        wanted, seen = latest.frames + frames, time.monotonic()
        while latest.frames < wanted:
            time.sleep(0.01)
            if (counts := self.counts()).frames > latest.frames:
                latest, seen = counts, time.monotonic()
            if time.monotonic() - seen > PATIENCE:
                self._process.kill()
                raise SystemExit(f"HUNG: no frame for {PATIENCE:g} s after {latest}")
        return latest

    def close(self) -> str:
        """End it; returns how it ended, if not well, and what it said on its standard error."""
        self._process.communicate()
        self._said.seek(0)
        said = self._said.read()
        return f"{f'exit code {code} ' if (code := self._process.returncode) else ''}{said}".strip()


def main(number: int) -> None:
    """Print the table."""
    begun = time.monotonic()
    kinds = list(KINDS)
    table = Table("", "packets", "frames meanwhile", "damage counted", "opened anew", "15 frames after")
    with tempfile.TemporaryDirectory() as folder:
        short = write_spot_clip(Path(folder) / "one.mp4", 12, size=(640, 360), rate=30)
        clip = repeat(short, Path(folder) / "clip.mp4", max(10, number // 10))
        with RtspServer(clip) as server, Proxy(server.port) as proxy:
            pipeline = Pipeline(proxy.url)
            first = before = pipeline.wait_for_more(15)
            done = 0
            for kind in track(kinds, "damaging"):
                damage = Damage(kind, SHARE, -(-number // len(kinds)))
                proxy.damage = damage
                while damage.done < damage.most:
                    pipeline.wait_for_more(1)
                proxy.damage, over = None, time.monotonic()
                healed = pipeline.wait_for_more(15)
                took = time.monotonic() - over
                done += damage.done
                rise = [str(b - a) for a, b in zip(before, healed, strict=True)]
                table.add_row(kind, str(damage.done), *rise, f"{took:.2f} s")
                before = healed
            rise = [str(b - a) for a, b in zip(first, before, strict=True)]
            table.add_row("all", str(done), *rise, "")
            said = pipeline.close()
    table.title = f"{done} damaged packets of a camera, 640x360 at 30 frames/s, in {time.monotonic() - begun:.0f} s"
    Console(width=110).print(table)
    print(said or "no crash, no hang, nothing said, ledger exact")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 2000)
