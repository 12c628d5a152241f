"""500 photographs in 300 sizes: time per picture by that of one size, and memory.

python -m benchmarks.photographs [--count 500] [--sizes 300]      (an empty cache of engines)
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

import av
import cv2
import numpy as np
import psutil
from rich.console import Console
from rich.table import Table

from xpose_stream.stream.prepare import CLIP

ROOT = Path(__file__).parents[1]


def write(folder: Path, count: int, sizes: int) -> None:
    """Frames of the demo clip as JPEGs of about half a megapixel, in so many sizes, upright and across."""
    folder.mkdir()
    with av.open(str(CLIP)) as container:
        frames = [frame.to_ndarray(format="bgr24") for frame in container.decode(video=0)]
    rng = np.random.default_rng(0)
    shapes = [(640, 480)] if sizes == 1 else [_shape(rng) for _ in range(sizes)]
    for number in range(count):
        picture = cv2.resize(frames[number * 7 % len(frames)], shapes[number % sizes])
        cv2.imwrite(str(folder / f"{number:04}.jpg"), picture)


def _shape(rng: np.random.Generator) -> tuple[int, int]:
    aspect = float(np.exp(rng.uniform(-0.6, 0.6)))
    width = round((307_200 * aspect) ** 0.5) + int(rng.integers(-40, 40))
    return width, round(width / aspect)


def run(folder: Path, cache: Path) -> tuple[float, float, float, int]:
    """s from the start to the first picture and to the end as the report tells them, MB at most, and pictures."""
    command = [sys.executable, str(ROOT / "run_stream.py"), "run", str(folder), "--no-page"]
    command += ["--record", str(folder.parent / f"{folder.name}.parquet")]
    begun = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=os.environ | {"XPOSE_CACHE": str(cache)})
    most = 0.0
    over = threading.Event()

    def watch() -> None:
        nonlocal most
        seen = psutil.Process(process.pid)
        while not over.wait(0.1):
            try:
                most = max(most, seen.memory_info().rss / 1e6)
            except psutil.NoSuchProcess:
                return

    threading.Thread(target=watch, daemon=True).start()
    first = last = 0.0
    assert process.stdout
    for line in process.stdout:
        told = json.loads(line)
        if not first and told.get("state") == "playing":
            first = time.monotonic() - begun
        if told["event"] == "end":
            last = time.monotonic() - begun
    process.wait()  # engines that are being built are finished
    over.set()
    return first, last, most, sum(1 for _ in folder.iterdir())


def main() -> None:
    """Print both, each with an empty cache of engines and again."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--sizes", type=int, default=300)
    asked = parser.parse_args()
    table = Table("sizes", "engines", "from start to end", "per picture, from the first", "memory at most, MB")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for sizes in (1, asked.sizes):
            write(folder / str(sizes), asked.count, sizes)
            for engines in ("to build", "there"):
                first, last, most, count = run(folder / str(sizes), folder / f"cache{sizes}")
                each = (last - first) / (count - 1) * 1e3
                table.add_row(str(sizes), engines, f"{last:.1f} s", f"{each:.1f} ms", f"{most:.0f}")
                print(sizes, engines, f"{last:.1f} s, {each:.1f} ms per picture, {most:.0f} MB", flush=True)
            built = len(list((folder / f"cache{sizes}").rglob("*")))
            table.add_row("", f"{built} files in the cache", "", "", "")
    Console().print(table)


if __name__ == "__main__":
    main()
