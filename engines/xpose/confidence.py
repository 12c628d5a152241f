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
CLUES = 6  # of `first_clues`
TOGETHER = 16  # width of what clues tell together
FAR = 0.5  # sides of the box: how far from an edge nothing is told by it any more
SAME = 0.5  # IoU from which two groups are about the same instance


class Confidence(nn.Module):
    """Visibility and spread of every keypoint from its final token; `clued`: seen again with a first guess's clues.

    MoveNet's heat tells much of COCO's keypoints and nothing of any others: `seen` and `far`, which add to what tokens
    tell, are only for the former. Clues tell more of visibility together than one by one (a faint heat at the picture's
    edge), of errors they do not: docs/eyes.md.
    """

    def __init__(self, dim: int, clued: bool = False) -> None:
        super().__init__()
        self.clued = clued
        self.mlp = MLP(dim, dim, 2)
        if clued:
            self.seen, self.far = MLP(2 + CLUES, TOGETHER, 1), nn.Linear(2 + CLUES, 1)
            for last in (self._linear(-1), self.far):
                _forget(last)

    def forward(self, told: Tensor) -> dict[str, Tensor]:
        """Keypoint tokens [B, G, K, D], with `first_clues` behind them, to `visibility` and `spread` of XPoseOutput."""
        if self.clued:
            clues, own = self._clues(told)
            both = clues[..., :2] + own * torch.cat((self.seen(clues), self.far(clues)), -1)
        else:
            both = self.mlp(told)
        visibility, spread = both.unbind(-1)
        return {"visibility": visibility, "spread": spread.clamp(-7.0, 2.0)}

    def _clues(self, told: Tensor) -> tuple[Tensor, Tensor]:
        """What tokens tell, with the clues [B, G, K, 2 + CLUES], and how far the heat is MoveNet's own."""
        tokens, clues, own = told.split((told.shape[-1] - CLUES - 1, CLUES, 1), -1)
        return torch.cat((self.mlp(tokens), clues), -1), own

    @torch.no_grad()
    def begin(self, told: Tensor) -> None:
        """Let clues tell nothing, ready to learn from what is told [N, D + CLUES + 1] of N keypoints."""
        clues = self._clues(told)[0]
        first = self._linear(0)
        for layer in (first, self._linear(-1), self.far):
            _forget(layer)
        chance = torch.Generator().manual_seed(0)
        weight = (2 * torch.rand(first.weight.shape, generator=chance) - 1).to(clues)
        first.weight.copy_(weight * clues.shape[-1] ** -0.5 / clues.std(0).clamp(min=LEAST))
        first.bias.copy_(-first.weight @ clues.mean(0))

    @torch.no_grad()
    def calibrate(self, slope: float, offset: float, scale: float) -> None:
        """Visibility logits become slope * logit + offset, sigmas scale * sigma: into the last layers, for good."""
        last = self.mlp.layers[-1]
        assert isinstance(last, nn.Linear)
        gain, add = torch.tensor((slope, 1.0)), torch.tensor((offset, math.log(scale)))
        last.weight *= gain.unsqueeze(1)
        last.bias.copy_(gain * last.bias + add)
        if self.clued:  # which is told both as they are now
            for layer in (self._linear(0), self.far):
                layer.weight[:, :2].div_(gain)
                layer.bias.sub_(layer.weight[:, :2] @ add)
            for parameter in self._linear(-1).parameters():
                parameter.mul_(slope)

    def _linear(self, place: int) -> nn.Linear:
        layer = self.seen.layers[place]
        assert isinstance(layer, nn.Linear)
        return layer


@torch.no_grad()
def _forget(layer: nn.Module) -> None:
    for parameter in layer.parameters():
        parameter.zero_()


def first_clues(first: First, logits: Tensor, boxes: Tensor, keypoints: Tensor, aspect: float) -> Tensor:
    """What is known of keypoints [B, G, K, 2] beside their tokens: [B, G, K, CLUES + 1].

    How wide and how high the first guess's heat was, how far, in sides of the box, the decoder has moved the keypoint
    since, and how far it lies within the picture and within the box; how sure the model is of another thing there; and
    how far (0..1) the heat is MoveNet's own.
    """
    side = (boxes[..., 2] * boxes[..., 3]).clamp(min=1e-8).sqrt()[..., None, None]  # B, G, 1, 1
    unit = boxes.new_tensor((aspect**0.5, aspect**-0.5))  # makes squares of px of fractions
    moved = ((keypoints - first.points) * unit).norm(dim=-1, keepdim=True) / side
    low, high = (boxes[..., :2] - boxes[..., 2:] / 2).unsqueeze(2), (boxes[..., :2] + boxes[..., 2:] / 2).unsqueeze(2)
    picture, box = (
        (torch.minimum(keypoints - start, end - keypoints) * unit / side).amin(-1, keepdim=True).clamp(-FAR, FAR)
        for start, end in ((0.0, 1.0), (low, high))
    )
    behind = _others(logits, boxes, keypoints).unsqueeze(-1)
    return torch.cat((first.clues, moved.clamp(min=LEAST).log(), picture, box, behind, first.own), -1)


def _others(logits: Tensor, boxes: Tensor, keypoints: Tensor) -> Tensor:
    """Of keypoints [B, G, K, 2] the highest score [B, G, K] of groups on other things whose box they lie in."""
    scores = logits.amax(-1).sigmoid().unsqueeze(1) * (overlaps(boxes) <= SAME)  # B, G, G
    beyond = (keypoints.unsqueeze(3) - boxes[:, None, None, :, :2]).abs() - boxes[:, None, None, :, 2:] / 2
    return (scores.unsqueeze(2) * (beyond.amax(-1) < 0)).amax(-1)


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
