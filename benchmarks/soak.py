"""Four cameras for ten minutes, one of which is killed and restarted each minute: does memory or latency creep?

python benchmarks/soak.py [seconds]        after five minutes of warm-up, or half as long as it is to be measured
"""

from __future__ import annotations

import ctypes
import gc
import sys
import tempfile
import threading
import time
from pathlib import Path

import numpy as np
import psutil
import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[1]))

from stream.heap import share_arenas
from tests.conftest import RtspServer
from tests.stream.rig import Rig
from tests.stream.spot import repeat, write_spot_clip

# s. The arenas of malloc grow, by ever rarer steps, to the most pictures that were ever in them at once.
WARM_UP = 300.0


def slope(at: np.ndarray, values: np.ndarray, blocks: int = 10) -> tuple[float, float]:
    """Least squares slope per minute over means of blocks, and its standard error: of what varies around a level."""
    parts = [part for part in np.array_split(np.arange(len(at)), blocks) if len(part)]
    x = np.array([at[part].mean() for part in parts]) / 60
    y = np.array([values[part].mean() for part in parts])
    (rise, _), covariance = np.polyfit(x, y, 1, cov=True)
    return float(rise), float(np.sqrt(covariance[0, 0]))


def drift(at: np.ndarray, values: np.ndarray, blocks: int = 10) -> tuple[float, float]:
    """Mean growth per minute from block to block, and its standard error: of what keeps each step that it takes.

    As resident memory does: its errors are not independent, and least squares would be sure of a trend after one step.
    """
    ends = np.linspace(0, len(at) - 1, blocks + 1).astype(int)
    growth = np.diff(values[ends]) / np.diff(at[ends]) * 60
    return float(growth.mean()), float(growth.std(ddof=1) / np.sqrt(blocks))


class _MallocUse(ctypes.Structure):
    """See mallinfo2(3); bytes."""

    _fields_ = [
        (name, ctypes.c_size_t)
        for name in (
            *("arena", "ordblks", "smblks", "hblks", "hblkhd"),
            *("usmblks", "fsmblks", "uordblks", "fordblks", "keepcost"),
        )
    ]


def in_use() -> int:
    """Bytes that malloc has handed out and not got back: what grows with a leak, whatever malloc keeps free beside."""
    libc = ctypes.CDLL(None)
    libc.mallinfo2.restype = _MallocUse
    use = libc.mallinfo2()
    return int(use.uordblks + use.hblkhd)


def main(seconds: float) -> None:
    """Print slopes with their standard errors, and the ledgers."""
    share_arenas()  # as `run` does
    torch.set_num_threads(1)  # with more, each small operation waits for threads that a busy machine does not run
    process = psutil.Process()
    warm_up = min(WARM_UP, seconds / 2)
    total = round(warm_up + seconds)
    samples = np.full((total, 5), np.nan)  # s, bytes resident, bytes in use, descriptors, threads
    latencies = np.full((1_000_000, 2), np.nan)  # s, ms; all of it now, so that it does not grow
    noted = 0
    with tempfile.TemporaryDirectory() as folder:
        short = write_spot_clip(Path(folder) / "one.mp4", 12)
        clip = repeat(short, Path(folder) / "clip.mp4", round((total + 60) / 12))
        with RtspServer(clip) as server:
            unsteady = RtspServer(clip)
            urls = {"a": server.url, "b": server.url, "c": server.url, "unsteady": unsteady.url}

            def note(frame: object, message: object) -> None:
                nonlocal noted
                latencies[noted] = time.monotonic(), message.latency_ms  # type: ignore[attr-defined]
                noted += 1

            with Rig(urls, watcher=note) as rig:
                begun = time.monotonic()
                for second in track(range(total), "soaking"):
                    time.sleep(max(0, begun + second + 1 - time.monotonic()))
                    for seen in rig.seen.values():  # the rig keeps messages; the pipeline does not
                        seen.clear()
                    if second % 60 == 30:
                        unsteady.kill()
                        unsteady = RtspServer(clip, port=unsteady.port)
                    gc.collect()
                    usage = (process.memory_info().rss, in_use(), process.num_fds(), threading.active_count())
                    samples[second] = time.monotonic() - begun, *usage
                    rig.engine.batches.clear()
                reconnects = rig.camera("unsteady").reader.reconnects
            unsteady.kill()
    kept = samples[samples[:, 0] > warm_up]
    delays = latencies[:noted] - (begun, 0)
    delays = delays[delays[:, 0] > warm_up]
    title = f"{seconds:g} s after {warm_up:g} s, 4 cameras, {reconnects} reconnects in all"
    table = Table("", "slope per minute", "first and last", title=title)
    rows = (1, "resident memory", drift), (1, "… least squares", slope), (2, "handed out by malloc", slope)
    for column, name, trend in rows:
        megabytes = kept[:, column] / 2**20
        rise, error = trend(kept[:, 0], megabytes)
        table.add_row(name, f"{rise:+.3f} ± {error:.3f} MB", f"{megabytes[0]:.2f}, {megabytes[-1]:.2f} MB")
    rise, error = slope(delays[:, 0], delays[:, 1])
    p99 = [np.percentile(part, 99) for part in np.array_split(delays[:, 1], 9)]
    table.add_row("latency, mean", f"{rise:+.3f} ± {error:.3f} ms", f"p99 {p99[0]:.1f}, {p99[-1]:.1f} ms")
    table.add_row("descriptors", "", f"{kept[0, 3]:.0f}, {kept[-1, 3]:.0f}")
    table.add_row("threads", "", f"{kept[0, 4]:.0f}, {kept[-1, 4]:.0f}")
    for name, ledger in rig.pipeline.ledgers.items():
        counts = f"{ledger.received} = {ledger.published} + {ledger.dropped.total()} {dict(ledger.dropped)}"
        table.add_row(f"ledger of {name}", "exact" if ledger.balanced else "WRONG", counts)
    Console().print(table)


if __name__ == "__main__":
    main(float(sys.argv[1]) if len(sys.argv) > 1 else 600)
