"""A camera killed and restarted again and again: how soon frames come again, how soon a stall is noticed, what leaks.

python benchmarks/recovery.py [cycles]
"""

from __future__ import annotations

import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import psutil
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.conftest import RtspServer
from tests.stream.rig import Rig
from tests.stream.spot import repeat, write_spot_clip

WARM_UP = 5  # cycles


def main(cycles: int) -> None:
    """Print the table."""
    process = psutil.Process()
    back: list[float] = []
    noticed: list[float] = []
    usage: list[tuple[int, int, int]] = []
    with tempfile.TemporaryDirectory() as folder:
        clip = repeat(write_spot_clip(Path(folder) / "one.mp4", 12), Path(folder) / "clip.mp4", 10)
        server = RtspServer(clip)
        with Rig({"camera": server.url}) as rig:
            for cycle in range(cycles):
                rig.wait_for_more("camera", 10)
                server.kill()
                rig.wait(lambda: rig.camera("camera").state == "lost")
                time.sleep(0.5 + 0.1 * (cycle % 10))
                server = RtspServer(clip, port=server.port)
                answers = time.monotonic()
                back.append(rig.wait_for_more("camera") - answers)
                usage.append((threading.active_count(), process.num_fds(), process.memory_info().rss))
            for _ in range(3):
                rig.wait_for_more("camera", 10)
                server.stall()
                stalled = time.monotonic()
                lost = rig.wait(lambda: rig.camera("camera").state in ("stalled", "lost"))
                noticed.append(lost - stalled)
                server.resume()
        server.kill()
        ledger = rig.pipeline.ledgers["camera"]
    warm, end = usage[min(WARM_UP, cycles - 1)], usage[-1]
    table = Table(title=f"{cycles} kills and restarts, 320x240 at 15 frames/s", show_header=False)
    table.add_row(
        "first frame published after the server answers", f"{np.median(back):.2f} s, at most {max(back):.2f} s"
    )
    table.add_row("stall noticed after", f"{np.median(noticed):.2f} s, at most {max(noticed):.2f} s")
    table.add_row("received / published / dropped", f"{ledger.received} / {ledger.published} / {dict(ledger.dropped)}")
    table.add_row(f"threads after cycle {WARM_UP} and at the end", f"{warm[0]} and {end[0]}")
    table.add_row(f"descriptors after cycle {WARM_UP} and at the end", f"{warm[1]} and {end[1]}")
    table.add_row(f"RSS growth after cycle {WARM_UP}", f"{(end[2] - warm[2]) / 2**20:.2f} MB")
    Console().print(table)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20)
