"""How sure the model is of a single keypoint: is it to be seen, and how far off may it be."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from xpose_stream.engines.xpose.guess import First
from xpose_stream.engines.xpose.layers import MLP

# ln sigma = first + the others times the logarithms of movement, extent and disagreement (see `clues`). For what it is
# worth, measured on xpose-nano, see docs/evaluation.md.
SPREAD = (-1.2, 0.2, 0.2, 0.1)
LEAST = 1e-3  # of the box: what is below it tells nothing
CLUES = 3  # of `first_clues`
SAME = 0.5  # IoU from which two groups are about the same instance


class Confidence(nn.Module):
    """Visibility and spread of every keypoint from its final token; `clued`: seen again with a first guess's clues.

    MoveNet's heat tells much of COCO's keypoints and nothing of any others: `second` is only for the former.
    """

    def __init__(self, dim: int, clued: bool = False) -> None:
        super().__init__()
        self.mlp = MLP(dim, dim, 2)
        self.second = nn.Linear(2 + CLUES, 2) if clued else None
        if self.second is not None:
            nn.init.zeros_(self.second.weight)
            nn.init.zeros_(self.second.bias)

    def forward(self, told: Tensor) -> dict[str, Tensor]:
        """Keypoint tokens [B, G, K, D], with `first_clues` behind them, to `visibility` and `spread` of XPoseOutput."""
        if self.second is None:
            both = self.mlp(told)
        else:
            tokens, clues, own = told.split((told.shape[-1] - CLUES - 1, CLUES, 1), -1)
            both = self.mlp(tokens)
            both = both + own * self.second(torch.cat((both, clues), -1))
        visibility, spread = both.unbind(-1)
        return {"visibility": visibility, "spread": spread.clamp(-7.0, 2.0)}

    @torch.no_grad()
    def calibrate(self, slope: float, offset: float, scale: float) -> None:
        """Visibility logits become slope * logit + offset, sigmas scale * sigma: into the last layers, for good."""
        last = self.mlp.layers[-1]
        assert isinstance(last, nn.Linear)
        gain, add = torch.tensor((slope, 1.0)), torch.tensor((offset, math.log(scale)))
        last.weight *= gain.unsqueeze(1)
        last.bias.copy_(gain * last.bias + add)
        if self.second is not None:  # which is told of both as they are now, and adds to them
            self.second.weight *= gain.unsqueeze(1)
            self.second.weight[:, :2] /= gain
            self.second.bias.copy_(gain * self.second.bias - self.second.weight[:, :2] @ add)


def first_clues(first: First, boxes: Tensor, keypoints: Tensor, aspect: float) -> Tensor:
    """What a first guess tells of keypoints [B, G, K, 2] beside their tokens: [B, G, K, CLUES + 1].

    How wide and how high its heat was, how far, in sides of the box, the decoder has moved the keypoint since; and how
    far (0..1) the heat is MoveNet's own.
    """
    side = (boxes[..., 2] * boxes[..., 3]).clamp(min=1e-8).sqrt().unsqueeze(-1)  # B, G, 1
    unit = boxes.new_tensor((aspect**0.5, aspect**-0.5))  # makes squares of px of fractions
    moved = ((keypoints - first.points) * unit).norm(dim=-1, keepdim=True) / side.unsqueeze(-1)
    return torch.cat((first.clues, moved.clamp(min=LEAST).log(), first.own), -1)


def estimate(logits: Tensor, boxes: Tensor, keypoints: Tensor, references: Tensor, aspect: float) -> dict[str, Tensor]:
    """`visibility` and `spread` of XPoseOutput for weights that were never taught them.

    Nothing these weights give tells a hidden keypoint from a visible one (benchmarks/estimate.py), so all keypoints of
    a group have its logit. `references` [B, G, 1 + K, 4] is what entered the last layer, `aspect` the width / height of
    the image.
    """
    known = clues(logits, boxes, keypoints, references, aspect)
    spread = SPREAD[0] + (known * known.new_tensor(SPREAD[1:])).sum(-1)
    return {"visibility": logits.amax(-1, keepdim=True).expand_as(spread), "spread": spread}


def clues(logits: Tensor, boxes: Tensor, keypoints: Tensor, references: Tensor, aspect: float) -> Tensor:
    """Logarithms [B, G, K, 3] of lengths that grow with a keypoint's error, as shares of the root of its box's area.

    How far the last layer still moved it; its own extent, as the model sees it; and how far the keypoints of other
    groups on the same instance are from it, in the mean over these groups by their scores (0 without any).
    """
    side = (boxes[..., 2] * boxes[..., 3]).clamp(min=1e-8).sqrt().unsqueeze(-1)  # B, G, 1
    unit = boxes.new_tensor((aspect**0.5, aspect**-0.5))  # makes squares of px of fractions
    moved = ((keypoints - references[:, :, 1:, :2]) * unit).norm(dim=-1) / side
    extent = references[:, :, 1:, 2:].prod(-1).clamp(min=0).sqrt() / side
    weight = logits.amax(-1).sigmoid().unsqueeze(1) * (overlaps(boxes) > SAME)
    weight = weight * (logits.argmax(-1).unsqueeze(2) == logits.argmax(-1).unsqueeze(1))  # B, G, G
    apart = ((keypoints.unsqueeze(2) - keypoints.unsqueeze(1)) * unit).square().sum(-1)  # B, G, G, K
    apart = (apart * weight.unsqueeze(-1)).sum(2) / weight.sum(2).clamp(min=1e-6).unsqueeze(-1)
    return torch.stack((moved, extent, apart.sqrt() / side), -1).clamp(min=LEAST).log()


def overlaps(boxes: Tensor) -> Tensor:
    """IoU [B, G, G] of all pairs of boxes [B, G, 4] cx, cy, w, h."""
    low, high = boxes[..., :2] - boxes[..., 2:] / 2, boxes[..., :2] + boxes[..., 2:] / 2
    shared = torch.minimum(high.unsqueeze(2), high.unsqueeze(1)) - torch.maximum(low.unsqueeze(2), low.unsqueeze(1))
    shared = shared.clamp(min=0).prod(-1)
    area = boxes[..., 2:].prod(-1)
    return shared / (area.unsqueeze(2) + area.unsqueeze(1) - shared).clamp(min=1e-9)
