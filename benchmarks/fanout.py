"""Eight subscribers of one publisher, one of them stopped: what the others lose and how late messages come to them.

python -m benchmarks.fanout [--messages 1000000] [--rate 4000] [--keys]   # lateness, loss and memory
python -m benchmarks.fanout --fast 30000                                  # as fast as eight read, plain and encrypted

Each subscriber is a process of its own. Between stretches of the publisher's messages a plain PUB socket, on which
nothing of this project is, sends some of the same ones at the same rate to a single reader: what comes later to the
eight than to that one is what publishing, the other subscribers and the stopped one add.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import psutil
import zmq

from xpose_stream.stream.sinks.keys import Key, Keys, new
from xpose_stream.stream.sinks.messages import Category, Prompt, TrackMessage, TracksMessage, encode
from xpose_stream.stream.sinks.publisher import Publisher

COUNT = 8
CYCLES = 50  # stretches of the publisher's messages, each followed by some of the plain socket's
PLAIN = 10  # messages of the publisher for each of the plain socket

Send = Callable[[TracksMessage], object]


class Head(msgspec.Struct):
    """What a reader looks at."""

    sequence: int
    published_at: float


def message(keypoints: int = 17) -> TracksMessage:
    """A person with COCO's keypoints: 1.7 kB."""
    names = tuple(f"keypoint_{number}" for number in range(keypoints))
    place = [(float(number), 2.0 * number) for number in range(keypoints)]
    track = TrackMessage(
        1, 0, 0.5, "confirmed", 1.0, (0.0, 0.0, 9.0, 9.0), list(place), ["measured"] * keypoints, list(place),
        [(1.0, 0.0, 1.0)] * keypoints, list(place), keypoint_scores=[0.5] * keypoints,
    )  # fmt: skip
    return TracksMessage(
        camera="hall", sequence=0, frame=0, width=640, height=480, pts=0.0, captured_at=0.0, clock="file",
        clock_uncertainty=0.0, epoch=0, published_at=0.0, latency_ms=0.0, prompt=Prompt("person", 1),
        categories=[Category(0, "person", names, ())], tracks=[track],
    )  # fmt: skip


def read(endpoint: str, key: str, count: int) -> None:
    """Say when messages come; then print how many of `count` came and how late, ms."""
    socket = zmq.Context().socket(zmq.SUB)
    socket.subscribe(b"tracks/")
    if key:
        Key.load(key).use(socket)
    socket.connect(endpoint)
    decoder, late, last = msgspec.msgpack.Decoder(Head), list[float](), 0
    assert decoder.decode(socket.recv_multipart()[1]).sequence < 0
    print("ready", flush=True)
    while decoder.decode(socket.recv_multipart()[1]).sequence < 0:
        pass
    gc.disable()
    while last < count - 1 and socket.poll(30_000):
        payload = socket.recv_multipart()[1]
        now, head = time.time(), decoder.decode(payload)
        late.append(now - head.published_at)
        last = head.sequence
    told = dict(zip(("p50", "p99", "most"), np.quantile(late, [0.5, 0.99, 1]) * 1e3, strict=True))
    memory = psutil.Process().memory_info().rss / 1e6
    print(json.dumps({"received": len(late) + 1, "rss_mb": memory} | told), flush=True)


@contextmanager
def readers(number: int, endpoint: str, key: str, count: int, send: Send) -> Iterator[list[subprocess.Popen[str]]]:
    """Processes that read `count` messages, when all of them are reached by what `send` sends."""
    command = [sys.executable, "-m", "benchmarks.fanout", "--read", endpoint, key, str(count)]
    processes = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(number)]
    with selectors.DefaultSelector() as waiting:
        for process in processes:
            waiting.register(process.stdout, selectors.EVENT_READ)  # type: ignore[arg-type]
        while waiting.get_map():
            send(msgspec.structs.replace(message(), sequence=-1))
            for ready, _ in waiting.select(0.05):
                assert ready.fileobj.readline() == "ready\n"  # type: ignore[union-attr]
                waiting.unregister(ready.fileobj)
    try:
        yield processes
    finally:
        for process in processes:
            process.kill()


def pace(send: Send, first: int, count: int, rate: float | None) -> None:
    """Send `count` messages from the number `first` on, `rate` a second or as fast as it goes."""
    usual, begun = message(), time.monotonic()
    for place in range(count):
        if rate and (pause := begun + place / rate - time.monotonic()) > 0:
            time.sleep(pause)
        send(msgspec.structs.replace(usual, sequence=first + place, published_at=time.time()))


def paced(count: int, rate: float, keys: Keys | None, key: str) -> dict[str, Any]:
    """Eight subscribers, one of them stopped, and now and then the plain socket."""
    stretch, grown, took = count // CYCLES, list[float](), np.full(count, np.nan)  # in memory from the start
    with ExitStack() as opened:
        publisher = opened.enter_context(Publisher("tcp://127.0.0.1:0", keys=keys))
        plain = opened.enter_context(zmq.Context()).socket(zmq.PUB)
        opened.callback(plain.close)
        endpoint = f"tcp://127.0.0.1:{plain.bind_to_random_port('tcp://127.0.0.1')}"

        def alone(each: TracksMessage) -> None:
            plain.send_multipart([b"tracks/hall", encode(each)])

        def publish(each: TracksMessage) -> None:
            begun = time.perf_counter()
            publisher.publish(each)
            if each.sequence >= 0:
                took[each.sequence] = time.perf_counter() - begun

        eight = opened.enter_context(readers(COUNT, publisher.endpoint, key, count, publisher.publish))
        [one] = opened.enter_context(readers(1, endpoint, "", count // PLAIN, alone))
        eight[0].send_signal(signal.SIGSTOP)
        before = psutil.Process().memory_info().rss
        for cycle in range(CYCLES):
            pace(publish, cycle * stretch, stretch, rate)
            time.sleep(0.05)
            pace(alone, cycle * (stretch // PLAIN), stretch // PLAIN, rate)
            time.sleep(0.05)
            grown.append((psutil.Process().memory_info().rss - before) / 1e6)
        told = [json.loads(each.communicate()[0]) for each in eight[1:]]
        only = json.loads(one.communicate()[0])
    worst = {name: max(each[name] for each in told) for name in ("p50", "p99", "most", "rss_mb")}
    return {
        "messages": count, "per s": rate, "encrypted": bool(keys), "load": os.getloadavg()[0],
        "lost by the seven": sum(count - each["received"] for each in told),
        "lost alone": count // PLAIN - only["received"],
        "late, ms: p50, p99, most": [round(worst[name], 3) for name in ("p50", "p99", "most")],
        "alone": [round(only[name], 3) for name in ("p50", "p99", "most")],
        "added": [round(worst[name] - only[name], 3) for name in ("p50", "p99")],
        "publish() takes, ms: p50, p99, most": (np.quantile(took, [0.5, 0.99, 1]) * 1e3).round(3).tolist(),
        "publisher grew, MB: at half, at the end": [round(grown[len(grown) // 2], 1), round(grown[-1], 1)],
        "a subscriber has, MB": round(worst["rss_mb"]),
    }  # fmt: skip


def fast(count: int, keys: Keys | None, key: str) -> float:
    """Messages per second that reach all eight, none of them lost."""
    with ExitStack() as opened:
        publisher = opened.enter_context(Publisher("tcp://127.0.0.1:0", keys=keys, lossless=True))
        eight = opened.enter_context(readers(COUNT, publisher.endpoint, key, count, publisher.publish))
        begun = time.monotonic()
        pace(publisher.publish, 0, count, None)
        told = [json.loads(each.communicate()[0]) for each in eight]
        took = time.monotonic() - begun
    assert all(each["received"] == count for each in told), told
    return count / took


@contextmanager
def keyed() -> Iterator[tuple[Keys, str]]:
    """A stream's keys and the file of a reader's."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        new("server", folder)
        public, secret = new("reader", folder)
        (folder / "allowed" / public.name).write_text(public.read_text())
        yield Keys(folder), str(secret)


def main() -> None:
    """Print figures as JSON."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--messages", type=int, default=1_000_000)
    parser.add_argument("--rate", type=float, default=4000.0)
    parser.add_argument("--keys", action="store_true", help="encrypted")
    parser.add_argument("--fast", type=int, help="messages of each run, three of either kind in turn")
    parser.add_argument("--read", nargs=3, metavar=("ENDPOINT", "KEY", "COUNT"))
    given = parser.parse_args()
    if given.read:
        read(given.read[0], given.read[1], int(given.read[2]))
        return
    with keyed() as (keys, key):
        if not given.fast:
            print(json.dumps(paced(given.messages, given.rate, *((keys, key) if given.keys else (None, "")))))
            return
        rates = [(fast(given.fast, None, ""), fast(given.fast, keys, key)) for _ in range(3)]
        plain, encrypted = np.median(rates, axis=0)
        told = {"plain, per s": round(plain), "encrypted": round(encrypted), "runs": np.round(rates).tolist()}
        print(json.dumps(told | {"load": os.getloadavg()[0]}))


if __name__ == "__main__":
    main()
