"""Constants of the feature maps: positions, references and proposals of the image tokens."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from xpose_stream.engines.xpose.config import XPoseConfig
from xpose_stream.engines.xpose.layers import sine_frequencies


class Grid(NamedTuple):
    """What the model knows of every image token before it sees the image; S tokens, level by level, row by row.

    Batch axis 1 when nothing is padded (then `padding` and `valid_ratios` are None), else B.
    """

    sizes: tuple[tuple[int, int], ...]  # (height, width) of every level
    positions: Tensor  # [1 | B, S, D] sine code, without the level's embedding
    references: Tensor  # [1 | B, S, levels, 4] (x, y, w, h) for deformable attention
    proposals: Tensor  # [1 | B, S, 4] before the sigmoid; +inf where invalid
    valid: Tensor  # [1 | B, S] True where a proposal is allowed
    frequencies: Tensor  # [D / 4] of the reference embedding
    padding: Tensor | None = None  # [B, S]
    valid_ratios: Tensor | None = None  # [B, levels, 2] (width, height)


@dataclass(frozen=True)
class GridMaker:
    """Builds the constants of a `Grid` in float64, for whole images or for padded ones."""

    config: XPoseConfig

    def whole(self, *sizes: tuple[int, int], like: Tensor) -> dict[str, Tensor]:
        """Constants without padding, as named tensors in the dtype and on the device of `like`."""
        masks = [torch.ones(1, *size, dtype=torch.bool) for size in sizes]
        return self._tensors(sizes, masks, like)

    def padded(self, sizes: tuple[tuple[int, int], ...], padding_mask: Tensor, like: Tensor) -> Grid:
        """A grid for a batch whose images lie in the top left corner of `padding_mask` [B, H, W], True on padding."""
        masks = [~shrink_mask(padding_mask, size) for size in sizes]
        shares = [(m[:, 0].double().mean(-1), m[:, :, 0].double().mean(-1)) for m in masks]
        ratios = torch.stack([torch.stack(share, -1) for share in shares], 1)
        padding = torch.cat([~m.flatten(1) for m in masks], 1)
        return Grid(sizes, **self._tensors(sizes, masks, like), padding=padding, valid_ratios=ratios.to(like))

    def _tensors(self, sizes: tuple[tuple[int, int], ...], masks: list[Tensor], like: Tensor) -> dict[str, Tensor]:
        centres = [cell_centres(mask) for mask in masks]
        counts = [torch.stack((m[:, 0].sum(-1), m[:, :, 0].sum(-1)), -1) for m in masks]  # [B, 2] cells (x, y)
        proposals, valid = self._proposals(centres, counts, masks)
        tensors = {
            "positions": torch.cat([self._positions(mask) for mask in masks], 1),
            "references": self._references(sizes, centres, counts),
            "proposals": proposals,
            "frequencies": sine_frequencies(self.config.hidden_dim // 2, 10000.0).to(like.device),
        }
        return {name: tensor.to(like) for name, tensor in tensors.items()} | {"valid": valid.to(like.device)}

    def _positions(self, mask: Tensor) -> Tensor:
        """Sine code of row and column, counted from 1 over the real cells, as fractions of their number; y first."""
        frequencies = sine_frequencies(self.config.hidden_dim // 2, 20.0).to(mask.device)
        row, column = mask.double().cumsum(1), mask.double().cumsum(2)
        codes = []
        for count, last in ((row, row[:, -1:]), (column, column[:, :, -1:])):
            angle = (2 * math.pi * count / (last + 1e-6)).unsqueeze(-1) / frequencies
            codes.append(torch.stack((angle.sin(), angle.cos()), -1).flatten(-2))
        return torch.cat(codes, -1).flatten(1, 2)

    def _references(self, sizes: tuple[tuple[int, int], ...], centres: list[Tensor], counts: list[Tensor]) -> Tensor:
        """Token centres on every level; their extent makes an offset of 1 one cell of the level sampled."""
        centre = torch.cat([c / n[:, None] for c, n in zip(centres, counts, strict=True)], 1)  # [B, S, 2] of valid part
        levels = []
        for (height, width), count in zip(sizes, counts, strict=True):
            size = torch.tensor((width, height), dtype=torch.float64, device=centre.device)
            extent = (2 * self.config.points / size).expand_as(centre)
            levels.append(torch.cat((centre * (count / size)[:, None], extent), -1))
        return torch.stack(levels, 2)

    def _proposals(self, centres: list[Tensor], counts: list[Tensor], masks: list[Tensor]) -> tuple[Tensor, Tensor]:
        """A square around every token as a first guess of a box, before the sigmoid, and where it is allowed."""
        boxes = []
        for level, (centre, count) in enumerate(zip(centres, counts, strict=True)):
            side = torch.full_like(centre, self.config.proposal_size * 2**level)
            boxes.append(torch.cat((centre / count[:, None], side), -1))  # a true division: borders sit on 0.01 exactly
        box = torch.cat(boxes, 1)
        valid = ((box > 0.01) & (box < 0.99)).all(-1) & torch.cat([m.flatten(1) for m in masks], 1)
        return torch.log(box / (1 - box)).masked_fill(~valid.unsqueeze(-1), math.inf), valid


def cell_centres(mask: Tensor) -> Tensor:
    """(x, y) of every cell centre in cells, row by row: [B, h, w] to [B, h * w, 2] float64."""
    batch, height, width = mask.shape
    y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
    return (torch.stack((x, y), -1).flatten(0, 1).double() + 0.5).to(mask.device).expand(batch, -1, -1)


def shrink_mask(mask: Tensor, size: tuple[int, int]) -> Tensor:
    """Nearest-neighbour resampling with source index floor(i * n / m): [B, H, W] to [B, h, w]."""
    rows = torch.arange(size[0], device=mask.device) * mask.shape[1] // size[0]
    columns = torch.arange(size[1], device=mask.device) * mask.shape[2] // size[1]
    return mask[:, rows][:, :, columns]
