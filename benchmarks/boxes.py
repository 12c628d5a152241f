"""How well boxes fit, as the model gives them and widened to hold the keypoints that are seen (`detect`'s `hold`).

    python -m benchmarks.boxes data/bank-test
    python -m benchmarks.boxes data/real/coco80/annotations.json=data/real/coco80

Of every instance with a detection at an IoU of 0.15 or more: the mean IoU, and the share of those below 0.5.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from rich.console import Console
from rich.table import Table

from xpose_stream.engines import DEFAULT, load
from xpose_stream.engines.detect import detect
from xpose_stream.engines.prompts.bank import embed_prompts
from xpose_stream.engines.prompts.prompt import Prompt
from xpose_stream.trackers.association import iou
from xpose_stream.training.data.sources import open_sources
from xpose_stream.training.exam import scorecard
from xpose_stream.training.exam.evaluation import found, matched
from xpose_stream.training.exam.scorecard import Quiz

NEAR, THERE = 0.15, 0.5  # IoU
SHOWN = 0.2  # score of a detection


def main(data: list[str], weights: Annotated[Path, typer.Option()] = DEFAULT) -> None:
    """Print a row per category, and their mean."""
    source = open_sources(data, empty=True)
    quiz, checkpoint = Quiz.of(source, range(len(source))), scorecard.on_device(load(weights))
    labels, config = scorecard.readable(checkpoint, quiz.skeletons), checkpoint.model.config
    bank = embed_prompts([Prompt(quiz.skeletons[label]) for label in labels], checkpoint)
    fits: dict[tuple[int, bool], list[float]] = defaultdict(list)
    passes = scorecard.passes(checkpoint, bank, quiz)
    pictures = iter(quiz.truth)
    for output, width, height in passes:
        rules = bank.keypoint_mask.numpy(), width, height
        both = [detect(output, *rules, threshold=SHOWN, overlap=config.overlap, hold=hold) for hold in (False, True)]
        for seen in zip(*both, strict=True):
            truth = next(pictures)
            for column, label in enumerate(labels):
                wanted = [one for one in truth[label] if not one.ignore]
                for hold, one in zip((False, True), seen, strict=True):
                    own = one[one.class_ids == column]
                    given = found(own.boxes, own.scores, own.keypoints)
                    pairs = matched(wanted, given, NEAR)
                    fits[label, hold] += [float(iou(wanted[i].box[None], given[c].box[None])[0, 0]) for i, c in pairs]
    table = Table("category", "found", "IoU", "held", "below 0.5", "held")
    rows = []
    for label in labels:
        parts = [np.array(fits[label, hold]) for hold in (False, True)]
        if min(map(len, parts)):
            rows.append([float(part.mean()) for part in parts] + [float((part < THERE).mean()) for part in parts])
            table.add_row(quiz.skeletons[label].category, str(len(parts[0])), *(f"{value:.3f}" for value in rows[-1]))
    table.add_row("mean", "", *(f"{value:.3f}" for value in np.mean(rows, 0)))
    Console().print(table)


if __name__ == "__main__":
    typer.run(main)
