"""Every engine that runs here against eager: speed, parity, build time.

python -m benchmarks.engine                                   xpose-nano on frames of the demo clip
python -m benchmarks.engine --swin --size 640x480             the published sizes, random weights, an input of that size
python -m benchmarks.engine --swin --padded --rounds 3        and the published code's redundant work, see padded.py
python -m benchmarks.engine --engine openvino --batch 4
"""

from __future__ import annotations

import resource
from typing import Annotated

import torch
import typer
from rich.console import Console

from benchmarks.padded import PaddedXPose
from xpose_stream.engines import NANO, PinnedPrompts, build_engine, load, prompts_for
from xpose_stream.engines.bench import Run, bench, table_of
from xpose_stream.engines.xpose import XPose, XPoseConfig
from xpose_stream.stream.prepare import inputs


def main(
    engine: Annotated[list[str] | None, typer.Option(help="Only this; again for more.")] = None,
    swin: Annotated[bool, typer.Option("--swin", help="The published sizes with random weights.")] = False,
    size: Annotated[str, typer.Option(help="WIDTHxHEIGHT of the model's input, with --swin.")] = "640x480",
    padded: Annotated[bool, typer.Option("--padded", help="Also the published code's redundant work.")] = False,
    batch: int = 1,
    rounds: int = 30,
) -> None:
    """Print a table for this machine."""
    torch.manual_seed(0)
    if swin:
        width, height = map(int, size.split("x"))
        model = XPose(XPoseConfig.swin_t()).eval()
        images = torch.randn(batch, 3, height, width)
        prompts = PinnedPrompts(torch.randn(1, 512), torch.randn(1, 17, 512), None)
    else:
        checkpoint = load(NANO)
        model = checkpoint.model
        images, prompts = inputs(build_engine(model, backend="eager"), prompts_for(checkpoint, "person"), batch=batch)
    beside: dict[str, Run] = {}
    if padded:
        wasteful = PaddedXPose(model)
        beside["padded"] = torch.inference_mode()(lambda: wasteful(images, prompts.instances, prompts.keypoints[0]))
    timings = bench(model, images, prompts, engine or (), rounds, calls=1 if swin else 3, beside=beside)
    name, shape = "Swin-T" if swin else "xpose-nano", "x".join(map(str, images.shape))
    title = f"{name}, images {shape}, 1 class, 17 keypoints, {torch.get_num_threads()} threads"
    Console().print(table_of(timings, title, batch))
    print(f"peak memory of the whole run {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MiB")


if __name__ == "__main__":
    typer.run(main)
