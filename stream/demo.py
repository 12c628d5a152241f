"""The main job on the clips in this repository, in real time, measured against their truth where it is known."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
from rich.console import Console
from rich.table import Table
from rich.text import Text

from xpose_stream.engines.prompts.bank import find_skeletons
from xpose_stream.stream.ledger import Ledger
from xpose_stream.stream.prepare import CLIP
from xpose_stream.stream.session import Session
from xpose_stream.stream.sinks.messages import TrackMessage, TracksMessage
from xpose_stream.stream.site import Site
from xpose_stream.stream.sources.frame import Frame
from xpose_stream.stream.watch.report import LiveTable, table_of
from xpose_stream.training.data.dataset import make_folder
from xpose_stream.training.exam.evaluation import Found, idf1, oks_ap, pck
from xpose_stream.training.exam.truth import Truth

ROOT = Path(__file__).parents[2]  # where xpose_stream is
# Real people in a park, of whom there is no truth; then what is rendered: persons who cross; and a person, a dog, a
# robot arm and a chair, each with its own keypoints, in one stream.
CLIPS = {"park": CLIP.with_name("park.mp4"), "demo": CLIP, "company": CLIP.with_name("company.mp4")}
TITLES = {"accuracy": "against the truth", "found": "what was found"}


def demo(out: Path) -> dict[str, dict[str, Any]]:
    """Stream the clips, one after the other, with a subscriber in another process.

    Overlay, recording, messages and figures of each go into `out`, under its name in CLIPS. Returns the figures; those
    of a clip that was stopped before there was anything to measure are missing.
    """
    make_folder(out)
    files = {name: _files(out / name) for name in CLIPS}
    figures: dict[str, dict[str, Any]] = {}
    for name, clip in CLIPS.items():
        played = _play(clip, files[name])
        if not played:
            break
        figures[name] = played
    return figures


def _files(stem: Path) -> dict[str, Path]:
    """Where a clip's results go, less those of an earlier demo, killed perhaps."""
    endings = {"overlay": ".mp4", "recording": ".parquet", "messages": ".jsonl", "figures": ".json"}
    files = {name: stem.with_suffix(ending) for name, ending in endings.items()}
    for path in [*files.values(), stem.with_suffix(".parquet.journal")]:
        path.unlink(missing_ok=True)
    return files


def _play(clip: Path, files: dict[str, Path]) -> dict[str, Any]:
    known = clip.with_suffix(".json")
    truth = Truth.load(known) if known.exists() else None
    messages: list[TracksMessage] = []
    began: list[float] = []

    def keep(frame: Frame, message: TracksMessage) -> None:
        began.append(time.monotonic())
        messages.append(message)

    with TemporaryDirectory() as folder, files["messages"].open("wb") as printed:
        endpoint = f"ipc://{folder}/tracks"  # a path of its own: they may have 107 letters at most
        command = [sys.executable, "-m", "xpose_stream.run_stream", "listen", endpoint, "--json"]
        subscriber = subprocess.Popen(command, stdout=printed, cwd=ROOT)
        outputs: dict[str, Any] = {"overlay": str(files["overlay"]), "record": str(files["recording"])}
        outputs |= {"publish": endpoint, "page": {}}  # the page says where to look meanwhile
        site = Site.of(str(clip), prompt=", ".join(truth.categories) if truth else "person", realtime=True, **outputs)
        report = LiveTable(Console(stderr=True)) if sys.stderr.isatty() else None
        session = Session(site, must_open=True, report=report, wait_for_subscriber=30.0)
        try:
            (ledger,) = session.run(keep).values()
            wait_for_lines(files["messages"], len(messages), patience=5.0)
        finally:
            subscriber.terminate()
            subscriber.wait()
    if len(began) < 2:
        return {}  # stopped before there was anything to measure
    figures = ledger.as_dict() | {
        "frames_per_s": round((len(began) - 1) / (began[-1] - began[0]), 2),
        "received_by_subscriber": len(files["messages"].read_bytes().splitlines()),
        **({"accuracy": accuracy(messages, truth)} if truth else {"found": found(messages)}),
        "files": {name: str(path) for name, path in files.items()},
    }
    files["figures"].write_text(json.dumps(figures, indent=1) + "\n")
    show(clip, ledger, figures)
    return figures


def wait_for_lines(path: Path, count: int, patience: float) -> None:
    """Wait until `path` has `count` lines, but no longer than `patience` s."""
    end = time.monotonic() + patience
    while len(path.read_bytes().splitlines()) < count and time.monotonic() < end:
        time.sleep(0.1)


def accuracy(messages: list[TracksMessage], truth: Truth) -> dict[str, dict[str, float]]:
    """PCK, OKS-AP and IDF1 of each category's published tracks on the frames that were published."""
    figures = {}
    for skeleton in find_skeletons(list(truth.categories)):
        wanted = [truth.frames[skeleton.category][message.frame] for message in messages]
        found = [_found(message, skeleton.category) for message in messages]
        hits = pck(wanted, found)
        rates = {
            "PCK@0.1": hits[0.1],
            "PCK@0.2": hits[0.2],
            "OKS-AP": oks_ap(wanted, found, skeleton.sigmas)["AP"],
            "IDF1": idf1(wanted, found)["idf1"],
        }
        figures[skeleton.category] = {name: round(rate, 4) for name, rate in rates.items()}
    return figures


def found(messages: list[TracksMessage]) -> dict[str, dict[str, float]]:
    """Of each category the identities, how many tracks a frame has, and the share of frames with any."""
    figures = {}
    for known in messages[0].categories:
        tracks = [[track.id for track in message.tracks if track.category == known.id] for message in messages]
        figures[known.name] = {
            "identities": len({identity for frame in tracks for identity in frame}),
            "tracks per frame": round(float(np.mean([len(frame) for frame in tracks])), 2),
            "frames with a track": round(float(np.mean([len(frame) > 0 for frame in tracks])), 3),
        }
    return figures


def _found(message: TracksMessage, category: str) -> list[Found]:
    names = {known.id: known.name for known in message.categories}
    return [_one(track) for track in message.tracks if names[track.category] == category]


def _one(track: TrackMessage) -> Found:
    keypoints = np.array([point or (np.nan, np.nan) for point in track.keypoints])
    return Found(np.array(track.box), track.score, keypoints, track.id)


def show(clip: Path, ledger: Ledger, figures: dict[str, Any]) -> None:
    """Print the tables of a clip."""
    table = table_of(ledger, f"demo: {clip.name}, in real time")
    table.add_row("received by the subscriber", str(figures["received_by_subscriber"]))
    table.add_row("frames per second", str(figures["frames_per_s"]))
    for name, path in figures["files"].items():
        table.add_row(name, Text(path))
    title, rows = next((title, figures[name]) for name, title in TITLES.items() if name in figures)
    rates = Table(title, *next(iter(rows.values())))
    for category, row in rows.items():
        rates.add_row(category, *(f"{rate:.3f}" if isinstance(rate, float) else str(rate) for rate in row.values()))
    Console().print(table, rates)
