"""A camera at 30 frames/s and an engine that takes four frame intervals: latency must not grow, frames are dropped.

python benchmarks/overload.py [seconds]
"""

from __future__ import annotations

import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.conftest import RtspServer
from tests.stream.rig import Rig
from tests.stream.spot import repeat, write_spot_clip

RATE = 30
ENGINE = 4 / RATE  # s
WINDOW = 10.0  # s


def main(seconds: float) -> None:
    """Print p50 and p99 of arrival -> publish and, by the sender's clock, capture -> publish for each 10 s."""
    with tempfile.TemporaryDirectory() as folder:
        short = write_spot_clip(Path(folder) / "one.mp4", 12, rate=RATE)
        clip = repeat(short, Path(folder) / "clip.mp4", round(seconds / 12) + 2)
        with RtspServer(clip) as server, Rig({"camera": server.url}, pause=ENGINE) as rig:
            rig.wait(lambda: rig.seen["camera"] and rig.seen["camera"][-1].message.clock == "sender")
            begun = time.monotonic()
            time.sleep(seconds)
        seen = [one for one in rig.seen["camera"] if begun < one.at < begun + seconds]
        ledger = rig.pipeline.ledgers["camera"]
    bound = 2 * ENGINE + 1 / RATE
    table = Table(
        "s", "arrival to publish p50 / p99 ms", "capture to publish p50 / p99 ms", title=f"bound {bound * 1e3:.0f} ms"
    )
    windows = np.arange(0, seconds, WINDOW)
    for start in [None, *windows]:
        chosen = [one for one in seen if start is None or start <= one.at - begun < start + WINDOW]
        arrival = np.percentile([one.message.latency_ms for one in chosen], (50, 99))
        capture = np.percentile([(m.published_at - m.captured_at) * 1e3 for m, _, _ in chosen], (50, 99))
        name = "all" if start is None else f"{start:.0f} to {start + WINDOW:.0f}"
        table.add_row(name, f"{arrival[0]:.0f} / {arrival[1]:.0f}", f"{capture[0]:.0f} / {capture[1]:.0f}")
    Console().print(table)
    at = np.array([one.at - begun for one in seen])
    latency = np.array([one.message.latency_ms for one in seen])
    slope = np.polyfit(at, latency, 1)[0] * 60
    print(
        f"received {ledger.received} = published {ledger.published} + dropped {dict(ledger.dropped)}: {ledger.balanced}"
    )
    print(f"slope of the latency: {slope:+.2f} ms per minute")


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 60)
