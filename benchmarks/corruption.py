"""Thousands of damaged files and packets: each is read, counted or refused with one sentence, in a process of its own.

python benchmarks/corruption.py [number]       the tests run a few hundred
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
from rich.console import Console
from rich.progress import track
from rich.table import Table

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from tests.stream.spot import write_spot_clip  # noqa: E402

PATIENCE = 60.0  # s for one file
CONTAINERS = ("mp4", "mkv", "ts", "avi", "flv", "h264", "mjpeg")

# Reads every file named on its standard input and answers with one line of JSON for each.
READER = """
import json, logging, sys, time
from xpose_stream.stream.sources import SourceError, open_source
logging.getLogger("xpose_stream").addHandler(logging.NullHandler())  # sentences of our own are welcome
for line in sys.stdin:
    begun, frames, refusal, corrupt = time.monotonic(), 0, "", 0
    try:
        with open_source(line.strip()) as source:
            try:
                for frame in source:
                    frames += 1
            finally:
                corrupt = source.corrupt
    except SourceError as error:
        refusal = str(error)
    print(json.dumps([frames, corrupt, refusal, time.monotonic() - begun]), flush=True)
"""


def seeds(folder: Path) -> list[bytes]:
    """One short clip in every container."""
    contents = []
    for kind in CONTAINERS[:-1]:
        clip = write_spot_clip(folder / f"seed.{kind}", 1, size=(96, 64), rate=8, key_every=4)
        contents.append(clip.read_bytes())
    with av.open(str(folder / "copy.mjpeg"), "w") as video:
        stream = video.add_stream("mjpeg", rate=8)
        stream.width, stream.height, stream.pix_fmt = 96, 64, "yuvj420p"
        for number in range(8):
            picture = np.full((64, 96, 3), 20 * number, np.uint8)
            video.mux(stream.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
        video.mux(stream.encode())
    return [*contents, (folder / "copy.mjpeg").read_bytes()]


def damaged(contents: list[bytes], number: int) -> Iterator[tuple[str, str, bytes]]:
    """(kind of damage, name ending, bytes), the same for every run."""
    random = np.random.default_rng(0)
    for index in range(number):
        place = index % len(contents)
        kind = ("flipped bits", "cut", "flipped and cut", "wrong container", "zeroed", "spliced")[index // 7 % 6]
        data = np.frombuffer(contents[place], np.uint8).copy()
        ending = CONTAINERS[place]
        if "flipped" in kind:
            where = random.integers(0, len(data), random.integers(1, 60))
            data[where] ^= (1 << random.integers(0, 8, len(where))).astype(np.uint8)
        if "cut" in kind:
            data = data[: random.integers(0, len(data))]
        if kind == "wrong container":
            ending = CONTAINERS[(place + random.integers(1, len(CONTAINERS))) % len(CONTAINERS)]
        if kind == "zeroed":
            start = random.integers(0, len(data))
            data[start : start + random.integers(1, 2000)] = 0
        if kind == "spliced":
            other = np.frombuffer(contents[random.integers(0, len(contents))], np.uint8)
            data = np.concatenate((data[: random.integers(0, len(data))], other[random.integers(0, len(other)) :]))
        yield kind, ending, data.tobytes()


class Reader:
    """The process that reads; a new one when it crashes or hangs."""

    def __init__(self) -> None:
        command = [sys.executable, "-c", READER]
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe, text=True, cwd=ROOT)

    def read(self, path: Path) -> tuple[int, int, str, float]:
        """Frames, broken packets, refusal and s; raises EOFError when the process died."""
        assert self._process.stdin and self._process.stdout
        print(path, file=self._process.stdin, flush=True)
        if not (line := self._process.stdout.readline()):
            raise EOFError
        frames, corrupt, refusal, took = json.loads(line)
        return frames, corrupt, refusal, took

    def close(self) -> str:
        """End it; returns what it said on its standard error."""
        _, said = self._process.communicate()
        return said


def attack(number: int) -> tuple[Counter[str], dict[str, Counter[str]], float]:
    """Outcomes in all and by kind of damage, and the longest time in s for one file."""
    total: Counter[str] = Counter()
    kinds: dict[str, Counter[str]] = {}
    longest = 0.0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        reader = Reader()
        for kind, ending, data in track(list(damaged(seeds(folder), number)), "reading", disable=number < 1000):
            path = folder / f"damaged.{ending}"
            path.write_bytes(data)
            try:
                frames, corrupt, refusal, took = reader.read(path)
            except EOFError:
                outcome = "CRASHED"
                reader = Reader()
            else:
                longest = max(longest, took)
                whole = "\n" not in refusal and "Traceback" not in refusal
                outcome = ("refused in a sentence" if whole else "BAD SENTENCE") if refusal else "read, damage counted"
                if not refusal and not corrupt:
                    outcome = "read, no damage found" if frames else "EMPTY WITHOUT A WORD"
                if took > PATIENCE:
                    outcome = "HUNG"
            total[outcome] += 1
            kinds.setdefault(kind, Counter())[outcome] += 1
        if said := reader.close():
            total[f"SAID {said[:200]}"] += 1
    return total, kinds, longest


def main(number: int) -> None:
    """Print the table."""
    begun = time.monotonic()
    total, kinds, longest = attack(number)
    table = Table(
        "", *total, title=f"{number} damaged files in {time.monotonic() - begun:.0f} s; longest {longest:.2f} s"
    )
    for kind, outcomes in (*kinds.items(), ("all", total)):
        table.add_row(kind, *(str(outcomes[outcome]) for outcome in total))
    Console(width=140).print(table)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 10_000)
