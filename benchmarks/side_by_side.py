"""The same faulty camera seen by four readers at once: frames delivered, their age, and how soon they come back.

The camera (RTSP, 320x240 at 15 frames/s, its frame number painted into each picture) is killed for 3 s, stalls for 6 s,
and is restarted with its pictures in another size. Each reader has a consumer that takes 0.1 s per frame.

    ours      stream.sources.Reader and a Slot
    OpenCV    cv2.VideoCapture in a loop, opened anew when read() fails
    newest    a thread that reads cv2.VideoCapture and keeps the newest frame, opened anew when read() fails, as
              Ultralytics' LoadStreams does
    vidgear   CamGear with its thread, started anew when read() gives None

python benchmarks/side_by_side.py      needs `pip install vidgear`
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from tests.conftest import RtspServer  # noqa: E402

RATE, BITS, WORK = 15, 12, 0.1
# s at which things happen.
KILLED, BACK, STALLED, GOES_ON, RESIZED, END = 10.0, 13.0, 25.0, 31.0, 43.0, 58.0


def write_numbered(path: Path, seconds: float, size: tuple[int, int]) -> Path:
    """A clip whose frames show their number as bright and dark columns."""
    width, height = size
    with av.open(path, "w") as container:
        stream = container.add_stream("libx264", rate=RATE)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.options = {"preset": "veryfast", "bf": "0", "g": str(RATE)}
        for number in range(round(seconds * RATE)):
            picture = np.full((height, width, 3), 40, np.uint8)
            for bit in range(BITS):
                if number >> bit & 1:
                    picture[:, bit * width // BITS : (bit + 1) * width // BITS] = 220
            frame = av.VideoFrame.from_ndarray(picture, "rgb24")
            frame.pts, frame.time_base = number, Fraction(1, RATE)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def number_in(picture: np.ndarray) -> int:
    """The number that a picture shows."""
    columns = [part.mean() for part in np.array_split(picture[picture.shape[0] // 2].mean(axis=1), BITS)]
    return sum(1 << bit for bit, level in enumerate(columns) if level > 130)


def ours(url: str) -> Iterator[np.ndarray]:
    """Frames of this project."""
    from xpose_stream.stream.sources import Reader
    from xpose_stream.stream.sources.frame import Frame
    from xpose_stream.stream.sources.scheduler import Slot

    slot: Slot[Frame] = Slot()
    Reader(url, slot.put).start()
    while True:
        frame = slot.take()
        assert frame is not None
        yield frame.to_rgb()


def opencv(url: str) -> Iterator[np.ndarray]:
    """Frames of a loop around VideoCapture."""
    import cv2

    while True:
        capture = cv2.VideoCapture(url)
        while (got := capture.read())[0]:
            yield got[1]
        capture.release()


def newest(url: str) -> Iterator[np.ndarray]:
    """Frames of a thread around VideoCapture that keeps the newest."""
    import threading

    import cv2

    kept: list[np.ndarray | None] = [None]

    def read() -> None:
        capture = cv2.VideoCapture(url)
        while True:
            good, picture = capture.read()
            if good:
                kept[0] = picture
            else:
                capture.open(url)

    threading.Thread(target=read, daemon=True).start()
    while True:
        picture, kept[0] = kept[0], None
        if picture is None:
            time.sleep(0.002)
        else:
            yield picture


def vidgear(url: str) -> Iterator[np.ndarray]:
    """Frames of CamGear."""
    from vidgear.gears import CamGear

    while True:
        try:
            camera = CamGear(source=url, logging=False).start()
        except RuntimeError:
            continue
        while (picture := camera.read()) is not None:
            yield picture
        camera.stop()


READERS: dict[str, Callable[[str], Iterator[np.ndarray]]] = {
    "ours": ours,
    "OpenCV": opencv,
    "newest": newest,
    "vidgear": vidgear,
}


def consume(name: str, url: str) -> None:
    """Print (time, number, width) of every frame on a line of JSON."""
    for picture in READERS[name](url):
        print(json.dumps([time.time(), number_in(picture), picture.shape[1]]), flush=True)
        time.sleep(WORK)


def main() -> None:
    """Start all readers, let the faults happen, and print the table."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        clip = write_numbered(folder / "a.mp4", 90, (320, 240))
        larger = write_numbered(folder / "b.mp4", 90, (640, 360))
        server = RtspServer(clip, shared=True)
        files = {reader: folder / reader for reader in READERS}
        running = []
        for reader, path in files.items():
            with path.open("w") as out:
                command = [sys.executable, __file__, reader, server.url]
                running.append(subprocess.Popen(command, stdout=out, stderr=subprocess.DEVNULL))
        end = time.monotonic() + 60
        while any(path.stat().st_size == 0 for path in files.values()) and time.monotonic() < end:
            time.sleep(0.05)  # imports take a while
        begun, unix = time.monotonic(), time.time()
        port = server.port

        def at(moment: float) -> float:
            time.sleep(max(0.0, begun + moment - time.monotonic()))
            return time.monotonic() - begun

        at(KILLED)
        server.kill()
        at(BACK)
        server = RtspServer(clip, port=port, shared=True)
        back = time.time() - unix
        at(STALLED)
        server.stall()
        at(GOES_ON)
        server.resume()
        went_on = time.time() - unix
        at(RESIZED)
        server.kill()
        server = RtspServer(larger, port=port, shared=True)
        resized = time.time() - unix
        at(END)
        for process in running:
            process.kill()
            process.wait()
        server.kill()
        seen = {}
        for reader, path in files.items():
            lines = [json.loads(line) for line in path.read_text().splitlines() if line.endswith("]")]
            seen[reader] = np.array(lines) - (unix, 0, 0)
    earliest = min(lateness(frames).min() for frames in seen.values() if len(lateness(frames)))
    columns = (
        "frames",
        "age in the first 10 s, ms p50 / p99",
        "fresh after kill, s",
        "any after stall, s",
        "fresh in new size, s",
        "right size",
    )
    table = Table("", *columns, title=f"{END:g} s of a faulty camera, consumer {WORK * 1e3:g} ms per frame")
    for reader, frames in seen.items():
        frames = frames[frames[:, 0] > 0]
        age = (lateness(frames) - earliest) * 1e3
        after = [first(frames, *moments) for moments in ((back, back), (went_on, None), (resized, resized))]
        right = frames[frames[:, 0] > resized + 3]
        table.add_row(
            reader,
            str(len(frames)),
            f"{np.percentile(age, 50):.0f} / {np.percentile(age, 99):.0f}" if len(age) else "",
            *(f"{moment:.2f}" if moment is not None else "never" for moment in after),
            f"{(right[:, 2] == 640).mean():.0%}" if len(right) else "no frame",
        )
    Console(width=130).print(table)


def lateness(frames: np.ndarray) -> np.ndarray:
    """s by which each frame of the first connection came after the time its number stands for."""
    steady = frames[(frames[:, 0] > 0) & (frames[:, 0] < KILLED)]
    return steady[:, 0] - steady[:, 1] / RATE


def first(frames: np.ndarray, moment: float, started: float | None) -> float | None:
    """s from `moment` to the first frame at most 2 s old, of a server that `started` then (None: of any age)."""
    age = frames[:, 0] - started - frames[:, 1] / RATE if started else np.zeros(len(frames))
    fresh = frames[(frames[:, 0] > moment) & (age < 2.0) & (age > -0.5)]
    return float(fresh[0, 0] - moment) if len(fresh) else None


if __name__ == "__main__":
    if len(sys.argv) > 2:
        consume(sys.argv[1], sys.argv[2])
    else:
        main()
