"""What a prompt finds on the pictures that it was made from: the least that it must find."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch

from xpose_stream.engines.checkpoint import Checkpoint
from xpose_stream.engines.detect import detect
from xpose_stream.engines.engine import build_engine
from xpose_stream.engines.prompts.bank import PromptBank
from xpose_stream.engines.prompts.example import Example, normalised
from xpose_stream.engines.prompts.prompt import Prompt
from xpose_stream.engines.resize import target_size
from xpose_stream.trackers import Detections, TrackerConfig

_THERE = 0.5  # IoU of boxes from which a detection is of the thing that was marked
_OFF = 0.1  # sizes that keypoints may be off in the very picture that they were marked in


@dataclass(frozen=True)
class Trial:
    """One example.

    score   of the best detection of the category where it was marked, 0 without any.
    off     mean distance of the keypoints from where they were marked, in sizes of the box; NaN without a detection.
    needed  the score from which a detection begins a track.
    """

    category: str
    number: int
    score: float
    off: float
    needed: float

    def __str__(self) -> str:
        where = f"'{self.category}' on its own example {self.number}"
        if not self.score:
            return f"warning: nothing is found of {where}; mark another picture, or use other weights"
        told = f"score {self.score:.2f}, keypoints off by {self.off:.0%} of its size"
        if self.score >= self.needed and self.off > _OFF:
            return f"warning: {where}: {told}; mark what looks unlike its surroundings, or add examples"
        if self.score >= self.needed:
            return f"{where}: {told}"
        return f"warning: {where}: {told}, where a track begins at {self.needed:.2f}; add examples or words"


def trials(checkpoint: Checkpoint, bank: PromptBank, prompts: Sequence[Prompt]) -> list[Trial]:
    """How each example of the prompts, in their order in the bank, is found by its prompt. Takes the model over."""
    if not any(prompt.examples for prompt in prompts):
        return []
    engine = build_engine(checkpoint.model, backend="eager")
    config, needed = engine.config, TrackerConfig(**checkpoint.tracker).high_score
    pinned = engine.pin(bank.instances, bank.keypoints, bank.keypoint_mask)
    found = []
    for place, prompt in enumerate(prompts):
        for number, example in enumerate(prompt.examples, 1):
            height, width = example.rgb.shape[:2]
            small = cv2.resize(
                example.rgb,
                target_size(width, height, config.short_side, config.long_side),
                interpolation=cv2.INTER_AREA,
            )
            image = torch.from_numpy(normalised(np.asarray(small, np.uint8)))[None].to(engine.device)
            output, mask = engine(image, pinned), bank.keypoint_mask.numpy()
            (seen,) = detect(output, mask, width, height, overlap=config.overlap, hold=config.sees)
            score, off = _best(example, seen[seen.class_ids == place])
            found.append(Trial(prompt.skeleton.category, number, score, off, needed))
    return found


def _best(example: Example, seen: Detections) -> tuple[float, float]:
    """Score and distance of the best detection of what was marked."""
    low = np.maximum(seen.boxes[:, :2], example.box[:2])
    shared = (np.minimum(seen.boxes[:, 2:], example.box[2:]) - low).clip(0).prod(1)
    area = (seen.boxes[:, 2:] - seen.boxes[:, :2]).prod(1) + (example.box[2:] - example.box[:2]).prod()
    there = np.flatnonzero(shared > _THERE * (area - shared))
    if not len(there):
        return 0.0, float("nan")
    best = there[seen.scores[there].argmax()]
    away = np.linalg.norm(seen.keypoints[best, : len(example.keypoints)] - example.keypoints, axis=1)
    size = float((example.box[2:] - example.box[:2]).max())
    return float(seen.scores[best]), float(np.nanmean(away)) / size
