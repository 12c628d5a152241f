"""Deformable attention on a CPU: weighted rows (what the engine uses) against grid_sample, interleaved in one run.

python benchmarks/sampling.py
"""

from __future__ import annotations

import time

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from xpose_stream.engines.xpose import XPoseConfig
from xpose_stream.engines.xpose.deformable import sample_maps, sample_rows

ROUNDS = 100


def main() -> None:
    """Print medians in ms for the query counts of xpose-nano at 144x192: encoder, keypoint and box layers."""
    config = XPoseConfig.nano()
    sizes = ((18, 24), (9, 12), (5, 6))
    tokens = sum(h * w for h, w in sizes)
    heads, points = config.attention_heads, config.points
    value = torch.randn(1, tokens, heads, config.hidden_dim // heads)
    table = Table("queries", "grid_sample ms", "rows ms", "ratio", title=f"medians of {ROUNDS}, CPU float32")
    for queries in (tokens, config.num_groups * 18, config.num_queries):
        places = tuple(torch.rand(2, 1, queries, heads, len(sizes), points))
        weights = torch.rand(1, queries, heads, len(sizes), points)
        times: dict[str, list[float]] = {"sample_maps": [], "sample_rows": []}
        for _ in range(ROUNDS):
            for function in (sample_maps, sample_rows):
                start = time.perf_counter()
                with torch.inference_mode():
                    function(value, sizes, places, weights)
                times[function.__name__].append(time.perf_counter() - start)
        maps, rows = (np.median(times[name][10:]) * 1e3 for name in ("sample_maps", "sample_rows"))
        table.add_row(str(queries), f"{maps:.2f}", f"{rows:.2f}", f"{maps / rows:.1f}")
    Console().print(table)


if __name__ == "__main__":
    main()
