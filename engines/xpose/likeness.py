"""Prompts by example as rows themselves: what tells a marked keypoint from all else, laid against the trunk's maps.

A prompt with looks is wider than one in words: after its meaning come a row for each of TURNS ways round, a size or, of
a keypoint, a place, the least evidence, and the share of the looks in what it says or whether a keypoint is known. The
trunk's features match by themselves, better in directions learned from views of a point, and best where a row was
fitted to the example's own picture (engines/prompts/regression.py).
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from xpose_stream.engines.xpose.looks import AROUND, LOOK, LOOKS, Maps, correlate, patches

TURNS = 8  # ways round that an example is looked for: it, turned by so many equal angles
PATCH = len(AROUND) * LOOK  # width of a row: what is around a keypoint belongs to it
EXTRA = TURNS * PATCH + 4  # width of what follows the meaning
HEAT, LIKE = 30.0, 0.9  # logit of a keypoint: times how much likelier; so much that heat has no plateau
# Logit of a centre: how sharply it grows with the evidence, which is the logarithm of how alike its keypoints are times
# how many deviations they are more so than is usual over the picture. Where it is 0 each prompt says (`Looks.least`);
# so slowly does it grow that a track is held where there is much less.
VOTE = 2.0
BESIDE = 0.5  # how much what is less alike than another place of the picture is less believed
GAUSS = 1.25  # of a mean deviation: makes it that of a normal distribution
FAINT = 1e-3  # what is less alike, or less above the rest, is as good as not
WAY = 2.0  # how much more the way round counts that fits a place better by a deviation
FAR = 2.2  # ln of how much farther than a person's keypoints those of an example may be from where they are expected
POOL, NEAR = 2, 5  # votes are counted at stride 8, each for so many cells around
MIDDLE = 0.02  # of their mean around: of cells that agree alike the middle one is the centre, not what rounding says


class Looks(NamedTuple):
    """What C prompts with K keypoints each say by example."""

    rows: Tensor  # [B, C, K, TURNS, PATCH]
    place: Tensor  # [B, C, K, 2] from the centre of the box, in boxes
    size: Tensor  # [B, C, 2] of the box, as fractions
    least: Tensor  # [B, C, 1] evidence from which on something is rather one of them than not
    share: Tensor  # [B, C, 1] of the looks, 0..1
    known: Tensor  # [B, C, K] 1 where an example shows the keypoint


class Alike(NamedTuple):
    """Where a picture looks like them."""

    centre: Tensor  # [B, C, N] logits
    ways: Tensor  # [B, C, TURNS, N] logits of the way round of what is there
    heat: Tensor  # [B, C, TURNS, K, N] logits
    shift: Tensor  # [B, C, TURNS, K, 2] from the centre to the keypoints, in cells


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
    rows, place = keypoints[..., meaning:-4].unflatten(-1, (TURNS, PATCH)), keypoints[..., -4:-2]
    size, least, share = instances[..., -4:].split((2, 1, 1), -1)
    looks = Looks(rows, place, size, least, share, keypoints[..., -1])
    return instances[..., :meaning], keypoints[..., :meaning], looks


def join(meaning: Tensor, rows: Tensor, place: Tensor, least: Tensor, share: Tensor) -> Tensor:
    """A prompt's vector [..., P + EXTRA] of its parts; `rows` [..., TURNS, PATCH]. Keypoints have no `least`."""
    return torch.cat((meaning, rows.flatten(-2), place, least, share), -1)


def seen(looks: list[Tensor], metric: Metric) -> list[Tensor]:
    """What rows are laid against: the trunk's maps [B, c, h, w] with what is around each cell, [B, 9 * c, h, w]."""
    return [patches(look) for look in metric(looks)]


def alike(looks: Looks, maps: Maps, metric: Metric) -> Alike:
    """Lay the looks against the maps."""
    classes, keypoints = looks.known.shape[1:]
    flat = correlate(looks.rows.transpose(2, 3).flatten(1, 3), seen(maps.looks, metric), maps.size)
    like = flat.unflatten(1, (classes, TURNS, keypoints))  # B, C, TURNS, K, N
    shift = _turned(looks.place * looks.size.unsqueeze(2) * like.new_tensor(maps.extent))
    votes = _votes(looks.known, like, shift, maps.size)
    known = looks.known.unsqueeze(2)  # B, C, 1, K
    count = known.sum(-1).clamp(min=1.0)
    usual = like.mean(-1, keepdim=True)
    level = (usual[..., 0] * known).sum(-1) / count  # B, C, TURNS
    spread = ((like - usual).abs().mean(-1) * known).sum(-1) / count
    above = (votes - level.unsqueeze(-1)) / (GAUSS * spread.mean(-1)[..., None, None] + FAINT)
    evidence = (votes.clamp(min=FAINT) * above.clamp(min=FAINT)).amax(2).log()  # B, C, N
    beside = evidence - evidence.amax(-1, keepdim=True)
    centre = VOTE * (evidence + BESIDE * beside - looks.least)
    return Alike(centre, WAY * above, HEAT * (like - LIKE), shift)


def as_it_lies(alike: Alike, own: Tensor, cell: Tensor) -> tuple[Tensor, Tensor]:
    """Of groups in cells [B, G], whose classes are `own` [B, G, C] (0 or 1), each by the way round that fits there.

    The shifts [B, G, K, 2] to their keypoints, in cells, and their heat [B, G, K, N] in logarithms.
    """
    ways = alike.ways.flatten(1, 2)  # B, C * TURNS, N
    there = ways.gather(2, cell.unsqueeze(1).expand(-1, ways.shape[1], -1)).transpose(1, 2)
    share = (there.unflatten(2, (-1, TURNS)).softmax(-1) * own.unsqueeze(-1)).flatten(2)  # B, G, C * TURNS
    shift = share @ alike.shift.flatten(1, 2).flatten(2)
    heat = share @ F.logsigmoid(alike.heat).flatten(1, 2).flatten(2)
    return shift.unflatten(-1, alike.shift.shape[3:]), heat.unflatten(-1, alike.heat.shape[3:])


def _turned(shift: Tensor) -> Tensor:
    """Shifts [B, C, K, 2] turned all ways, counterclockwise as it is seen: [B, C, TURNS, K, 2]."""
    angles = [2 * math.pi * turn / TURNS for turn in range(TURNS)]
    turns = shift.new_tensor([((math.cos(a), -math.sin(a)), (math.sin(a), math.cos(a))) for a in angles])
    return shift.unsqueeze(2) @ turns


def _votes(known: Tensor, like: Tensor, shift: Tensor, size: tuple[int, int]) -> Tensor:
    """How well the keypoints around every cell agree that it is the centre of what lies so round: [B, C, TURNS, N]."""
    height, width = size
    whole = (0, -width % POOL, 0, -height % POOL)  # TensorRT takes no ceil_mode
    pooled = F.max_pool2d(F.pad(like.unflatten(-1, size).flatten(0, 3).unsqueeze(1), whole, "replicate"), POOL)
    pooled = F.max_pool2d(pooled, NEAR, 1, NEAR // 2)  # B * C * TURNS * K, 1, h, w
    tall, wide = pooled.shape[-2:]
    y, x = (torch.arange(side, device=like.device, dtype=like.dtype) + 0.5 for side in (tall, wide))
    cells = torch.stack(torch.meshgrid(x / wide, y / tall, indexing="xy"), -1)  # h, w, 2
    reach = (shift / shift.new_tensor((wide * POOL, tall * POOL))).flatten(0, 3)[:, None, None]
    votes = F.grid_sample(pooled, 2 * (cells + reach) - 1, align_corners=False, padding_mode="border")
    votes = votes.view(*like.shape[:4], tall, wide) * known[:, :, None, :, None, None]
    mean = (votes.sum(3) / known.sum(2).clamp(min=1.0)[:, :, None, None, None]).flatten(0, 1)
    around = F.avg_pool2d(mean, 2 * NEAR - 1, 1, NEAR - 1, count_include_pad=False)
    mean = mean + MIDDLE * (around - mean)
    large = F.interpolate(mean, scale_factor=float(POOL), mode="bilinear", align_corners=False)
    return large[..., :height, :width].flatten(2).view(*like.shape[:3], -1)
