"""Engines ahead of a stream, for the size of a camera's frames: `xpose-stream engine build` and `engine bench`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from xpose_stream.engines import DEFAULT, EngineError, build_engine, load, prompts_for
from xpose_stream.engines.bench import bench, table_of
from xpose_stream.stream.prepare import inputs


def build(
    weights: Path | None, prompt: str, size: str, batch: int, backend: str, precision: str, clip: Path | None = None
) -> str:
    """Build or find the engine for a camera of `size`, and say what came of it. Raises UserError."""
    shape = size_of(size)
    checkpoint = load(weights or DEFAULT)
    prompts = prompts_for(checkpoint, prompt, clip)
    engine = build_engine(checkpoint.model, backend=backend, precision=precision)
    images, pinned = inputs(engine, prompts, batch=batch, size=shape)
    with Console(stderr=True).status(f"building for {size}, batch {batch}, '{prompts.name}'"):
        ready = engine.prepare(images, pinned)
    if ready == "eager" and backend not in ("auto", "eager"):
        raise EngineError(f"The engine {backend} was not admitted; the warning above says why.")
    return f"{ready} is ready for {size}, batch {batch}, '{prompts.name}'"


def measure(
    weights: Path | None, prompt: str, size: str, batch: int, names: Sequence[str], clip: Path | None = None
) -> Table:
    """A table of the engines that run here. Raises UserError."""
    shape = size_of(size)
    checkpoint = load(weights or DEFAULT)
    prompts = prompts_for(checkpoint, prompt, clip)
    images, pinned = inputs(build_engine(checkpoint.model, backend="eager"), prompts, batch=batch, size=shape)
    return table_of(bench(checkpoint.model, images, pinned, names), f"{size}, batch {batch}, '{prompts.name}'", batch)


def size_of(text: str) -> tuple[int, int]:
    """(width, height) of "640x480"; raises EngineError."""
    if not re.fullmatch(r"[1-9]\d{1,4}x[1-9]\d{1,4}", text):
        raise EngineError(f"'{text}' is no size; write it like 640x480.")
    width, height = text.split("x")
    return int(width), int(height)
