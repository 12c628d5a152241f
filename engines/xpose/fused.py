"""Deformable attention's sampling as one Triton kernel: nothing between the locations and the sum goes to memory.

On an H100 it equalled grid_sample within 5e-7 in float32, and within 7e-4 with float16 values, when x and y of a
place lay beside each other. It needs no gradient: training samples with `sample_maps`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
import triton
import triton.language as tl
from torch import Tensor
from torch.library import triton_op, wrap_triton

QUERIES = 16  # per program


@triton.jit
def sample_kernel(  # type: ignore[no-untyped-def]
    value,  # pointers: [B, S, HEADS, DIM], three of [B * T, HEADS, LEVELS, POINTS], the sum
    across,
    down,
    weights,
    out,
    rows,  # B * T
    queries,  # T
    cells,  # S
    SIZES: tl.constexpr,  # (height, width, ...) of every level
    LEVELS: tl.constexpr,
    POINTS: tl.constexpr,
    HEADS: tl.constexpr,
    DIM: tl.constexpr,
    BLOCK_DIM: tl.constexpr,  # DIM up to a power of two
    BLOCK: tl.constexpr,
):
    """One head of BLOCK queries."""
    row = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    head = tl.program_id(1)
    channel = tl.arange(0, BLOCK_DIM)
    real = row < rows
    start = (row // queries) * cells
    total = tl.zeros((BLOCK, BLOCK_DIM), tl.float32)
    for level in tl.static_range(LEVELS):
        height = SIZES[2 * level]
        width = SIZES[2 * level + 1]
        for point in tl.static_range(POINTS):
            place = ((row * HEADS + head) * LEVELS + level) * POINTS + point
            x = tl.load(across + place, real, 0.0).to(tl.float32) * width - 0.5
            y = tl.load(down + place, real, 0.0).to(tl.float32) * height - 0.5
            weight = tl.load(weights + place, real, 0.0).to(tl.float32)
            for corner in tl.static_range(4):
                column = tl.floor(x) + corner % 2
                line = tl.floor(y) + corner // 2
                share = weight * (1 - tl.abs(x - column)) * (1 - tl.abs(y - line))
                inside = real & (column >= 0) & (column < width) & (line >= 0) & (line < height)
                cell = start + line.to(tl.int32) * width + column.to(tl.int32)
                address = (cell * HEADS + head)[:, None] * DIM + channel[None, :]
                found = tl.load(value + address, inside[:, None] & (channel < DIM)[None, :], 0.0)
                total += share[:, None] * found.to(tl.float32)
        start += height * width
    address = (row * HEADS + head)[:, None] * DIM + channel[None, :]
    tl.store(out + address, total.to(out.dtype.element_ty), real[:, None] & (channel < DIM)[None, :])


@triton_op("xpose::sample", mutates_args=())
def sample_fused(value: Tensor, sizes: Sequence[int], x: Tensor, y: Tensor, weights: Tensor) -> Tensor:
    """`deformable.sample` with `sizes` in one row: height, width of every level. Sums in float32."""
    return launch(wrap_triton(sample_kernel), value, sizes, x, y, weights)


def launch(kernel: Any, value: Tensor, sizes: Sequence[int], x: Tensor, y: Tensor, weights: Tensor) -> Tensor:
    """Run the kernel over all queries and heads."""
    batch, cells, heads, dim = value.shape
    queries, points = weights.shape[1], weights.shape[4]
    out = torch.empty(batch, queries, heads * dim, dtype=value.dtype, device=value.device)
    grid = (triton.cdiv(batch * queries, QUERIES), heads)
    kernel[grid](
        value.contiguous(),
        x.contiguous(),
        y.contiguous(),
        weights.contiguous(),
        out,
        batch * queries,
        queries,
        cells,
        SIZES=tuple(sizes),
        LEVELS=len(sizes) // 2,
        POINTS=points,
        HEADS=heads,
        DIM=dim,
        BLOCK_DIM=triton.next_power_of_2(dim),
        BLOCK=QUERIES,
    )
    return out
