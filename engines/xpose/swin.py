"""Swin transformer backbone (Liu et al., ICCV 2021) as X-Pose uses it: maps at strides 8, 16 and 32."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from xpose_stream.engines.xpose.config import XPoseConfig
from xpose_stream.engines.xpose.constants import SizeConstants


class Swin(nn.Module):
    """[B, 3, H, W] to three maps [B, c, h, w] with `channels` = (2E, 4E, 8E)."""

    def __init__(self, config: XPoseConfig) -> None:
        super().__init__()
        widths = [config.embed_dim * 2**s for s in range(len(config.depths))]
        self.channels = tuple(widths[1:])
        self.patch_embed = PatchEmbed(config.embed_dim)
        self.layers = nn.ModuleList(
            Stage(width, depth, heads, config.window_size, downsample=s + 1 < len(widths))
            for s, (width, depth, heads) in enumerate(zip(widths, config.depths, config.num_heads, strict=True))
        )
        for s, width in enumerate(widths[1:], start=1):
            self.add_module(f"norm{s}", nn.LayerNorm(width))

    def forward(self, images: Tensor) -> list[Tensor]:
        x = self.patch_embed(images)
        maps = []
        for s, stage in enumerate(self.layers):
            assert isinstance(stage, Stage)
            x = stage(x)
            if s > 0:
                maps.append(getattr(self, f"norm{s}")(x).permute(0, 3, 1, 2))
            x = stage.down(x)
        return maps


class PatchEmbed(nn.Module):
    """4x4 patches as tokens: [B, 3, H, W] to [B, H/4, W/4, E], zero-padded right and bottom."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.proj = nn.Conv2d(3, width, 4, stride=4)
        self.norm = nn.LayerNorm(width)

    def forward(self, images: Tensor) -> Tensor:
        height, width = images.shape[-2:]
        images = F.pad(images, (0, -width % 4, 0, -height % 4))
        return self.norm(self.proj(images).permute(0, 2, 3, 1))


class Stage(nn.Module):
    """Blocks at one resolution, [B, h, w, c], alternately with plain and shifted windows."""

    def __init__(self, width: int, depth: int, heads: int, window: int, downsample: bool) -> None:
        super().__init__()
        self.window = window
        self.blocks = nn.ModuleList(Block(width, heads, window, shift=i % 2 * (window // 2)) for i in range(depth))
        self.downsample = PatchMerging(width) if downsample else None
        self.constants = SizeConstants(self._make_constants)

    def down(self, x: Tensor) -> Tensor:
        """To the next stage's resolution and width."""
        return x if self.downsample is None else self.downsample(x)

    def _make_constants(self, padded: tuple[int, int], like: Tensor) -> dict[str, Tensor]:
        return {"mask": shift_mask(*padded, self.window, self.window // 2).to(like)}

    def forward(self, x: Tensor) -> Tensor:
        padded = tuple(math.ceil(size / self.window) * self.window for size in x.shape[1:3])
        mask = self.constants(padded, like=x).mask
        for block in self.blocks:
            x = block(x, mask)
        return x


class Block(nn.Module):
    """Window attention and an MLP, pre-norm with residuals."""

    def __init__(self, width: int, heads: int, window: int, shift: int) -> None:
        super().__init__()
        self.window, self.shift = window, shift
        self.norm1 = nn.LayerNorm(width)
        self.attn = WindowAttention(width, heads, window)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = nn.ModuleDict({"fc1": nn.Linear(width, 4 * width), "fc2": nn.Linear(4 * width, width)})

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        x = x + self._attend(self.norm1(x), mask)
        return x + self.mlp["fc2"](F.gelu(self.mlp["fc1"](self.norm2(x))))

    def _attend(self, x: Tensor, mask: Tensor) -> Tensor:
        batch, height, width, channels = x.shape
        w = self.window
        # Padding cells are zeros after the norm and do take part in attention, as in the published model.
        x = F.pad(x, (0, 0, 0, -width % w, 0, -height % w))
        rows, columns = x.shape[1] // w, x.shape[2] // w
        if self.shift:
            x = torch.roll(x, (-self.shift, -self.shift), (1, 2))
        windows = x.view(batch, rows, w, columns, w, channels).transpose(2, 3).reshape(-1, w * w, channels)
        windows = self.attn(windows, mask if self.shift else None)
        x = windows.view(batch, rows, columns, w, w, channels).transpose(2, 3).reshape(batch, rows * w, -1, channels)
        if self.shift:
            x = torch.roll(x, (self.shift, self.shift), (1, 2))
        return x[:, :height, :width]


class WindowAttention(nn.Module):
    """Attention among the cells of each window with a learned bias per relative position."""

    relative_position_index: Tensor

    def __init__(self, width: int, heads: int, window: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.proj = nn.Linear(width, width)
        self.relative_position_bias_table = nn.Parameter(torch.zeros((2 * window - 1) ** 2, heads))
        nn.init.trunc_normal_(self.relative_position_bias_table, std=0.02)
        self.register_buffer("relative_position_index", relative_position_index(window), persistent=False)

    def forward(self, windows: Tensor, mask: Tensor | None) -> Tensor:
        """[B * windows, cells, c]; `mask` [windows, cells, cells] is added to the scores."""
        count, cells, channels = windows.shape
        qkv = self.qkv(windows).view(count, cells, 3, self.heads, channels // self.heads).permute(2, 0, 3, 1, 4)
        bias = self.relative_position_bias_table[self.relative_position_index.flatten()]
        bias = bias.view(1, cells, cells, self.heads).permute(0, 3, 1, 2)
        if mask is not None:
            bias = bias + mask.unsqueeze(1)
            bias = bias.repeat(count // mask.shape[0], 1, 1, 1)
        attended = F.scaled_dot_product_attention(qkv[0], qkv[1], qkv[2], attn_mask=bias)
        return self.proj(attended.transpose(1, 2).flatten(2))


class PatchMerging(nn.Module):
    """Halve the resolution and double the width: [B, h, w, c] to [B, h/2, w/2, 2c]."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.reduction = nn.Linear(4 * width, 2 * width, bias=False)
        self.norm = nn.LayerNorm(4 * width)

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[1:3]
        x = F.pad(x, (0, 0, 0, width % 2, 0, height % 2))
        cells = (x[:, 0::2, 0::2], x[:, 1::2, 0::2], x[:, 0::2, 1::2], x[:, 1::2, 1::2])
        return self.reduction(self.norm(torch.cat(cells, -1)))


def relative_position_index(window: int) -> Tensor:
    """Row of the bias table for every pair of cells of a window, [cells, cells]."""
    row, column = (c.flatten() for c in torch.meshgrid(torch.arange(window), torch.arange(window), indexing="ij"))
    rows = row[:, None] - row[None, :] + window - 1
    columns = column[:, None] - column[None, :] + window - 1
    return rows * (2 * window - 1) + columns


def shift_mask(height: int, width: int, window: int, shift: int) -> Tensor:
    """-100 between cells that share a shifted window but not a neighbourhood, else 0: [windows, cells, cells]."""

    def labels(size: int) -> Tensor:
        position = torch.arange(size)
        return (position >= size - window).long() + (position >= size - shift).long()

    region = 3 * labels(height)[:, None] + labels(width)[None, :]
    region = region.view(height // window, window, width // window, window).transpose(1, 2).reshape(-1, window**2)
    return -100.0 * (region[:, :, None] != region[:, None, :]).double()
