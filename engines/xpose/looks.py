"""What the backbone sees, as maps that rows are laid against."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from xpose_stream.engines.xpose.mobilenet import HIDDEN

LOOKS = (40, 48, 96, 144)  # widths of the trunk's maps that are compared
TIMES = (1, 2, 4, 4)  # their strides in strides of the finest
LOOK = sum(LOOKS)
STRIDE = 4
AROUND = tuple((dx, dy) for dy in (-1, 0, 1) for dx in (-1, 0, 1))  # a cell and those around it


class Maps(NamedTuple):
    """What is laid against rows; N cells at stride 4, row by row."""

    size: tuple[int, int]  # cells: height, width; the last ones may reach beyond the image
    extent: tuple[float, float]  # of the image in cells: width, height
    centre: Tensor  # [B, HIDDEN, N] hidden layers of the heads, likewise the three below
    heat: Tensor
    shift: Tensor
    box: Tensor  # [B, 2 * HIDDEN, N]
    looks: list[Tensor]  # [B, c, h, w] of the trunk, normalised


def lay_out(dense: list[Tensor], image: tuple[int, int]) -> Maps:
    """Maps of what the backbone gives: the hidden layers of the heads, then the trunk's blocks."""
    hidden, looks = dense[0], dense[1:]
    size = int(hidden.shape[-2]), int(hidden.shape[-1])
    centre, heat, shift, box = hidden.flatten(2).split((HIDDEN, HIDDEN, HIDDEN, 2 * HIDDEN), 1)
    extent = image[1] / STRIDE, image[0] / STRIDE
    return Maps(size, extent, centre, heat, shift, box, [normalise(look) for look in looks])


def normalise(look: Tensor) -> Tensor:
    """Every channel alike over the picture, every cell of length 1."""
    spread, mean = torch.std_mean(look, (2, 3), keepdim=True)
    return F.normalize((look - mean) / (spread + 1e-5), dim=1)


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
        seen = (part @ look.flatten(2)).unflatten(-1, look.shape[-2:])
        if times > 1:
            seen = F.interpolate(seen, scale_factor=float(times), mode="bilinear", align_corners=False)
        total = total + seen[..., :height, :width].flatten(2)
    assert isinstance(total, Tensor)
    return total
