"""What weights and tracker make of clips with known truth, every frame through the real pipeline.

    python benchmarks/clips.py [CLIP.mp4 …] [--plain]

A clip is as `xpose_stream.training.world.clip` writes it, with its truth in CLIP.json; by default those in
configs/demo. --plain: with the tracker's usual settings instead of those for weights of our own, except that the
detector merges people.
"switches" counts each time a thing's identity is another than in the frame before (CLEAR MOT, boxes at an IoU of 0.5).
"""

from __future__ import annotations

import sys
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import motmetrics
import numpy as np
import typer
from rich.console import Console
from rich.table import Table

sys.path.insert(0, str(Path(__file__).parents[1]))

from xpose_stream.stream.demo import accuracy
from xpose_stream.stream.session import Session
from xpose_stream.stream.sinks.messages import TracksMessage
from xpose_stream.stream.site import Site
from xpose_stream.trackers import TrackerConfig
from xpose_stream.trackers.association import iou
from xpose_stream.training.exam.truth import Truth

CLIPS = sorted(p.with_suffix(".mp4") for p in (Path(__file__).parents[1] / "configs" / "demo").glob("*.json"))


def switches(messages: list[TracksMessage], truth: Truth, category: str) -> int:
    """Identity switches of one category."""
    seen = motmetrics.MOTAccumulator(auto_id=True)
    for message in messages:
        names = {known.id: known.name for known in message.categories}
        tracks = [track for track in message.tracks if names[track.category] == category]
        there = truth.frames[category][message.frame]
        overlap = iou(*(np.array([one.box for one in group]).reshape(-1, 4) for group in (there, tracks)))
        distances = np.where(overlap >= 0.5, 1 - overlap, np.nan)
        seen.update([one.id for one in there], [track.id for track in tracks], distances)
    return int(motmetrics.metrics.create().compute(seen, metrics=["num_switches"])["num_switches"].iloc[0])


def main(clips: Annotated[list[Path] | None, typer.Argument()] = None, plain: bool = False) -> None:
    """Print a row for each clip and category."""
    table = Table("clip", "category", "PCK@0.1", "PCK@0.2", "OKS-AP", "IDF1", "switches")
    usual = {name: value for name, value in asdict(TrackerConfig(merges=True)).items() if name != "sigmas"}
    for clip in clips or CLIPS:
        truth = Truth.load(clip.with_suffix(".json"))
        messages: list[TracksMessage] = []
        site = Site.of(str(clip), prompt=", ".join(truth.categories))
        if plain:
            site = site.model_copy(update={"tracker": usual})

        def keep(frame: Any, message: TracksMessage, into: list[TracksMessage] = messages) -> None:
            into.append(message)

        Session(site).run(keep)
        for category, rates in accuracy(messages, truth).items():
            row = [f"{rate:.3f}" for rate in rates.values()]
            table.add_row(clip.name, category, *row, str(switches(messages, truth, category)))
    Console().print(table)


if __name__ == "__main__":
    typer.run(main)
