"""Making an engine ready before a stream starts, so that its first frames are not the slow ones."""

from __future__ import annotations

import threading
from itertools import islice
from pathlib import Path

import torch
from torch import Tensor

from engines import Engine, PinnedPrompts, PromptBank
from stream.frame import Frame
from stream.preprocess import Preprocessor
from stream.sources import open_source

CLIP = Path(__file__).parents[1] / "configs" / "demo" / "crossing.mp4"


def prepare(engine: Engine, prompts: PromptBank, source: str) -> None:
    """Make `engine` ready for the first frame of `source` and for `prompts`. Raises SourceError.

    Takes a second where the engine is in the cache, else as long as its compiler. An interrupt (Ctrl-C) ends the wait.
    """
    images, pinned = inputs(engine, prompts, source)
    build = threading.Thread(target=engine.prepare, args=(images, pinned), name="engine build", daemon=True)
    build.start()
    while build.is_alive():  # nothing stops a compiler, so the waiting is done here
        build.join(0.05)


def inputs(
    engine: Engine, prompts: PromptBank, source: str | Path = CLIP, batch: int = 1, size: tuple[int, int] | None = None
) -> tuple[Tensor, PinnedPrompts]:
    """What `engine` would be given: the first `batch` frames of `source`, scaled to `size` (width, height).

    Raises SourceError.
    """
    preprocess = Preprocessor(engine.config.short_side, engine.config.long_side, engine.device)
    with open_source(source) as frames:
        images = [preprocess(frame if size is None else _scaled(frame, *size)) for frame in islice(frames, batch)]
    return torch.cat(images), engine.pin(prompts.instances, prompts.keypoints, prompts.keypoint_mask)


def _scaled(frame: Frame, width: int, height: int) -> Frame:
    picture = frame.picture.reformat(width, height)
    return Frame(frame.camera, frame.index, frame.pts, frame.captured_at, frame.clock, frame.arrived, picture)
