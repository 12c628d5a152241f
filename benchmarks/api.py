"""What a loop over `xpose_stream.stream` costs beside a run that hands each message to a function.

Both follow the persons in the first two seconds of configs/demo/crossing.mp4, in turns; times are from the first
frame to the last, so that opening is not in them. CPU is that of the whole process, which a busy machine disturbs less.

python -m benchmarks.api [rounds]
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import av
from rich.console import Console
from rich.progress import track
from rich.table import Table

import xpose_stream as xs
from xpose_stream.stream.prepare import CLIP
from xpose_stream.stream.session import Session
from xpose_stream.stream.site import Site

SECONDS = 2
Moment = tuple[float, float]  # s on the wall's clock, s of CPU


def now() -> Moment:
    """This moment."""
    return time.perf_counter(), time.process_time()


def a_run(clip: str) -> list[Moment]:
    """`Session.run`, as the command does it."""
    moments: list[Moment] = []
    Session(Site.of(clip)).run(lambda frame, message: moments.append(now()))
    return moments


def a_loop(clip: str) -> list[Moment]:
    """The loop alone."""
    return [now() for _ in xs.stream(clip, "person")]


def a_loop_that_looks(clip: str) -> list[Moment]:
    """The loop that takes identities, keypoints and sigmas of each frame."""
    moments = []
    for _, tracks in xs.stream(clip, "person"):
        persons = tracks["person"]
        assert len(persons.ids) == len(persons.keypoints) == len(persons.sigmas)
        moments.append(now())
    return moments


WAYS: dict[str, Callable[[str], list[Moment]]] = {
    "Session.run": a_run,
    "xs.stream": a_loop,
    "xs.stream, looked at": a_loop_that_looks,
}


def beginning(path: Path) -> str:
    """The first seconds of the clip, copied without decoding."""
    with av.open(str(CLIP)) as source, av.open(str(path), "w") as copy:
        video = source.streams.video[0]
        stream = copy.add_stream_from_template(video)
        for packet in source.demux(video):
            if packet.dts is None or float((packet.pts or 0) * packet.time_base) >= SECONDS:
                break
            packet.stream = stream
            copy.mux(packet)
    return str(path)


def measured(rounds: int) -> dict[str, list[Moment]]:
    """Of every way and round, s per frame: wall and CPU."""
    found: dict[str, list[Moment]] = {name: [] for name in WAYS}
    with tempfile.TemporaryDirectory() as folder:
        clip = beginning(Path(folder) / "clip.mp4")
        a_loop(clip)  # what is compiled once
        for number in track(range(rounds), "rounds"):
            names = list(WAYS)
            for name in names[number % len(names) :] + names[: number % len(names)]:
                moments = WAYS[name](clip)
                (wall, cpu), (end, done) = moments[0], moments[-1]
                steps = len(moments) - 1
                found[name].append(((end - wall) / steps, (done - cpu) / steps))
    return found


def main(rounds: int) -> None:
    """Print medians, and the median of each round's ratio to its run."""
    found = measured(rounds)
    table = Table("", "wall ms per frame", "to Session.run", "CPU ms per frame", "to Session.run")
    for name, each in found.items():
        row = [name]
        for clock in range(2):
            own, base = ([moment[clock] for moment in moments] for moments in (each, found["Session.run"]))
            ratio = statistics.median(a / b for a, b in zip(own, base, strict=True))
            row += [f"{statistics.median(own) * 1e3:.2f}", f"{ratio:.3f}"]
        table.add_row(*row)
    table.title = f"{rounds} rounds of {SECONDS} s"
    Console().print(table)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20)
