"""Teach weights anew how sure they are of every keypoint that they find; nothing else of them changes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from torch import Tensor

from engines.checkpoint import Checkpoint, load, save
from engines.detect import detect_groups
from engines.prompt import Prompt
from engines.prompts import PromptBank, embed_prompts
from engines.xpose.confidence import Confidence
from trackers import Detections
from training import scorecard
from training.confidence import Judged, sureness_loss
from training.dataset import DataError
from training.evaluation import found
from training.scorecard import Quiz
from training.sources import open_sources

RATE, DECAY = 1e-3, 0.01
EPOCHS = 8
BATCH = 512
DATA, TEST = "the data to learn from", "the held-out data"


@dataclass(frozen=True, slots=True)
class Order:
    """What to calibrate; see `run_stream.py calibrate --help`."""

    weights: Path
    data: Sequence[str]
    test: Sequence[str]
    out: Path
    clip: Path | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Lessons:
    """N keypoints of detections that match an instance.

    Attributes:
        tokens: [N, D] what the model tells confidence from.
        visibility: [N] COCO's, -1 where it is not annotated.
        errors: [N] as shares of the root of the box's area; NaN where the true place is not known.
    """

    tokens: Tensor
    visibility: Tensor
    errors: Tensor


def calibrate(order: Order) -> dict[str, dict[str, float]]:
    """Learn confidence on `data`, fit its last three numbers to `test`, and write the weights with it to `out`.

    These are slope and offset of visibility's logit and the factor of the sigmas. Prints and returns how right the
    confidence was and is on `test`, to which it is fitted: measure it on other data. Raises DataError, CheckpointError
    or PromptError.
    """
    checkpoint = scorecard.on_device(load(order.weights))
    head = checkpoint.model.confidence
    if head is None:
        raise DataError(f"{order.weights} has no learned confidence, so there is nothing to calibrate.")
    clip = str(order.clip) if order.clip else None
    data, test = (_quiz(sources, checkpoint) for sources in (order.data, order.test))
    measures = {"before": _judged(checkpoint, test, clip).measures()}
    learn(head, lessons(checkpoint, data, clip))
    slope, offset, scale = _judged(checkpoint, test, clip).calibration()
    head.calibrate(slope, offset, scale)
    measures["after"] = _judged(checkpoint, test, clip).measures()
    fitted = {"slope": slope, "offset": offset, "scale": scale, "data": list(order.data), "test": list(order.test)}
    provenance = checkpoint.provenance | {"calibration": fitted}
    save(order.out, checkpoint.model.cpu(), checkpoint.text_encoder, provenance)
    Console().print(measures)
    return measures


def lessons(checkpoint: Checkpoint, quiz: Quiz, clip: str | None = None) -> Lessons:
    """What the model rightly answers to its categories in words. Raises DataError when that is nothing."""
    labels = scorecard.readable(checkpoint, quiz.skeletons)
    skeletons = [quiz.skeletons[label] for label in labels]
    bank = embed_prompts([Prompt(skeleton) for skeleton in skeletons], checkpoint, clip)
    columns: list[tuple[Tensor, NDArray[np.float64], NDArray[np.float64]]] = []
    pictures = track(quiz.truth, "looking at pictures", console=Console())
    for instances, (tokens, seen, groups) in zip(pictures, _detected(checkpoint, bank, quiz), strict=True):
        for column, (label, skeleton) in enumerate(zip(labels, skeletons, strict=True)):
            own = seen.class_ids == column
            given = found(seen.boxes[own], seen.scores[own], seen.keypoints[own, : len(skeleton.keypoints)])
            for instance, row in scorecard.answered(instances[label], given):
                side = np.sqrt((given[row].box[2:] - given[row].box[:2]).prod())
                group = tokens[groups[own][row], : len(skeleton.keypoints)]
                columns.append((group.clone(), instance.keypoints[:, 2], scorecard.errors(instance, given[row]) / side))
    if not columns:
        raise DataError(f"No detection in words matches an instance of {DATA}.")
    every, visibility, errors = zip(*columns, strict=True)
    told = np.concatenate(visibility)
    _require_both(told[told >= 0] == 2, DATA)
    return Lessons(torch.cat(every), *(torch.from_numpy(part).float() for part in (told, np.concatenate(errors))))


def _detected(
    checkpoint: Checkpoint, bank: PromptBank, quiz: Quiz
) -> Iterator[tuple[Tensor, Detections, NDArray[np.int64]]]:
    """Of every picture the tokens [G, K, D] that confidence is told from, the detections and their groups."""
    assert checkpoint.model.confidence is not None
    told: list[Tensor] = []
    mask, overlap = bank.keypoint_mask.numpy(), checkpoint.model.config.overlap
    hook = checkpoint.model.confidence.register_forward_hook(lambda _, given, __: told.append(given[0].float().cpu()))
    try:
        for output, width, height in scorecard.passes(checkpoint, bank, quiz):
            detected = detect_groups(output, mask, (width, height), scorecard.SHOWN, overlap)
            for tokens, (seen, groups) in zip(told.pop(), detected, strict=True):
                yield tokens, seen, groups
    finally:
        hook.remove()


def learn(head: Confidence, given: Lessons) -> None:
    """Fit the head to these keypoints by `sureness_loss`."""
    chance, device = torch.Generator().manual_seed(0), next(head.parameters()).device
    steps = EPOCHS * -(-len(given.tokens) // BATCH)
    optimizer = torch.optim.AdamW(head.parameters(), RATE, weight_decay=DECAY)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in track(range(EPOCHS), "learning", console=Console()):
        for rows in torch.randperm(len(given.tokens), generator=chance).split(BATCH):
            optimizer.zero_grad()
            told = head(given.tokens[rows].to(device))
            truth, error = given.visibility[rows].to(device), given.errors[rows].to(device)
            sureness_loss(**told, truth=truth, error=error).backward()
            optimizer.step()
            schedule.step()


def _quiz(sources: Sequence[str], checkpoint: Checkpoint) -> Quiz:
    data = open_sources(sources, empty=True)
    data.require_room(checkpoint.model.config.max_keypoints)
    if not scorecard.readable(checkpoint, data.skeletons):
        raise DataError(f"The weights can read no category of {', '.join(sources)}.")
    return Quiz.of(data, range(len(data)))


def _judged(checkpoint: Checkpoint, quiz: Quiz, clip: str | None) -> Judged:
    judged = scorecard.judge(quiz, scorecard.words(checkpoint, quiz, clip=clip))
    if judged is None:
        raise DataError(f"No detection in words matches an instance of {TEST}.")
    _require_both(judged.visible, TEST)
    return judged


def _require_both(visible: NDArray[np.bool_], data: str) -> None:
    if visible.all() or not visible.any():
        raise DataError(f"Visibility needs visible and hidden keypoints; all found in {data} are one or the other.")
