"""Prompts by example as rows themselves: what a marked keypoint looks like, laid against the trunk's maps.

A prompt with looks is wider than one in words: after its meaning come SHOTS looks, a place or a size, and the share of
the looks in what it says. The trunk's features match by themselves, better in directions learned from views of a point.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from xpose_stream.engines.xpose.looks import AROUND, LOOK, LOOKS, Maps, correlate, normalise, patches

SHOTS = 5  # looks of a keypoint that are compared, the best of which counts
PATCH = len(AROUND) * LOOK  # width of a look: what is around a keypoint belongs to it
EXTRA = SHOTS * PATCH + 3  # width of what follows the meaning
NEIGHBOUR = 0.5  # of the weight of the cell itself
HEAT, LIKE = 30.0, 0.9  # logit of a keypoint: times how much likelier; so much that heat has no plateau
VOTE, VOTE_LEAST = 40.0, 0.31  # of a centre: in other frames of a video .35 and more, elsewhere .29 at most
FAR = 2.2  # ln of how much farther than a person's keypoints those of an example may be from where they are expected
POOL, NEAR = 2, 5  # votes are counted at stride 8, each for so many cells around


class Looks(NamedTuple):
    """What C prompts with K keypoints each say by example."""

    rows: Tensor  # [B, C, K, SHOTS, PATCH]
    place: Tensor  # [B, C, K, 2] from the centre of the box, in boxes
    size: Tensor  # [B, C, 2] of the box, as fractions
    share: Tensor  # [B, C, 1] of the looks, 0..1
    known: Tensor  # [B, C, K] 1 where an example shows the keypoint


class Alike(NamedTuple):
    """Where a picture looks like them."""

    centre: Tensor  # [B, C, N] logits
    heat: Tensor  # [B, C, K, N] logits


class Metric(nn.Module):
    """The directions of the trunk's features in which views of one point are alike and other points are not.

    A matrix for each level, found from pairs of views by training/pretrained/matching.py; at first they change nothing.
    """

    def __init__(self) -> None:
        super().__init__()
        for level, width in enumerate(LOOKS):
            self.register_buffer(f"level{level}", torch.eye(width))

    def forward(self, looks: list[Tensor]) -> list[Tensor]:
        """Maps [B, c, h, w] of all levels, each cell of length 1 again."""
        matrices = (self.get_buffer(f"level{level}") for level in range(len(LOOKS)))
        return [
            F.normalize(F.conv2d(look, matrix[:, :, None, None].to(look.dtype)), dim=1)
            for look, matrix in zip(looks, matrices, strict=True)
        ]


def split(instances: Tensor, keypoints: Tensor, meaning: int) -> tuple[Tensor, Tensor, Looks | None]:
    """Meanings of prompts [B, C, P + EXTRA] and [B, C, K, P + EXTRA], and their looks; none where they have width P."""
    if instances.shape[-1] == meaning:
        return instances, keypoints, None
    rows = keypoints[..., meaning:-3].unflatten(-1, (SHOTS, PATCH))
    looks = Looks(rows, keypoints[..., -3:-1], instances[..., -3:-1], instances[..., -1:], keypoints[..., -1])
    return instances[..., :meaning], keypoints[..., :meaning], looks


def join(meaning: Tensor, rows: Tensor, place: Tensor, share: Tensor) -> Tensor:
    """A prompt's vector [..., P + EXTRA] of its parts; `rows` [..., SHOTS, PATCH]."""
    return torch.cat((meaning, rows.flatten(-2), place, share), -1)


def looks_at(dense: list[Tensor], extent: tuple[float, float], points: Tensor, metric: Metric) -> Tensor:
    """Looks [K, PATCH] of points [K, 2] (fractions) of one picture; `dense` as the backbone gives it.

    What is around a point counts NEIGHBOUR as much; the sum over a level is 1 for what looks the same.
    """
    weights = points.new_tensor([1.0 if at == (0, 0) else NEIGHBOUR for at in AROUND])
    around = points.new_tensor(AROUND)
    found = []
    for look, stride in zip(metric([normalise(look) for look in dense[1:]]), (4, 8, 16, 16), strict=True):
        height, width = look.shape[-2:]
        reach = points.new_tensor((extent[0] / (width * stride), extent[1] / (height * stride)))
        places = points[:, None] * reach + around / points.new_tensor((width, height))  # K, 9, 2
        seen = F.grid_sample(look, (2 * places - 1)[None], align_corners=False, padding_mode="border")
        seen = F.normalize(seen[0], dim=0) * weights / weights.sum()  # c, K, 9
        found.append(seen.permute(1, 2, 0).flatten(1))
    return torch.cat(found, -1)


def alike(looks: Looks, maps: Maps, metric: Metric) -> Alike:
    """Lay the looks against the maps."""
    seen = [patches(look) for look in metric(maps.looks)]
    classes, count = looks.known.shape[1:]
    flat = correlate(looks.rows.flatten(1, 3), seen, maps.size) / len(LOOKS)
    like = flat.unflatten(1, (classes, count, SHOTS)).amax(3)  # B, C, K, N
    return Alike(VOTE * (_votes(looks, like, maps) - VOTE_LEAST), HEAT * (like - LIKE))


def _votes(looks: Looks, like: Tensor, maps: Maps) -> Tensor:
    """How well the keypoints around every cell agree that it is their centre: [B, C, N]."""
    height, width = maps.size
    pooled = F.max_pool2d(like.unflatten(-1, maps.size).flatten(0, 2).unsqueeze(1), POOL, ceil_mode=True)
    pooled = F.max_pool2d(pooled, NEAR, 1, NEAR // 2)  # B * C * K, 1, h, w
    tall, wide = pooled.shape[-2:]
    y, x = (torch.arange(side, device=like.device, dtype=like.dtype) + 0.5 for side in (tall, wide))
    cells = torch.stack(torch.meshgrid(x / wide, y / tall, indexing="xy"), -1)  # h, w, 2
    reach = like.new_tensor((maps.extent[0] / (wide * POOL), maps.extent[1] / (tall * POOL)))
    shift = (looks.place * looks.size.unsqueeze(2) * reach).flatten(0, 2)[:, None, None]
    votes = F.grid_sample(pooled, 2 * (cells + shift) - 1, align_corners=False, padding_mode="border")
    votes = votes.view(*looks.known.shape, tall, wide) * looks.known[..., None, None]
    mean = votes.sum(2) / looks.known.sum(2).clamp(min=1.0)[..., None, None]
    large = F.interpolate(mean, scale_factor=float(POOL), mode="bilinear", align_corners=False)
    return large[..., :height, :width].flatten(2)
