"""Four cameras for ten minutes, one of which is killed and restarted each minute: does memory or latency creep?

python benchmarks/soak.py [seconds] [--record]    after five minutes of warm-up, or half as long as it is measured

--record: each is recorded, in a file a minute, so that what waits to be written is as much at each full minute.
"""

from __future__ import annotations

import argparse
import ctypes
import gc
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import numpy as np
import psutil
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.conftest import RtspServer
from tests.stream.rig import Rig
from tests.stream.spot import repeat, write_spot_clip
from xpose_stream.stream.heap import share_arenas
from xpose_stream.stream.sinks.series import Rotation, Series

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


@contextmanager
def recorded(folder: Path, camera: str) -> Iterator[Callable[..., None]]:
    """A recording that goes on in another file each minute."""
    with Series(str(folder / "{camera}-{time}.parquet"), camera, rotation=Rotation(seconds=60)) as recording:
        yield lambda frame, message: recording.write(message)


def frames_in(folder: Path, camera: str) -> int:
    """Of all recordings of a camera."""
    files = folder.glob(f"{camera}-*.parquet")
    return sum(len(pq.read_table(file, columns=["sequence"])["sequence"].unique()) for file in files)


def main(seconds: float, record: bool) -> None:
    """Print slopes with their standard errors, and the ledgers."""
    share_arenas()  # as `run` does
    torch.set_num_threads(1)  # with more, each small operation waits for threads that a busy machine does not run
    process = psutil.Process()
    warm_up = min(WARM_UP, seconds / 2)
    total = round(warm_up + seconds)
    samples = np.full((total, 6), np.nan)  # s, bytes resident, in use by malloc and by Arrow, descriptors, threads
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

            files = Path(folder) / "recordings"
            files.mkdir()
            with Rig(urls, watcher=note, sink=partial(recorded, files) if record else None) as rig:
                begun = time.monotonic()
                for second in track(range(total), "soaking"):
                    time.sleep(max(0, begun + second + 1 - time.monotonic()))
                    for seen in rig.seen.values():  # the rig keeps messages; the pipeline does not
                        seen.clear()
                    if second % 60 == 30:
                        unsteady.kill()
                        unsteady = RtspServer(clip, port=unsteady.port)
                    gc.collect()
                    memory = process.memory_info().rss, in_use(), pa.total_allocated_bytes()
                    usage = *memory, process.num_fds(), threading.active_count()
                    samples[second] = time.monotonic() - begun, *usage
                    rig.engine.batches.clear()
                reconnects = rig.camera("unsteady").reader.reconnects
            unsteady.kill()
        written = {name: frames_in(files, name) for name in urls}
    kept = samples[samples[:, 0] > warm_up]
    delays = latencies[:noted] - (begun, 0)
    delays = delays[delays[:, 0] > warm_up]
    title = f"{seconds:g} s after {warm_up:g} s, 4 cameras{', recorded' * record}, {reconnects} reconnects"
    table = Table("", "slope per minute", "first and last", title=title)
    rows = [(1, "resident memory", drift), (1, "… least squares", slope), (2, "handed out by malloc", slope)]
    rows += [(3, "… by Arrow", drift)] if record else []
    for column, name, trend in rows:
        megabytes = kept[:, column] / 2**20
        rise, error = trend(kept[:, 0], megabytes)
        table.add_row(name, f"{rise:+.3f} ± {error:.3f} MB", f"{megabytes[0]:.2f}, {megabytes[-1]:.2f} MB")
    rise, error = slope(delays[:, 0], delays[:, 1])
    p99 = [np.percentile(part, 99) for part in np.array_split(delays[:, 1], 9)]
    table.add_row("latency, mean", f"{rise:+.3f} ± {error:.3f} ms", f"p99 {p99[0]:.1f}, {p99[-1]:.1f} ms")
    table.add_row("descriptors", "", f"{kept[0, 4]:.0f}, {kept[-1, 4]:.0f}")
    table.add_row("threads", "", f"{kept[0, 5]:.0f}, {kept[-1, 5]:.0f}")
    for name, ledger in rig.pipeline.ledgers.items():
        counts = f"{ledger.received} = {ledger.published} + {ledger.dropped.total()} {dict(ledger.dropped)}"
        exact = ledger.balanced and (not record or written[name] == ledger.published)
        counts += f", {written[name]} recorded" if record else ""
        table.add_row(f"ledger of {name}", "exact" if exact else "WRONG", counts)
    Console().print(table)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("seconds", type=float, nargs="?", default=600)
    parser.add_argument("--record", action="store_true")
    asked = parser.parse_args()
    main(asked.seconds, asked.record)
