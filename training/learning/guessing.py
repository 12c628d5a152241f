"""What teaches the dense first guess: heat of centres and keypoints at stride 4, and boxes at the centres."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from xpose_stream.engines.xpose.guess import Guess, Guessed
from xpose_stream.training.data.geometry import overlap
from xpose_stream.training.data.targets import Targets

CENTRE = 0.08  # of the box: how wide the heat of a centre is
LEAST = 0.6  # cells that heat is wide at least
HIDDEN = 0.4  # weight of a keypoint nobody can see
CENTRES, HEAT, BOX, GIOU = 1.0, 1.0, 5.0, 1.0


def guess_losses(guess: Guess, guessed: Guessed, targets: Targets, sigmas: Tensor) -> dict[str, Tensor]:
    """The parts, weighed; `sigmas` [C, K] as of the losses."""
    return {
        "centre": CENTRES * _centres(guessed, targets),
        "place": HEAT * _heat(guessed, targets, sigmas),
        "guessed box": _boxes(guess, guessed, targets),
    }


def _bump(guessed: Guessed, points: Tensor, wide: Tensor) -> Tensor:
    """Bumps [..., N] of height 1 around points [..., 2] (fractions), `wide` [..., 2] cells."""
    height, width = guessed.maps.size
    place = points * points.new_tensor(guessed.maps.extent)
    x, y = (torch.arange(side, device=points.device) + 0.5 for side in (width, height))
    across, down = (
        (-((axis - place[..., i : i + 1]) / wide[..., i : i + 1]).square() / 2).exp() for i, axis in enumerate((x, y))
    )
    return (down.unsqueeze(-1) * across.unsqueeze(-2)).flatten(-2)


def _cell(guessed: Guessed, points: Tensor) -> Tensor:
    """The cells [...] that points [..., 2] lie in."""
    height, width = guessed.maps.size
    x, y = (points * points.new_tensor(guessed.maps.extent)).long().unbind(-1)
    return y.clamp(0, height - 1) * width + x.clamp(0, width - 1)


def _centres(guessed: Guessed, targets: Targets) -> Tensor:
    """Source: the penalty-reduced focal loss of CornerNet (Law and Deng, ECCV 2018) and CenterNet (2019)."""
    logits = guessed.centre.float()
    scale = logits.new_tensor(guessed.maps.extent)
    wide = (targets.boxes[..., 2:] * scale * CENTRE).clamp(min=LEAST)
    bump = _bump(guessed, targets.boxes[..., :2], wide)  # B, M, N
    own = F.one_hot(targets.classes, logits.shape[1]).float()  # B, M, C
    real, ignored = (own * flag[..., None] for flag in (targets.real, targets.ignore))
    heat = torch.stack([(bump * real[..., c, None]).amax(1) for c in range(logits.shape[1])], 1)  # B, C, N
    spared = _bump(guessed, targets.boxes[..., :2], (targets.boxes[..., 2:] * scale / 3).clamp(min=1.0)) > 0.3
    spared = torch.einsum("bmn,bmc->bcn", spared.float(), ignored) > 0
    positive = torch.zeros_like(heat).scatter_reduce(
        2, _cell(guessed, targets.boxes[..., :2])[:, None].expand(-1, logits.shape[1], -1), real.transpose(1, 2), "amax"
    )
    demanded = targets.known[..., None] & ~(spared & (positive == 0))
    return (reduced_focal(logits, heat, positive) * demanded).sum() / targets.count


def _heat(guessed: Guessed, targets: Targets, sigmas: Tensor) -> Tensor:
    """Of the classes that an image shows: their keypoints in all its instances."""
    batch, classes = guessed.centre.shape[:2]
    shown = torch.zeros(batch, classes, dtype=torch.bool, device=sigmas.device)
    for m in range(targets.classes.shape[1]):
        shown[torch.arange(batch), targets.classes[:, m]] |= targets.real[:, m]
    image, label = shown.nonzero(as_tuple=True)
    if not len(image):
        return guessed.heat.sum() * 0.0
    logits = guessed.heat[image, label].float()  # n, K, N
    scale = logits.new_tensor(guessed.maps.extent)
    side = (targets.boxes[..., 2:] * scale).prod(-1).clamp(min=1e-6).sqrt()  # B, M cells
    wide = (side[..., None] * sigmas[targets.classes] / 2).clamp(LEAST, 2.5)  # B, M, K
    heat, positive, spared = (torch.zeros_like(logits) for _ in range(3))
    for m in range(targets.classes.shape[1]):
        own = (targets.classes[image, m] == label) & (targets.real | targets.ignore)[image, m]
        points, seen = targets.keypoints[image, m], targets.visibility[image, m]
        bump = _bump(guessed, points, wide[image, m].unsqueeze(-1).expand(-1, -1, 2))
        trust = 1.0 if targets.trust is None else targets.trust[image, m]
        weight = ((seen == 2).float() + HIDDEN * (seen == 1).float()) * trust * own[:, None]
        heat = torch.maximum(heat, bump * (weight > 0)[..., None])
        spared = torch.maximum(spared, bump * ((seen == 1) & own[:, None])[..., None])
        cell = _cell(guessed, points)[..., None]
        positive = positive.scatter_reduce(2, cell, weight[..., None], "amax")
    loss = reduced_focal(logits, heat, positive) * ((spared < 0.3) | (positive > 0))
    return loss.sum() / positive.sum().clamp(min=1.0)


def _boxes(guess: Guess, guessed: Guessed, targets: Targets) -> Tensor:
    """Boxes at the centres of instances."""
    found = guess.boxes(guessed, _cell(guessed, targets.boxes[..., :2]), targets.classes).float()
    l1 = ((found - targets.boxes).abs().sum(-1) * targets.real).sum()
    giou = ((1 - overlap(found, targets.boxes)[1]) * targets.real).sum()
    return (BOX * l1 + GIOU * giou) / targets.count


def reduced_focal(logits: Tensor, heat: Tensor, positive: Tensor) -> Tensor:
    """Element by element: `positive` is the weight of a cell that is to be 1, `heat` how near one the others are."""
    probability = logits.sigmoid()
    hit = positive * (1 - probability).square() * F.softplus(-logits)
    miss = (positive == 0) * (1 - heat) ** 4 * probability.square() * F.softplus(logits)
    return hit + miss
