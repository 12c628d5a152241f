"""Run by test_fused.py under TRITON_INTERPRET=1: largest differences of the fused kernel to sample_maps, as JSON."""

from __future__ import annotations

import json

import torch

from xpose_stream.engines.xpose.deformable import sample_maps
from xpose_stream.engines.xpose.fused import launch, sample_kernel

CASES = {
    "a dimension that is a power of two": (2, 3, 32, ((5, 7), (3, 4)), torch.float32),
    "one that is not": (1, 2, 24, ((5, 7), (3, 4), (1, 2)), torch.float32),
    "half values": (1, 2, 16, ((4, 6),), torch.float16),
}


def main() -> None:
    torch.manual_seed(0)
    found = {}
    for name, (batch, heads, dim, sizes, dtype) in CASES.items():
        cells, queries, points = sum(h * w for h, w in sizes), 21, 2
        value = torch.randn(batch, cells, heads, dim).to(dtype)
        x, y = 1.6 * torch.rand(2, batch, queries, heads, len(sizes), points) - 0.3  # some outside
        weights = torch.rand(batch, queries, heads, len(sizes), points)
        flat = [side for size in sizes for side in size]
        expected = sample_maps(value, sizes, (x, y), weights)
        found[name] = float((launch(sample_kernel, value, flat, x, y, weights) - expected).abs().max())
    print(json.dumps(found))


if __name__ == "__main__":
    main()
