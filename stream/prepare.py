"""Making an engine ready before a stream starts, so that its first frames are not the slow ones."""

from __future__ import annotations

import re
import threading
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from engines import Engine, EngineError, PinnedPrompts, PromptBank, build_engine, load, prompts_for
from engines.bench import bench, table_of
from stream.frame import Frame
from stream.preprocess import Preprocessor
from stream.sources import open_source

CONFIGS = Path(__file__).parents[1] / "configs"
CLIP = CONFIGS / "demo" / "crossing.mp4"
NANO = CONFIGS / "models" / "xpose-nano.safetensors"


def prepare(engine: Engine, prompts: PromptBank, source: str) -> None:
    """Make `engine` ready for the first frame of `source` and for `prompts`. Raises SourceError.

    Takes a second where the engine is in the cache, else as long as its compiler. An interrupt (Ctrl-C) ends the wait.
    """
    images, pinned = inputs(engine, prompts, source)
    build = threading.Thread(target=engine.prepare, args=(images, pinned), name="engine build", daemon=True)
    build.start()
    while build.is_alive():  # nothing stops a compiler, so the waiting is done here
        build.join(0.05)


def build(weights: Path | None, prompt: str, size: str, batch: int, backend: str, precision: str) -> str:
    """Build or find the engine for a camera of `size`, and say what came of it. Raises one of USER_ERRORS."""
    shape = size_of(size)
    checkpoint = load(weights or NANO)
    prompts = prompts_for(checkpoint, prompt)
    engine = build_engine(checkpoint.model, backend=backend, precision=precision)
    images, pinned = inputs(engine, prompts, batch=batch, size=shape)
    with Console(stderr=True).status(f"building for {size}, batch {batch}, '{prompts.name}'"):
        ready = engine.prepare(images, pinned)
    if ready == "eager" and backend not in ("auto", "eager"):
        raise EngineError(f"The engine {backend} was not admitted; the warning above says why.")
    return f"{ready} is ready for {size}, batch {batch}, '{prompts.name}'"


def measure(weights: Path | None, prompt: str, size: str, batch: int, names: Sequence[str]) -> Table:
    """A table of the engines that run here. Raises one of USER_ERRORS."""
    shape = size_of(size)
    checkpoint = load(weights or NANO)
    prompts = prompts_for(checkpoint, prompt)
    images, pinned = inputs(build_engine(checkpoint.model, backend="eager"), prompts, batch=batch, size=shape)
    return table_of(bench(checkpoint.model, images, pinned, names), f"{size}, batch {batch}, '{prompts.name}'", batch)


def size_of(text: str) -> tuple[int, int]:
    """(width, height) of "640x480"; raises EngineError."""
    if not re.fullmatch(r"[1-9]\d{1,4}x[1-9]\d{1,4}", text):
        raise EngineError(f"'{text}' is no size; write it like 640x480.")
    width, height = text.split("x")
    return int(width), int(height)


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
