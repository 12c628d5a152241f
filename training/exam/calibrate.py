"""Teach weights anew how sure they are of every keypoint that they find; nothing else of them changes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import yaml
from numpy.typing import NDArray
from rich.console import Console
from rich.progress import track
from torch import Tensor, nn

from xpose_stream.engines.checkpoint import Checkpoint, load, save
from xpose_stream.engines.detect import detect_groups
from xpose_stream.engines.prompts.bank import PromptBank, embed_prompts
from xpose_stream.engines.prompts.prompt import Prompt
from xpose_stream.engines.xpose import XPose
from xpose_stream.engines.xpose.confidence import Confidence
from xpose_stream.engines.xpose.mobilenet import HIDDEN
from xpose_stream.settings import parse, why
from xpose_stream.trackers import Detections, TrackerConfig
from xpose_stream.training.data.dataset import DataError
from xpose_stream.training.data.sources import open_sources
from xpose_stream.training.exam import scorecard
from xpose_stream.training.exam.confidence import Judged, sureness_loss
from xpose_stream.training.exam.evaluation import found
from xpose_stream.training.exam.scorecard import Quiz

RATE, EPOCHS = 1e-3, 8
CLUES_RATE, CLUES_EPOCHS = 1e-2, 40  # of two hundred numbers
DECAY = 0.01
BATCH = 512
DATA, TEST = "the data to learn from", "the held-out data"


@dataclass(frozen=True, slots=True)
class Order:
    """What to calibrate; see `xpose-stream calibrate --help`."""

    weights: Path
    data: Sequence[str]
    test: Sequence[str]
    out: Path
    clip: Path | None = None
    tracker: dict[str, Any] | None = None  # settings that the weights bring from now on; None: what they brought
    boost: float = 0.0  # added to the logit of what words find


@dataclass(frozen=True, slots=True, eq=False)
class Lessons:
    """N keypoints of detections that match an instance.

    Attributes:
        tokens: [N, D] what the model tells confidence from, with its clues.
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
    checkpoint = scorecard.on_device(clued(load(order.weights)))
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
    raise_scores(checkpoint, order.boost)
    fitted = {"slope": slope, "offset": offset, "scale": scale, "data": list(order.data), "test": list(order.test)}
    fitted["boost"] = order.boost
    provenance = checkpoint.provenance | {"calibration": fitted}
    tracker = checkpoint.tracker if order.tracker is None else order.tracker
    save(order.out, replace(checkpoint, model=checkpoint.model.cpu(), provenance=provenance, tracker=tracker))
    Console().print(measures)
    return measures


def clued(checkpoint: Checkpoint) -> Checkpoint:
    """The same with confidence that can know how a first guess looked, where there is one; it learns that later."""
    model = checkpoint.model
    if model.guess is None or model.config.confidence != "learned":
        return checkpoint
    wider = XPose(replace(model.config, confidence="clued"))
    wider.load_state_dict(model.state_dict(), strict=False)  # what is new is zero
    return replace(checkpoint, model=wider.eval())


@torch.no_grad()
def raise_scores(checkpoint: Checkpoint, by: float) -> None:
    """Add to the logits of all that the first guess finds in words. Raises DataError where there is none."""
    guess = checkpoint.model.guess
    if guess is None:
        if by:
            raise DataError("Only weights with a first guess can be boosted; leave out --boost.")
        return
    guess.things.start[:, HIDDEN] += by  # the bias of the centres' rows


def tracker_settings(path: Path) -> dict[str, Any]:
    """The fields of TrackerConfig that a YAML file sets, such as `tune` writes. Raises DataError."""
    try:
        settings = parse(path.read_text(encoding="utf-8"))
        TrackerConfig(**settings)
    except (OSError, TypeError, ValueError, yaml.YAMLError) as error:
        reason = why(error) if isinstance(error, yaml.YAMLError) else str(error)
        raise DataError(f"{path} has no settings of a tracker ({reason}); give a file that `tune` wrote.") from error
    return dict(settings)


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
    """Fit the head to these keypoints by `sureness_loss`; of one that is told clues, what it makes of these alone."""
    parts: list[nn.Module] = [head.seen, head.far] if head.clued else [head]
    rate, epochs = (CLUES_RATE, CLUES_EPOCHS) if head.clued else (RATE, EPOCHS)
    if head.clued:
        head.begin(given.tokens.to(next(head.parameters()).device))
    chance, device = torch.Generator().manual_seed(0), next(head.parameters()).device
    steps = epochs * -(-len(given.tokens) // BATCH)
    optimizer = torch.optim.AdamW([p for part in parts for p in part.parameters()], rate, weight_decay=DECAY)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    for _ in track(range(epochs), "learning", console=Console()):
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
