"""How good a model is on pictures it has not seen."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from engines.detect import detect
from engines.xpose import XPose
from training.dataset import Bank, normalise, shrink
from training.evaluation import Found, found, oks_ap, pck
from training.truth import Instance

SHOWN = 0.3  # score from which a detection counts in PCK, recall and precision
AT_ONCE = 20
METRICS = ("PCK@0.05", "PCK@0.1", "PCK@0.2", "AP", "AP50", "recall", "precision")


@torch.inference_mode()
def validate(
    model: XPose,
    instance_prompts: Tensor,
    keypoint_prompts: Tensor,
    bank: Bank,
    sigmas: Sequence[float],
    pictures: int = 200,
) -> dict[str, float]:
    """METRICS of a model in eval mode on the first pictures of a bank, resampled as a whole to the model's size.

    PCK counts the keypoints of missed instances as wrong. Recall and precision are those of boxes at an IoU of 0.5.
    """
    size = model.config.short_side, model.config.long_side
    mask = np.ones((len(instance_prompts), len(keypoint_prompts)), bool)
    truth: list[list[Instance]] = []
    answers: list[list[Found]] = []
    for first in range(0, min(pictures, len(bank)), AT_ONCE):
        batch = [bank[i] for i in range(first, min(first + AT_ONCE, pictures, len(bank)))]
        height, width = batch[0].size
        images = normalise(torch.from_numpy(np.stack([shrink(picture, size).rgb for picture in batch])))
        output = model(images.to(instance_prompts.device), instance_prompts, keypoint_prompts)
        for picture, seen in zip(batch, detect(output, mask, width, height, threshold=0.01), strict=True):
            parts = zip(picture.boxes, picture.keypoints, picture.ignore, strict=True)
            truth.append([Instance(i, box, points, bool(ignore)) for i, (box, points, ignore) in enumerate(parts)])
            answers.append(found(seen.boxes, seen.scores, seen.keypoints))
    shown = [[answer for answer in frame if answer.score > SHOWN] for frame in answers]
    hits, wanted, given = (sum(counts) for counts in zip(*map(_hits, truth, shown), strict=True))
    ap = oks_ap(truth, answers, sigmas)
    return (
        {f"PCK@{threshold}": share for threshold, share in pck(truth, shown, (0.05, 0.1, 0.2)).items()}
        | {"AP": ap["AP"], "AP50": ap["AP50"]}
        | {"recall": hits / max(wanted, 1), "precision": hits / max(given, 1)}
    )


def _hits(instances: Sequence[Instance], answers: Sequence[Found]) -> tuple[int, int, int]:
    """How many instances were found, how many there are, and how many answers count (those on ignored ones do not)."""
    hit: set[int] = set()
    given = 0
    for answer in sorted(answers, key=lambda answer: -answer.score):
        overlaps = [0.0 if i in hit else _iou(instance.box, answer.box) for i, instance in enumerate(instances)]
        best = int(np.argmax(overlaps)) if overlaps else -1
        near = best >= 0 and overlaps[best] >= 0.5
        if near and instances[best].ignore:
            continue
        given += 1
        if near:
            hit.add(best)
    return len(hit), sum(not instance.ignore for instance in instances), given


def _iou(a: np.ndarray, b: np.ndarray) -> float:
    shared = float(np.prod((np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])).clip(0)))
    return shared / max(float(np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2])) - shared, 1e-9)
