"""How far float16 takes xpose-nano's answers from float32's, on a CPU.

    python -m benchmarks.half

On every sixtieth frame of the demo clip; of detections with a score above 0.3, matched by group.
"""

from __future__ import annotations

import torch
from rich.console import Console
from rich.table import Table

from xpose_stream.engines import NANO, load, prompts_for
from xpose_stream.engines.backends.half import halve
from xpose_stream.engines.engine import fold_batch_norms
from xpose_stream.stream.preprocess import Preprocessor
from xpose_stream.stream.sources import open_source

CLIP = NANO.parents[1] / "demo" / "crossing.mp4"
EVERY, SHOWN = 60, 0.3


@torch.no_grad()
def main() -> None:
    """Print a row for each frame: the largest difference of keypoints and boxes, as shares of the picture."""
    checkpoint = load(NANO)
    model, bank = fold_batch_norms(checkpoint.model.eval()), prompts_for(checkpoint, "person")
    half, prompts = halve(model), (bank.instances, bank.keypoints)
    preprocess = Preprocessor(model.config.short_side, model.config.long_side, torch.device("cpu"))
    table = Table("frame", "keypoints", "boxes")
    with open_source(CLIP) as source:
        for frame in source:
            if frame.index % EVERY:
                continue
            image = preprocess(frame)
            full, less = model(image, *prompts), half(image, *prompts)
            shown = full.logits[0, :, 0].sigmoid() > SHOWN
            apart = [(a - b)[0, shown].abs().max() for a, b in zip(full[1:3], less[1:3], strict=True)]
            boxes, keypoints = (f"{float(value):.1e}" for value in apart)
            table.add_row(str(frame.index), keypoints, boxes)
    Console().print(table)


if __name__ == "__main__":
    main()
