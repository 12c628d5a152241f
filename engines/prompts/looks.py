"""Prompts by example in which what is marked is kept as it looks, for weights that compare looks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from xpose_stream.engines.prompts.example import Example, normalised
from xpose_stream.engines.prompts.recognition import Embedded
from xpose_stream.engines.resize import target_size
from xpose_stream.engines.xpose import XPose
from xpose_stream.engines.xpose.likeness import EXTRA, PATCH, SHOTS, join, looks_at

# What words have to find of an example: from which logit on, how near in sides of its box, and of how many keypoints.
SURE, NEAR, MOST = -1.0, 0.15, 0.6


def with_looks(model: XPose, given: Embedded, examples: Sequence[Example], share: float) -> Embedded:
    """A prompt's meaning, followed by how its examples look, which counts for `share` of what it says.

    A keypoint has the looks of the examples that show it; the last are repeated where these are fewer than SHOTS.
    """
    count = len(given.keypoints)
    if share == 0 or not examples:
        return Embedded(F.pad(given.instance, (0, EXTRA)), F.pad(given.keypoints, (0, EXTRA)), given.known)
    shown = [_look(model, example) for example in examples[:SHOTS]]
    rows, places, known = torch.zeros(count, SHOTS, PATCH), torch.zeros(count, 2), torch.zeros(count, 1)
    for k in range(count):
        own = [one for one, example in zip(shown, examples, strict=False) if example.present[k]]
        if own:
            rows[k] = torch.stack([own[min(i, len(own) - 1)][0][k] for i in range(SHOTS)])
            places[k], known[k] = torch.stack([place[k] for _, place, _ in own]).mean(0), 1.0
    size = torch.stack([size for _, _, size in shown]).mean(0)
    instance = join(given.instance, torch.zeros(SHOTS, PATCH), size, torch.tensor((share,)))
    return Embedded(instance, join(given.keypoints, rows, places, known), given.known)


@torch.no_grad()
def _look(model: XPose, example: Example) -> tuple[Tensor, Tensor, Tensor]:
    """Looks [K, PATCH] of an example's keypoints in its whole picture, their places in the box [K, 2], its size [2]."""
    config, device = model.config, next(model.parameters()).device
    height, width = example.rgb.shape[:2]
    size = target_size(width, height, config.short_side, config.long_side)
    small: Any = cv2.resize(example.rgb, size, interpolation=cv2.INTER_AREA)
    dense = model.levels(torch.from_numpy(normalised(small))[None].to(device))[config.levels :]
    whole = np.array((width, height))
    points = np.nan_to_num(example.keypoints / whole)
    extent = size[0], size[1]
    assert model.guess is not None  # else there are no looks
    looks = looks_at(dense, extent, torch.from_numpy(points).float().to(device), model.guess.metric).cpu()
    low, high = example.box[:2] / whole, example.box[2:] / whole
    places = (points - (low + high) / 2) / (high - low)
    return looks, torch.from_numpy(places).float(), torch.from_numpy(high - low).float()


@torch.no_grad()
def finds(model: XPose, words: Embedded, example: Example) -> bool:
    """Whether words find in the example's own picture what is marked there: only then may they stand for it."""
    config, device = model.config, next(model.parameters()).device
    height, width = example.rgb.shape[:2]
    size = target_size(width, height, config.short_side, config.long_side)
    small: Any = cv2.resize(example.rgb, size, interpolation=cv2.INTER_AREA)
    image = torch.from_numpy(normalised(small))[None].to(device)
    output = model(image, words.instance[None].to(device), words.keypoints[None].to(device))
    sure = output.logits[0, :, 0] > SURE
    points = output.keypoints[0, sure].cpu().double().numpy() * np.array((width, height))  # groups, K, 2
    side = float((example.box[2:] - example.box[:2]).max())
    away = np.hypot(*np.moveaxis((points - example.keypoints)[:, example.present], -1, 0))
    return bool(((away < NEAR * side).mean(1) >= MOST).any())
