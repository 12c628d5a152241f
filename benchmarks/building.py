"""Another prompt for a camera that is running: how many of its frames are kept while the engine for it is built?

python -m benchmarks.building      (a real RTSP server at 30 frames/s; an empty cache, so that every engine is built)
"""

from __future__ import annotations

import os
import tempfile
import threading
import time
from itertools import pairwise
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.conftest import RtspServer
from tests.stream.spot import repeat
from xpose_stream.stream.control import ask
from xpose_stream.stream.heap import share_arenas
from xpose_stream.stream.prepare import CLIP
from xpose_stream.stream.session import Session
from xpose_stream.stream.sinks.messages import TracksMessage
from xpose_stream.stream.site import Site
from xpose_stream.stream.sources.frame import Frame
from xpose_stream.stream.stop import Stop

RATE = 30.0  # frames per s of the clip
BEFORE = 10.0  # s
PROMPTS = "hand", "person, hand"  # each of another shape than all before it


def main() -> None:
    """Print the share of frames that were published before, during and after each build."""
    seen: list[tuple[float, int, float]] = []  # host's s, epoch, media s

    def note(frame: Frame, message: TracksMessage) -> None:
        seen.append((time.monotonic(), message.epoch, message.pts))

    with tempfile.TemporaryDirectory() as folder:
        os.environ["XPOSE_CACHE"] = folder
        clip, control = repeat(CLIP, Path(folder) / "clip.mp4", 15), f"ipc://{folder}/control"
        stop, rows = Stop(), []
        with RtspServer(clip) as server:
            session = Session(Site.of(server.url, control=control, prompt="person"), must_open=True, stop=stop)
            running = threading.Thread(target=lambda: session.run(note))
            running.start()
            while len(seen) < 100:
                time.sleep(0.1)
            time.sleep(25)  # until the first engine is ready
            for prompt in PROMPTS:
                begun = time.monotonic()
                time.sleep(BEFORE)
                asked = time.monotonic()
                ask(control, prompt)
                rows.append((prompt, begun, asked, time.monotonic()))
            stop.requested = True
            running.join()
    table = Table("asked for", "built in", "frames kept before", "while building", title=f"{RATE:g} frames/s over RTSP")
    for prompt, begun, asked, answered in rows:
        built = f"{answered - asked:.1f} s"
        table.add_row(prompt, built, f"{kept(seen, begun, asked):.0%}", f"{kept(seen, asked, answered):.0%}")
    Console().print(table)
    print(f"load of the machine: {os.getloadavg()[0]:.1f}")
    print(f"opened anew: {seen[-1][1]} times; longest gap {max(b[2] - a[2] for a, b in pairwise(seen)):.2f} s")


def kept(seen: list[tuple[float, int, float]], start: float, end: float) -> float:
    """Share of the camera's frames in that time that were published."""
    return sum(start <= at < end for at, *_ in seen) / (RATE * (end - start))


if __name__ == "__main__":
    share_arenas()
    main()
