"""What the backbone sees, as maps that rows are laid against."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from xpose_stream.engines.xpose.layers import take
from xpose_stream.engines.xpose.mobilenet import HIDDEN, NARROW

LOOKS = (40, 48, 96, 144)  # widths of the trunk's maps that are compared
TIMES = (1, 2, 4, 4)  # their strides in strides of the finest
LOOK = sum(LOOKS)
STRIDE = 4
AROUND = tuple((dx, dy) for dy in (-1, 0, 1) for dx in (-1, 0, 1))  # a cell and those around it


class Maps(NamedTuple):
    """What is laid against rows; N cells at stride 4, row by row."""

    size: tuple[int, int]  # cells: height, width; the last ones may reach beyond the image
    extent: tuple[float, float]  # of the image in cells: width, height
    centre: Tensor  # [B, N, HIDDEN] hidden layers of the heads
    heat: Tensor
    around: Tensor  # [B, N, 3 * NARROW] what those of shift and box are made of, where they are asked for
    deepening: Tensor  # [B, 3 * HIDDEN, NARROW + 1] the rows that make them, a bias last
    looks: list[Tensor]  # [B, c, h, w] of the trunk, normalised

    def shift(self, cell: Tensor) -> Tensor:
        """Of cells [B, T]: [B, T, HIDDEN]."""
        return self._hidden(cell, 0, 1)

    def box(self, cell: Tensor) -> Tensor:
        """Of cells [B, T]: [B, T, 2 * HIDDEN]."""
        return self._hidden(cell, 1, 3)

    def _hidden(self, cell: Tensor, first: int, end: int) -> Tensor:
        there = take(self.around, cell).unflatten(-1, (-1, NARROW))[:, :, first:end].transpose(1, 2)  # B, heads, T, n
        rows = self.deepening.unflatten(1, (-1, HIDDEN))[:, first:end]
        hidden = there @ rows[..., :-1].transpose(-1, -2) + rows[..., -1].unsqueeze(-2)
        return hidden.relu().transpose(1, 2).flatten(2)


def lay_out(dense: list[Tensor], image: tuple[int, int]) -> Maps:
    """Maps of what the backbone gives: hidden layers, what others are made of and how, and last the trunk's blocks."""
    centre, heat, around, deepening, *looks = dense
    size = int(heat.shape[-2]), int(heat.shape[-1])
    extent = image[1] / STRIDE, image[0] / STRIDE
    looks = [normalise(look) for look in looks]
    return Maps(size, extent, cells(centre), cells(heat), cells(around), deepening, looks)


def cells(map: Tensor) -> Tensor:
    """A map [B, c, h, w] as rows: [B, h * w, c]."""
    return map.permute(0, 2, 3, 1).flatten(1, 2)  # in this order: so compilers see that convolutions give just that


def normalise(look: Tensor) -> Tensor:
    """Every channel alike over the picture, every cell of length 1."""
    off = look - look.mean((2, 3), keepdim=True)
    cells = look.shape[2] * look.shape[3]
    spread = (off.square().sum((2, 3), keepdim=True) / (cells - 1)).sqrt()  # TensorRT takes no std_mean
    return F.normalize(off / (spread + 1e-5), dim=1)


def patches(look: Tensor) -> Tensor:
    """A map [B, c, h, w] with the eight cells around every one beside it: [B, 9 * c, h, w]."""
    height, width = look.shape[-2:]
    wide = F.pad(look, (1, 1, 1, 1), mode="replicate")
    return torch.cat([wide[..., 1 + dy : 1 + dy + height, 1 + dx : 1 + dx + width] for dx, dy in AROUND], 1)


def correlate(rows: Tensor, looks: list[Tensor], size: tuple[int, int]) -> Tensor:
    """Rows [B, M, c + ...] against the maps [B, c, h, w] of all levels: [B, M, N] at the finest, of `size` cells.

    Each level is compared at its own stride, then enlarged.
    """
    height, width = size
    total: Tensor | float = 0.0
    widths = [look.shape[1] for look in looks]
    for part, look, times in zip(rows.split(widths, -1), looks, TIMES, strict=True):
        seen = (cells(look) @ part.transpose(1, 2)).transpose(1, 2).unflatten(-1, look.shape[-2:])
        if times > 1:
            seen = F.interpolate(seen, scale_factor=float(times), mode="bilinear", align_corners=False)
        total = total + seen[..., :height, :width]
    assert isinstance(total, Tensor)
    return cells(total).transpose(1, 2)  # of channels last, in which compilers have them here
