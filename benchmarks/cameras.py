"""Eight RTSP cameras of 640x360 at 15 frames/s: the whole pipeline against bare PyAV, interleaved; and with a sick one.

python benchmarks/cameras.py [rounds]
"""

from __future__ import annotations

import resource
import sys
import tempfile
import threading
import time
from pathlib import Path

import av
import numpy as np
import torch
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.conftest import RtspServer
from tests.stream.rig import Rig
from tests.stream.spot import repeat, write_spot_clip

CAMERAS, RATE, SECONDS = 8, 15, 12.0


def cpu() -> float:
    """s of this process."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    return usage.ru_utime + usage.ru_stime


def bare(urls: list[str]) -> tuple[list[float], float]:
    """Frames per s that PyAV decodes of each, one thread per camera, and ms of CPU per frame."""
    counts = [0] * len(urls)
    ready = threading.Barrier(len(urls) + 1)
    stop = threading.Event()

    def read(number: int) -> None:
        options = {"rtsp_transport": "tcp", "analyzeduration": "1", "fpsprobesize": "0"}
        with av.open(urls[number], options=options, timeout=(5, 2)) as container:
            container.streams.video[0].thread_type = "SLICE"
            frames = container.decode(video=0)
            next(frames)
            ready.wait()
            for _ in frames:
                counts[number] += 1
                if stop.is_set():
                    return

    threads = [threading.Thread(target=read, args=(number,)) for number in range(len(urls))]
    for thread in threads:
        thread.start()
    ready.wait()
    begun, used = time.monotonic(), cpu()
    time.sleep(SECONDS)
    stop.set()
    took, used, done = time.monotonic() - begun, cpu() - used, list(counts)
    for thread in threads:
        thread.join()
    return [count / took for count in done], used / sum(done) * 1e3


def whole(urls: list[str], sick: RtspServer | None = None) -> tuple[list[float], float, float]:
    """Published frames per s of each, ms of CPU per frame, p99 ms arrival to publish; `sick` stalls, it is the last."""
    sources = {f"cam{number}": url for number, url in enumerate(urls)}
    with Rig(sources) as rig:
        for name in sources:
            rig.wait(lambda name=name: rig.seen[name])  # type: ignore[misc]
        if sick:
            sick.stall()
        begun, used = time.monotonic(), cpu()
        time.sleep(SECONDS)
        took, used = time.monotonic() - begun, cpu() - used
        end = begun + took
        if sick:
            sick.resume()
    kept = {name: [one for one in seen if begun <= one.at < end] for name, seen in rig.seen.items()}
    healthy = list(sources)[: len(urls) - 1]
    latency = [one.message.latency_ms for name in healthy for one in kept[name]]
    total = sum(len(seen) for seen in kept.values())
    return [len(kept[name]) / took for name in sources], used / total * 1e3, float(np.percentile(latency, 99))


def main(rounds: int) -> None:
    """Print medians over the rounds."""
    torch.set_num_threads(1)  # with more, each small operation waits for threads that a busy machine does not run
    with tempfile.TemporaryDirectory() as folder:
        short = write_spot_clip(Path(folder) / "one.mp4", 12, size=(640, 360), rate=RATE)
        clip = repeat(short, Path(folder) / "clip.mp4", 10)
        rows: dict[str, list[tuple[float, float, float, float]]] = {"bare PyAV": [], "pipeline": [], "one sick": []}
        with RtspServer(clip) as server, RtspServer(clip) as eighth:
            urls = [server.url] * (CAMERAS - 1) + [eighth.url]
            for _ in range(rounds):
                rates, used = bare(urls)
                rows["bare PyAV"].append((sum(rates), min(rates), used, np.nan))
                rates, used, p99 = whole(urls)
                rows["pipeline"].append((sum(rates), min(rates), used, p99))
                rates, used, p99 = whole(urls, eighth)
                rows["one sick"].append((sum(rates[:-1]), min(rates[:-1]), used, p99))
    names = ("frames/s", "slowest camera", "of its frames", "CPU ms/frame", "p99 ms of the first 7")
    table = Table("", *names, title=f"{CAMERAS} cameras, medians of {rounds} rounds of {SECONDS:g} s")
    medians = {name: np.median(values, axis=0) for name, values in rows.items()}
    for name, (rate, slowest, used, p99) in medians.items():
        table.add_row(name, f"{rate:.1f}", f"{slowest:.2f}", f"{slowest / RATE:.1%}", f"{used:.2f}", f"{p99:.1f}")
    Console().print(table)
    ratio = np.median([p[0] / b[0] for p, b in zip(rows["pipeline"], rows["bare PyAV"], strict=True)])
    sick = np.median([s[3] / p[3] for s, p in zip(rows["one sick"], rows["pipeline"], strict=True)])
    print(f"pipeline / bare PyAV: {ratio:.3f}; p99 with a sick camera / without: {sick:.2f}")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
