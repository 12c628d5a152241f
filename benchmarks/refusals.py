"""After how long a client that is not let in is told why: s, of listening and asking, ten times each.

python -m benchmarks.refusals
"""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
from pathlib import Path

import numpy as np

from xpose_stream.error import UserError
from xpose_stream.stream.client import Subscriber
from xpose_stream.stream.control import Control, ask
from xpose_stream.stream.sinks.keys import Keys, new
from xpose_stream.stream.sinks.messages import Prompt
from xpose_stream.stream.sinks.publisher import Publisher

TIMES = 10


def pairs(folder: Path) -> dict[str, Path | None]:
    """The keys of clients that are turned away."""
    for name in ("server", "friend"):
        new(name, folder / "stream")
    new("server", folder / "elsewhere")
    for name, server in (("foreign", "stream"), ("astray", "elsewhere")):
        new(name, folder / name)
        shutil.copy(folder / server / "server.key", folder / name)
    shutil.copy(folder / "astray" / "astray.key", folder / "stream" / "allowed")
    keys = {name: folder / name / f"{name}.key_secret" for name in ("foreign", "astray")}
    return {"no key": None, "a foreign key": keys["foreign"], "another stream's": keys["astray"]}


def told_in(listening: Subscriber) -> float:
    """s until it says why."""
    begun = time.monotonic()
    try:
        next(listening)
    except UserError:
        return time.monotonic() - begun
    raise AssertionError("it was let in")


def asked_in(endpoint: str, key: Path | None) -> float:
    """s until it says why."""
    begun = time.monotonic()
    try:
        ask(endpoint, "dog", key=key)
    except UserError:
        return time.monotonic() - begun
    raise AssertionError("it was let in")


def removed(publisher: Publisher, folder: Path, key: Path) -> float:
    """s from when a key that is in use is taken away until its owner is told."""
    public = folder / "stream" / "allowed" / "guest.key"
    shutil.copy(key.with_suffix(".key"), public)
    with Subscriber(publisher.endpoint, key=key, quiet=30) as listening:
        assert publisher.wait_for_subscriber(20)
        public.unlink()
        return told_in(listening)


def main() -> None:
    """Print medians and the longest."""
    figures: dict[str, list[float]] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        cases = pairs(folder)
        new("guest", folder / "guest")
        shutil.copy(folder / "stream" / "server.key", folder / "guest")
        keys = Keys(folder / "stream")
        with (
            Publisher("tcp://127.0.0.1:0", keys=keys) as publisher,
            Control("tcp://127.0.0.1:*", lambda prompt: Prompt(prompt, 2), keys=keys) as control,
        ):
            for _ in range(TIMES):
                for case, key in cases.items():
                    with Subscriber(publisher.endpoint, key=key, quiet=30) as listening:
                        figures.setdefault(f"listen, {case}", []).append(told_in(listening))
                    figures.setdefault(f"ask, {case}", []).append(asked_in(control.endpoint, key))
                guest = removed(publisher, folder, folder / "guest" / "guest.key_secret")
                figures.setdefault("listen, a removed key", []).append(guest)
    told = {case: [round(float(np.median(each)), 2), round(max(each), 2)] for case, each in figures.items()}
    print(json.dumps({"s until told, median and longest": told, "load": os.getloadavg()[0]}))


if __name__ == "__main__":
    main()
