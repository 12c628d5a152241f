"""What each exact saving saves: our model with one redundancy of the published code put back, interleaved in one run.

python benchmarks/exact_savings.py [--size 480x640] [--rounds 3]
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import fields

import numpy as np
import torch
import typer
from rich.console import Console
from rich.progress import track
from rich.table import Table
from torch import Tensor

from benchmarks.padded import ALL, PaddedXPose, Redundancy
from engines.xpose import XPose, XPoseConfig

PUT_BACK = {
    "text": "350 class tokens",
    "keypoints": "68 keypoint tokens per group",
    "dense": "one masked attention over all groups",
    "wide": "fusion at width 1024 per image token",
    "scores": "scores in the text's self-attention",
    "averaged": "attention weights averaged and dropped",
    "constants": "constants of the size made anew",
    "heads": "heads after every layer, NaN scans",
    "maps": "grid_sample instead of weighted rows",
}


def main(size: str = "480x640", rounds: int = 3, keypoints: int = 17) -> None:
    """Print medians of wall and CPU seconds, and their ratios to the model without any of it."""
    torch.manual_seed(0)
    height, width = map(int, size.split("x"))
    model = XPose(XPoseConfig.swin_t()).eval().requires_grad_(False)
    inputs = torch.randn(1, 3, height, width), torch.randn(1, 512), torch.randn(keypoints, 512)
    runs: dict[str, Callable[..., tuple[Tensor, ...]]] = {"ours": model}
    for field in fields(Redundancy):
        runs[PUT_BACK[field.name]] = PaddedXPose(model, Redundancy.only(field.name))
    runs["all of it"] = PaddedXPose(model, ALL)
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in runs}
    for _ in track(range(rounds), "rounds", console=Console(stderr=True)):
        for name, run in runs.items():
            start = time.perf_counter(), time.process_time()
            with torch.inference_mode():
                run(*inputs)
            seconds[name].append((time.perf_counter() - start[0], time.process_time() - start[1]))
    table = Table("put back", "wall s", "CPU s", "wall ratio", "CPU ratio")
    table.title = f"Swin-T {size}, C=1, K={keypoints}, float32, eager, {torch.get_num_threads()} threads"
    ours = np.median(seconds["ours"], axis=0)
    for name, times in seconds.items():
        wall, cpu = np.median(times, axis=0)
        table.add_row(name, f"{wall:.2f}", f"{cpu:.2f}", f"{wall / ours[0]:.2f}", f"{cpu / ours[1]:.2f}")
    Console(width=110).print(table)


if __name__ == "__main__":
    typer.run(main)
