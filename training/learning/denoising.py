"""Noised true boxes as additional queries that learn to find their way back, without any matching."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from xpose_stream.engines.xpose import Denoising
from xpose_stream.training.data.geometry import centres, corners
from xpose_stream.training.data.targets import Targets

# A corner of a positive query lies within this share of half the box's side; a negative one up to twice as far.
NOISE = 0.5
CLASS_FLIPS = 0.2


@dataclass(frozen=True, slots=True)
class Noised:
    """N noised queries for each of B images.

    Attributes:
        queries: what `XPose.stages` takes: classes [B, N], boxes [B, N, 4] (cx, cy, w, h), and mask [N, N], True where
            one query may see another, which is within its group.
        instance: [B, N] slot of the instance to restore; -1: none, the query is to be rejected.
    """

    queries: Denoising
    instance: Tensor

    def to(self, device: torch.device) -> Noised:
        """The same on a device."""
        return Noised(Denoising(*(part.to(device) for part in self.queries)), self.instance.to(device))


def add_noise(
    targets: Targets, classes: int, groups: int, slots: int, generator: torch.Generator | None = None
) -> Noised:
    """Noise the true boxes: per group `slots` positive and `slots` negative queries, so N = 2 * groups * slots.

    The number is the same for every batch. Slots beyond an image's instances hold random boxes to be rejected, so that
    the queries do not give away how many instances there are; instances beyond the slots are left out of a group.

    Args:
        classes: number of instance prompts.
        generator: source of the noise, on the host.

    Source: DN-DETR (Li et al. 2022); positive and negative noise from DINO (Zhang et al. 2022).
    """
    batch, room = targets.real.shape

    def draw(*shape: int) -> Tensor:
        return torch.rand(shape, generator=generator)

    real = targets.real.cpu()
    # Another random choice of instances for every group: the real ones first, in random order.
    order = (draw(batch, groups, room) + (~real[:, None]) * 2.0).argsort(-1)
    order = torch.nn.functional.pad(order, (0, max(0, slots - room)))[..., :slots]
    rank = torch.arange(slots)
    chosen = rank < real.sum(-1)[:, None, None].clamp(max=room)  # [B, 1, slots]
    chosen = chosen.expand(batch, groups, slots)
    boxes = targets.boxes.cpu()[torch.arange(batch)[:, None, None], order]  # [B, groups, slots, 4]
    labels = targets.classes.cpu()[torch.arange(batch)[:, None, None], order]
    filler = torch.cat((draw(batch, groups, slots, 2), 0.05 + 0.6 * draw(batch, groups, slots, 2)), -1)
    boxes = torch.where(chosen[..., None], boxes, filler)
    labels = torch.where(chosen, labels, (draw(batch, groups, slots) * classes).long())

    boxes, labels, order = (x.repeat_interleave(2, 2) for x in (boxes, labels, order))  # positive, negative, positive..
    negative = (torch.arange(2 * slots) % 2).expand(batch, groups, -1)
    wanted = chosen.repeat_interleave(2, 2) & (negative == 0)
    amount = draw(batch, groups, 2 * slots, 4) + negative[..., None]
    sign = torch.where(draw(batch, groups, 2 * slots, 4) < 0.5, -1.0, 1.0)
    half = boxes[..., 2:].repeat(1, 1, 1, 2) / 2
    noised = (corners(boxes) + sign * amount * NOISE * half).clamp(0, 1)
    low, high = noised.split(2, -1)  # large noise may turn a box inside out
    noised = torch.cat((torch.minimum(low, high), torch.maximum(low, high)), -1)
    wrong = draw(batch, groups, 2 * slots) < CLASS_FLIPS
    labels = torch.where(wrong, (draw(batch, groups, 2 * slots) * classes).long(), labels)

    device = targets.boxes.device
    group = torch.arange(groups).repeat_interleave(2 * slots)
    queries = Denoising(labels.flatten(1), centres(noised).flatten(1, 2), group[:, None] == group)
    instance = torch.where(wanted, order, -1).flatten(1)
    return Noised(Denoising(*(part.to(device) for part in queries)), instance.to(device))
