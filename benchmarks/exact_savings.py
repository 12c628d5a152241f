"""What each exact saving saves: our model with one redundancy of the published code put back, interleaved in one run.

python -m benchmarks.exact_savings [--size 480x640] [--rounds 3]
"""

from __future__ import annotations

from functools import partial

import torch
import typer
from rich.console import Console

from benchmarks.padded import ALL, PaddedXPose, Redundancy
from xpose_stream.engines.bench import Run, Timing, measure, table_of
from xpose_stream.engines.xpose import XPose, XPoseConfig

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
    """Print medians and their ratios to the model without any of it."""
    torch.manual_seed(0)
    height, width = map(int, size.split("x"))
    model = XPose(XPoseConfig.swin_t()).eval().requires_grad_(False)
    inputs = torch.randn(1, 3, height, width), torch.randn(1, 512), torch.randn(keypoints, 512)
    runs: dict[str, Run] = {"ours": partial(model, *inputs)}
    for name, text in PUT_BACK.items():
        runs[text] = partial(PaddedXPose(model, Redundancy.only(name)), *inputs)
    runs["all of it"] = partial(PaddedXPose(model, ALL), *inputs)
    timings = {name: Timing() for name in runs}
    with torch.inference_mode():
        measure(runs, timings, rounds, calls=1)
    title = f"Swin-T {size}, C=1, K={keypoints}, float32, eager, {torch.get_num_threads()} threads"
    Console(width=110).print(table_of(timings, title))


if __name__ == "__main__":
    typer.run(main)
