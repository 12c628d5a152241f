"""Memory and time of `show`, `smooth` and every export over the length of a recording of eight cameras.

python -m benchmarks.exports [--hours 24] [--rate 15] [--track 600] [--jitter 0.002] [--only csv,trc] [--parts 0.5,1]

Each in a process of its own, for these parts of the hours. Every camera has a person of 17 keypoints, another after
--track seconds, and nobody for a fiftieth of that before. Frames come --jitter seconds off their time, as by the clock
of arrival. One keypoint in ten is predicted and not measured. Row groups are those of the recorder. --folder keeps the
recordings for the next time. Seconds are those of the clock and of the processor; other work on the machine changes the
latter little.
"""

from __future__ import annotations

import argparse
import itertools
import json
import multiprocessing
import os
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from xpose_stream.stream.recordings.export.formats import FORMATS
from xpose_stream.stream.sinks.columns import SCHEMA
from xpose_stream.stream.sinks.table import Table

CAMERAS, KEYPOINTS = 8, 17
READERS = Path(sys.prefix) / "readers"  # where the tests have sleap-io
BLOCK = 1 << 15  # rows; places repeat after it
AWAY = 0.02  # of the time


def simulate(path: Path, hours: float, rate: float, lasts: float, jitter: float) -> None:
    """Write a recording."""
    names = [f"keypoint_{place}" for place in range(KEYPOINTS)]
    category = {"id": 0, "name": "person", "keypoints": names, "edges": [[k, k + 1] for k in range(KEYPOINTS - 1)]}
    metadata = {"prompts": json.dumps([{"name": "person", "version": 1, "categories": [category]}])}
    rows, chance = round(hours * 3600 * rate) * CAMERAS, np.random.default_rng(0)
    table, same = Table(path, SCHEMA), _same(chance)
    for start in range(0, rows, BLOCK):
        number = np.arange(start, min(start + BLOCK, rows))
        seconds = number // CAMERAS / rate + chance.uniform(-jitter, jitter, len(number))
        for batch in _rows(number, seconds.clip(0), lasts, same).to_batches():
            table.write(batch, metadata)
    table.finish()


def _same(chance: np.random.Generator) -> dict[str, pa.Array]:
    """The columns that are the same in every block."""
    turn = 2 * np.pi * (np.arange(BLOCK) // CAMERAS)[:, None] / (BLOCK / CAMERAS)
    place = np.arange(KEYPOINTS)
    x, y = 320 + 200 * np.sin(8 * turn) + 5 * place, 240 + 40 * np.cos(32 * turn + place)
    texts = {"clock": "arrival", "prompt": "person", "category": "person", "status": "confirmed"}
    numbers = {"width": 640, "height": 480, "prompt_version": 1, "category_id": 0, "epoch": 0, "clock_uncertainty": 0.1}
    columns = {name: pa.array([value] * BLOCK, SCHEMA.field(name).type) for name, value in (texts | numbers).items()}
    columns["camera"] = pa.array([f"camera{number % CAMERAS}" for number in range(BLOCK)])
    for name, side in {"box_x0": x[:, 0], "box_x1": x[:, -1], "box_y0": y.min(1), "box_y1": y.max(1)}.items():
        columns[name] = pa.array(side.astype(np.float32))
    seen = chance.random(x.shape) > 0.1
    for name in ("score", "latency_ms"):
        columns[name] = pa.array(chance.random(BLOCK, np.float32))
    for field in SCHEMA:
        if pa.types.is_list(field.type):
            centre = {"keypoint_x": x, "measured_x": x, "keypoint_y": y, "measured_y": y}.get(field.name, 0.5)
            values: Any = (centre + chance.uniform(-0.5, 0.5, x.shape)).astype(np.float32)
            if field.name == "keypoint_status":
                values = np.where(seen, "measured", "predicted").astype(object)
            hidden = ~seen.ravel() if field.name in ("measured_x", "measured_y", "keypoint_score") else None
            columns[field.name] = _lists(pa.array(values.ravel(), mask=hidden)).cast(field.type)
            if field.name.startswith("predicted"):
                columns[field.name] = pa.nulls(BLOCK, field.type)
    return columns


def _lists(flat: pa.Array) -> pa.Array:
    return pa.ListArray.from_arrays(pa.array(np.arange(0, len(flat) + 1, KEYPOINTS, dtype=np.int32)), flat)


def _rows(number: np.ndarray, seconds: np.ndarray, lasts: float, same: dict[str, pa.Array]) -> pa.Table:
    frames = number // CAMERAS
    since = seconds + number % CAMERAS * lasts / CAMERAS
    here = pa.array(since % lasts < lasts * (1 - AWAY))
    values = {"frame": frames, "sequence": frames, "pts": seconds, "captured_at": 1.7e9 + seconds}
    values |= {"published_at": 1.7e9 + seconds + 0.03, "track_id": (since // lasts).astype(np.int64) + 1}
    values |= {"age": since % lasts}
    columns, of_track = [], False
    for field in SCHEMA:
        of_track |= field.name == "track_id"
        column = values[field.name] if field.name in values else same.get(field.name, pa.nulls(BLOCK, field.type))
        column = pa.array(column, field.type) if isinstance(column, np.ndarray) else column.slice(0, len(number))
        columns.append(pc.if_else(here, column, pa.scalar(None, field.type)) if of_track else column)
    return pa.Table.from_arrays(columns, schema=SCHEMA)


def measure(name: str, recording: Path) -> dict[str, float]:
    """s of the clock and of the processor, the most memory of a process that does it, and what it writes, MB."""
    out = recording.with_name(f"out.{name}")
    command = ["export", recording, "--to", name, "--out", out, "--metres-per-pixel", "0.01"]
    command = {"show": ["show", recording], "smooth": ["smooth", recording, "--out", out]}.get(name, command)
    path = os.pathsep.join([str(Path.cwd()), str(READERS)]) if name == "sleap" else str(Path.cwd())
    how: dict[str, Any] = {"stdout": subprocess.DEVNULL, "env": os.environ | {"PYTHONPATH": path}}
    begun = time.monotonic()
    process = subprocess.Popen([sys.executable, "run_stream.py", *map(str, command)], **how)
    _, status, used = os.wait4(process.pid, 0)
    took = time.monotonic() - begun
    files = [file for file in [out, *out.rglob("*")] if file.is_file()]
    size = sum(file.stat().st_size for file in files)
    for beside in recording.parent.glob(f"{out.name}*"):
        shutil.rmtree(beside) if beside.is_dir() else beside.unlink()
    if status:
        raise SystemExit(f"{name} failed")
    memory, processor = used.ru_maxrss / 1e3, used.ru_utime + used.ru_stime
    return {"clock": took, "processor": processor, "memory": memory, "files": len(files), "written": size / 1e6}


def main() -> None:
    """Print a row for each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hours", type=float, default=1.0)
    parser.add_argument("--rate", type=float, default=15.0, help="frames/s of each camera")
    parser.add_argument("--track", type=float, default=600.0, help="s that a track lasts")
    parser.add_argument("--jitter", type=float, default=2e-3, help="s by which a frame is off its time")
    parser.add_argument("--only", default=",".join(["show", "smooth", *(name for name in FORMATS if name != "mp4")]))
    parser.add_argument("--parts", default="0.5,1", help="of the hours")
    parser.add_argument("--folder", type=Path, help="where there is room; recordings stay there")
    wanted = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        paths = []
        for hours in (wanted.hours * float(part) for part in wanted.parts.split(",")):
            how = hours, wanted.rate, wanted.track, wanted.jitter
            paths.append((wanted.folder or Path(folder)) / f"{'-'.join(f'{each:g}' for each in how)}.parquet")
            if not paths[-1].exists():  # a child is said to take the memory that its parent had when it began
                process = multiprocessing.get_context("spawn").Process(target=simulate, args=(paths[-1], *how))
                process.start()
                process.join()
        print(f"| {wanted} | clock, s | processor, s | memory, MB | files | written, MB |", flush=True)
        for name in wanted.only.split(","):
            told = [measure(name, path) for path in paths]
            texts = [" / ".join(f"{each[key]:.0f}" for each in told) for key in told[0]]
            times = " / ".join(f"{b['processor'] / a['processor']:.2f}" for a, b in itertools.pairwise(told)) or "–"
            print(f"| {name} | {' | '.join(texts)} | x {times} |", flush=True)


if __name__ == "__main__":
    main()
