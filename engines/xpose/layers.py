"""Small pieces that several parts of X-Pose share."""

from __future__ import annotations

import math
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class MLP(nn.Module):
    """Linear layers with ReLU between them: widths (a, b, ..., z) map [..., a] to [..., z]."""

    def __init__(self, *widths: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise(widths))

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers[:-1]:
            x = F.relu(layer(x))
        return self.layers[-1](x)


class Attention(nn.Module):
    """Multi-head attention with PyTorch's packed parameters and no attention weights returned."""

    def __init__(self, dim: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.in_proj_weight = nn.Parameter(torch.empty(3 * dim, dim))
        self.in_proj_bias = nn.Parameter(torch.zeros(3 * dim))
        self.out_proj = nn.Linear(dim, dim)
        nn.init.xavier_uniform_(self.in_proj_weight)

    def forward(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None) -> Tensor:
        """Attend from [B, T, D] to [B, S, D]; `mask` is True where attention is allowed, broadcast to [B, 1, T, S]."""
        if key is value and key.shape[1] == 1:  # softmax over one token is 1: every query gets its value
            return self._value_alone(value).expand_as(query)
        dim = query.shape[-1]
        if key is query:
            q, k = F.linear(query, self.in_proj_weight[: 2 * dim], self.in_proj_bias[: 2 * dim]).chunk(2, -1)
        else:
            q = F.linear(query, self.in_proj_weight[:dim], self.in_proj_bias[:dim])
            k = F.linear(key, self.in_proj_weight[dim : 2 * dim], self.in_proj_bias[dim : 2 * dim])
        v = F.linear(value, self.in_proj_weight[2 * dim :], self.in_proj_bias[2 * dim :])
        q, k, v = (self._split(x) for x in (q, k, v))
        attended = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        return self.out_proj(attended.transpose(1, 2).flatten(2))

    def _value_alone(self, value: Tensor) -> Tensor:
        dim = value.shape[-1]
        return self.out_proj(F.linear(value, self.in_proj_weight[2 * dim :], self.in_proj_bias[2 * dim :]))

    def _split(self, x: Tensor) -> Tensor:
        batch, tokens, dim = x.shape
        return x.view(batch, tokens, self.heads, dim // self.heads).transpose(1, 2)


def sine_frequencies(channels: int, temperature: float) -> Tensor:
    """Divisors T^(2i/channels) of `channels / 2` sine-cosine pairs, float64."""
    return temperature ** (torch.arange(0, channels, 2, dtype=torch.float64) / channels)


def sine(position: Tensor, frequencies: Tensor) -> Tensor:
    """Interleaved sin, cos of 2*pi*position / frequency: [...] to [..., 2 * len(frequencies)]."""
    angle = (2 * math.pi * position).unsqueeze(-1) / frequencies.repeat_interleave(2)
    quarter = math.pi / 2 * (torch.arange(angle.shape[-1], dtype=angle.dtype, device=angle.device) % 2)
    return (angle + quarter).sin()  # a cosine is a sine a quarter later


def inverse_sigmoid(p: Tensor) -> Tensor:
    """ln(p / (1 - p)) for p in 0..1, both terms floored at 1e-3."""
    return torch.log(p.clamp(min=1e-3) / (1 - p).clamp(min=1e-3))


def take(x: Tensor, index: Tensor) -> Tensor:
    """Rows of x [B, S, D] at `index` [B, T]: [B, T, D]."""
    if len(x) == len(index) == 1:  # compilers read rows faster than single numbers
        return x[0].index_select(0, index[0]).unsqueeze(0)
    return x.gather(1, index.unsqueeze(-1).expand(-1, -1, x.shape[-1]))


def neighbours(place: Tensor, size: Tensor) -> tuple[tuple[Tensor, Tensor], tuple[Tensor, Tensor]]:
    """The cells before and after places [...] along an axis, kept among its `size`, each with its linear weight [...].

    Places are in cells, the first cell's middle at 0.5; what is beyond the axis has weight 0.
    """
    pixel = place - 0.5
    before = pixel.floor()
    share = pixel - before
    first, second = (cell.clamp(min=0).minimum(size - 1) for cell in (before, before + 1))
    return (first, (1 - share) * (first == before)), (second, share * (second == before + 1))
