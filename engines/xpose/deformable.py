"""Multi-scale deformable attention (Zhu et al., ICLR 2021)."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib.util import find_spec

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from xpose_stream.engines.xpose.layers import neighbours

Sizes = tuple[tuple[int, int], ...]  # (height, width) of every level
Places = tuple[Tensor, Tensor]  # x and y as fractions of the maps, each [B, T, heads, levels, points]


class DeformableAttention(nn.Module):
    """Each query samples `points` places per level and head around its reference and averages them."""

    def __init__(self, dim: int, heads: int, levels: int, points: int) -> None:
        super().__init__()
        self.heads, self.levels, self.points = heads, levels, points
        self.sampling_offsets = nn.Linear(dim, heads * levels * points * 2)
        self.attention_weights = nn.Linear(dim, heads * levels * points)
        self.value_proj = nn.Linear(dim, dim)
        self.output_proj = nn.Linear(dim, dim)
        self.sample: Callable[..., Tensor] | None = None  # a backend may want another implementation than `sample`

    def forward(
        self, query: Tensor, reference: Tensor, source: Tensor, sizes: Sizes, padding: Tensor | None = None
    ) -> Tensor:
        """Attend from `query` [B, T, D] to `source` [B, S, D] (all levels, row by row).

        `reference` [B or 1, T, levels, 4]: (x, y, w, h) as fractions of each level's map; an offset of `2 * points`
        moves a sample by (w, h). `padding` [B, S] is True on tokens that count as zero.
        """
        batch, tokens, _ = query.shape
        value = self.value_proj(source)
        if padding is not None:
            value = value.masked_fill(padding.unsqueeze(-1), 0.0)
        shape = (batch, tokens, self.heads, self.levels, self.points)
        offsets, weighing = self.sampling_offsets, self.attention_weights
        rows = torch.cat((offsets.weight[0::2], offsets.weight[1::2], weighing.weight))  # x apart from y
        bias = torch.cat((offsets.bias[0::2], offsets.bias[1::2], weighing.bias))
        x, y, weights = F.linear(query, rows, bias).chunk(3, -1)
        weights = weights.reshape(batch, tokens, self.heads, -1).softmax(-1).view(shape)
        around = reference[:, :, None, :, None].expand(-1, -1, self.heads, -1, self.points, -1)
        left, top, width, height = (part.flatten(2) for part in around.unbind(-1))
        x, y = left + x * (width * (0.5 / self.points)), top + y * (height * (0.5 / self.points))
        value = value.view(batch, -1, self.heads, value.shape[-1] // self.heads)
        return self.output_proj((self.sample or sample)(value, sizes, (x.view(shape), y.view(shape)), weights))


def sample(value: Tensor, sizes: Sizes, places: Places, weights: Tensor) -> Tensor:
    """Weighted bilinear samples of all levels: the one place where deformable attention touches pixels.

    `value` [B, S, heads, d] at `places` with `weights` [B, T, heads, levels, points] to [B, T, heads * d]. Outside a
    map counts as zero.
    """
    if torch.is_grad_enabled():
        return sample_maps(value, sizes, places, weights)
    if value.is_cuda and has_triton():
        from xpose_stream.engines.xpose.fused import sample_fused

        return sample_fused(value, [side for size in sizes for side in size], *places, weights)
    plain_cpu = value.device.type == "cpu" and not torch.compiler.is_compiling()
    return (sample_rows if plain_cpu else sample_maps)(value, sizes, places, weights)


@cache
def has_triton() -> bool:
    """Whether the fused kernel can be compiled; torch brings Triton where it supports it."""
    return find_spec("triton") is not None


def sample_maps(value: Tensor, sizes: Sizes, places: Places, weights: Tensor) -> Tensor:
    """`sample` by grid_sample on each level's map: differentiable, and a single TensorRT layer per level."""
    batch, tokens, heads, levels, points = weights.shape
    grid = (2 * torch.stack(places, -1) - 1).permute(3, 0, 2, 1, 4, 5).flatten(1, 2)  # levels, B * heads, T, points, 2
    maps = value.permute(0, 2, 3, 1).flatten(0, 1).split([h * w for h, w in sizes], -1)
    sampled = torch.cat(
        [
            F.grid_sample(level.unflatten(-1, size).to(grid.dtype), grid[i], align_corners=False)
            for i, (level, size) in enumerate(zip(maps, sizes, strict=True))
        ],
        -1,
    )  # B * heads, d, T, levels * points
    weights = weights.transpose(1, 2).reshape(batch * heads, 1, tokens, levels * points)
    return (sampled * weights).sum(-1).view(batch, -1, tokens).transpose(1, 2)


def sample_rows(value: Tensor, sizes: Sizes, places: Places, weights: Tensor) -> Tensor:
    """`sample` as weighted sums of value rows: each sample is its four neighbouring cells.

    On a CPU this is several times faster than grid_sample, whose memory order does not suit tokens.
    """
    batch, tokens, heads, levels, points = weights.shape
    per_head = levels * points
    starts = [sum(h * w for h, w in sizes[:level]) for level in range(levels)]
    x, y = (part.reshape(batch * tokens, -1) for part in places)
    shapes = x.new_tensor([(s, w, h) for s, (h, w) in zip(starts, sizes, strict=True)])
    start, width, height = shapes.repeat_interleave(points, 0).repeat(heads, 1).T
    first = torch.arange(heads, dtype=x.dtype, device=x.device).repeat_interleave(per_head) + start * heads
    if batch > 1:
        image = torch.arange(batch, dtype=first.dtype, device=first.device).repeat_interleave(tokens)
        first = first + image.view(-1, 1) * (value.shape[1] * heads)
    # All places of a query stand side by side until the end: along the short axes of heads and points compilers crawl.
    weights = weights.reshape(batch * tokens, -1)
    lines = [(cell * (width * heads) + first, share * weights) for cell, share in neighbours(y * height, height)]
    columns = [(cell * heads, share) for cell, share in neighbours(x * width, width)]
    index = [(down + across).view(-1, heads, per_head) for down, _ in lines for across, _ in columns]
    share = [(down * across).view(-1, heads, per_head) for _, down in lines for _, across in columns]
    table, bags = value.reshape(-1, value.shape[-1]), (-1, 4 * per_head)
    rows, weights = torch.cat(index, -1).view(bags).int(), torch.cat(share, -1).view(bags).to(table.dtype)
    return F.embedding_bag(rows, table, per_sample_weights=weights, mode="sum").view(batch, tokens, -1)
