"""Prompts by example in which what is marked is kept as it looks, for weights that compare looks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch.nn import functional as F

from xpose_stream.engines.prompts.example import Example, normalised
from xpose_stream.engines.prompts.recognition import Embedded
from xpose_stream.engines.prompts.regression import fit, show, turning
from xpose_stream.engines.prompts.strange import least_evidence
from xpose_stream.engines.xpose import XPose
from xpose_stream.engines.xpose.likeness import EXTRA, PATCH, TURNS, join

# What words have to find of an example: from which logit on, how near in sides of its box, and of how many keypoints.
SURE, NEAR, MOST = -1.0, 0.15, 0.6


def with_looks(model: XPose, given: Embedded, examples: Sequence[Example], share: float) -> Embedded:
    """A prompt's meaning, followed by how its examples look, which counts for `share` of what it says."""
    if share == 0 or not examples:
        return Embedded(F.pad(given.instance, (0, EXTRA)), F.pad(given.keypoints, (0, EXTRA)), given.known)
    shown = show(model, examples)
    size = np.mean([(one.box[2:] - one.box[:2]) / one.rgb.shape[1::-1] for one in examples], 0)
    places = [(one.keypoints - one.centre) @ turning(-one.turned) for one in shown]  # px, as the first lies
    present = np.array([one.present for one in examples])
    place = np.nan_to_num(places).sum(0) / present.sum(0).clip(1)[:, None] / (size * shown[0].rgb.shape[1::-1])
    known = torch.from_numpy(present.any(0)).float().unsqueeze(1)
    sizes, places_in_box = torch.from_numpy(size).float(), torch.from_numpy(place).float()
    rows, none = fit(model, shown), torch.zeros(TURNS, PATCH)
    instance = join(given.instance, none, sizes, torch.zeros(1), torch.tensor((share,)))
    keypoints = join(given.keypoints, rows, places_in_box, torch.zeros_like(known), known)
    least = least_evidence(model, instance, keypoints, [one.rgb for one in shown])
    instance = join(given.instance, none, sizes, torch.tensor((least,)), torch.tensor((share,)))
    return Embedded(instance, keypoints, given.known)


@torch.no_grad()
def finds(model: XPose, words: Embedded, example: Example) -> bool:
    """Whether words find in the example's own picture what is marked there: only then may they stand for it."""
    (shown,) = show(model, [example])
    image = torch.from_numpy(normalised(shown.rgb))[None].to(next(model.parameters()).device)
    output = model(image, words.instance[None].to(image), words.keypoints[None].to(image))
    sure = output.logits[0, :, 0] > SURE
    points = output.keypoints[0, sure].cpu().double().numpy() * shown.rgb.shape[1::-1]  # groups, K, 2
    side = float(((example.box[2:] - example.box[:2]) / example.rgb.shape[1::-1] * shown.rgb.shape[1::-1]).max())
    away = np.hypot(*np.moveaxis((points - shown.keypoints)[:, example.present], -1, 0))
    return bool(((away < NEAR * side).mean(1) >= MOST).any())
