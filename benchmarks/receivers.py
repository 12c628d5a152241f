"""Whether everybody who listens to a run gets every message: two minutes of the demo, as a camera would send it.

python -m benchmarks.receivers [--minutes 2]

A Python subscriber, an asynchronous one, the example in C++, an OSC and an LSL receiver, each a process of its own, and
a recording, which says what there was. The C++ example is compiled (cppzmq-dev, libmsgpack-cxx-dev).
"""

from __future__ import annotations

import argparse
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import av
import numpy as np
import pyarrow.parquet as pq

ROOT = Path(__file__).parents[1]
DEMO = ROOT / "configs" / "demo" / "crossing.mp4"
CPP = ROOT / "docs" / "examples" / "listen.cpp"
SYNC = """
import sys
from xpose_stream.stream.client import Subscriber
for message in Subscriber(sys.argv[1]):
    print(message.frame, flush=True)
"""
ASYNC = """
import asyncio, sys
from xpose_stream.stream.client import Subscriber
async def listen():
    async for message in Subscriber(sys.argv[1]):
        print(message.frame, flush=True)
asyncio.run(listen())
"""
OSC = """
import socket
from pythonosc.osc_bundle import OscBundle
listening = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
listening.bind(("127.0.0.1", 0))
print(listening.getsockname()[1], flush=True)
while True:
    for message in OscBundle(listening.recv(65536)):
        if message.address.endswith("/frame"):
            print(message.params[0], flush=True)
"""
LSL = """
import time
import pylsl
[samples] = pylsl.resolve_byprop("name", "xpose demo", timeout=300)
inlet = pylsl.StreamInlet(samples)
while True:
    sample, at = inlet.pull_sample()
    print(at + time.time() - pylsl.local_clock(), flush=True)
"""


def repeated(clip: Path, path: Path, times: int) -> None:
    """Write the clip `times` times in a row."""
    with av.open(str(path), "w") as copy:
        end, stream = 0, None
        for _ in range(times):
            with av.open(str(clip)) as source:
                video, start = source.streams.video[0], end
                stream = stream or copy.add_stream_from_template(video)
                for packet in source.demux(video):
                    if packet.dts is None or packet.pts is None:
                        continue
                    packet.pts, packet.dts, packet.stream = packet.pts + start, packet.dts + start, stream
                    end = max(end, packet.pts + (packet.duration or 0))
                    copy.mux(packet)


def compiled(folder: Path) -> Path:
    """The C++ example, by the command that it names."""
    [command] = re.findall(r"^// (g\+\+ .*?)  ", CPP.read_text(), re.MULTILINE)
    program = folder / "listen"
    subprocess.run(command.replace("listen.cpp", str(CPP)).replace("-o listen", f"-o {program}").split(), check=True)
    return program


def started(*command: object, out: Path) -> subprocess.Popen[bytes]:
    """A process that writes what it receives to a file, a line for each message."""
    with out.open("wb") as file:
        return subprocess.Popen([*map(str, command)], stdout=file, stderr=subprocess.DEVNULL)


def main() -> None:
    """Print how many messages there were and how many each receiver got."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--minutes", type=float, default=2.0)
    given = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        repeated(DEMO, folder / "demo.mp4", max(round(given.minutes * 60 / 24), 1))
        endpoint, python = f"ipc://{folder}/tracks", [sys.executable, "-c"]
        told = {each: folder / f"{each}.txt" for each in ("python", "asyncio", "c++", "osc", "lsl")}
        processes = [
            started(*python, SYNC, endpoint, out=told["python"]),
            started(*python, ASYNC, endpoint, out=told["asyncio"]),
            started(compiled(folder), endpoint, 1_000_000, out=told["c++"]),
            started(*python, OSC, out=told["osc"]),
            started(*python, LSL, out=told["lsl"]),
        ]
        while not told["osc"].read_text().endswith("\n"):
            time.sleep(0.1)
        time.sleep(3)  # until those in Python have subscribed
        port = told["osc"].read_text().strip()
        run = ["run", folder / "demo.mp4", "--realtime", "--no-page", "--publish", endpoint, "--camera", "demo"]
        run += ["--osc", f"127.0.0.1:{port}", "--lsl", 4, "--record", folder / "t.parquet"]
        with (folder / "run.txt").open("wb") as log:
            subprocess.run([sys.executable, "run_stream.py", *map(str, run)], check=True, cwd=ROOT, stdout=log)
        time.sleep(5)
        for process in processes:
            process.kill()
            process.wait()
        rows = pq.read_table(folder / "t.parquet", columns=["frame", "published_at", "latency_ms"])
        report = (folder / "run.txt").read_text().splitlines()[-1]
        texts = {each: path.read_text() for each, path in told.items()}
    frames = rows["frame"].to_numpy()
    taken = rows["published_at"].to_numpy() - rows["latency_ms"].to_numpy() / 1e3
    numbers = {each: [int(each) for each in re.findall(pattern, texts[each])] for each, pattern in _FRAME.items()}
    figures = {each: _figures(np.array(got), frames) for each, got in numbers.items()}
    figures["lsl"] = _figures(_nearest(np.array(list(map(float, texts["lsl"].split()))), taken, frames), frames)
    print(json.dumps({"messages": len(np.unique(frames))} | figures | {"load": os.getloadavg()[0], "run": report}))


# The number of a frame in a line of each.
_FRAME = {"python": r"(?m)^(\d+)$", "asyncio": r"(?m)^(\d+)$", "c++": r"(?m)^demo (\d+):", "osc": r"(?m)(?<=\n)(\d+)$"}


def _figures(received: np.ndarray, frames: np.ndarray) -> dict[str, int]:
    """What came, and what did not from when the receiver had found the stream."""
    expected = np.unique(frames[frames >= received[0]]) if len(received) else frames
    missed = len(np.setdiff1d(expected, received))
    before = len(np.unique(frames)) - len(expected)
    return {"received": len(received), "before it had found the stream": before, "missed": missed}


def _nearest(stamps: np.ndarray, taken: np.ndarray, frames: np.ndarray) -> np.ndarray:
    """The frame that was taken at each time, s."""
    taken, first = np.unique(taken, return_index=True)
    return np.asarray(frames[first[np.abs(taken[:, None] - stamps).argmin(0)]])


if __name__ == "__main__":
    main()
