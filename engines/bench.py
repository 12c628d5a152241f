"""How fast engines are, and how far from eager: interleaved in one run, since machines are shared and noisy."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from rich.console import Console
from rich.progress import track
from rich.table import Table
from rich.text import Text
from torch import Tensor

from xpose_stream.engines.backends import backends
from xpose_stream.engines.cache import EngineCache
from xpose_stream.engines.engine import Engine, EngineError, PinnedPrompts, build_engine
from xpose_stream.engines.parity import difference
from xpose_stream.engines.xpose import XPose

Run = Callable[[], object]


@dataclass
class Timing:
    """Of one way to run: what it was measured at, and what is known of it besides."""

    seconds: list[float] = field(default_factory=list)
    build: float | None = None  # s
    error: float | None = None  # px from eager

    @property
    def median(self) -> float:
        """Seconds per call."""
        return float(np.median(self.seconds))


def measure(runs: Mapping[str, Run], timings: Mapping[str, Timing], rounds: int, calls: int = 3) -> None:
    """Call every run in turn, `calls` times, for `rounds` rounds; the first call of a turn warms up and is left out."""
    for _ in track(range(rounds), description="measuring", transient=True):
        for name, run in runs.items():
            for call in range(calls + 1):
                begun = time.perf_counter()
                run()
                if torch.cuda.is_available():
                    torch.cuda.synchronize()
                if call:
                    timings[name].seconds.append(time.perf_counter() - begun)


def table_of(timings: Mapping[str, Timing], title: str, images: int = 1) -> Table:
    """A row per way to run; ratios against the first."""
    table = Table(
        "engine", "median ms", "p99 ms", "images/s", "faster", "px from\neager", "build s", title=title, padding=0
    )
    first = next(iter(timings.values())).median
    for name, timing in timings.items():
        p99 = float(np.percentile(timing.seconds, 99))
        table.add_row(
            name,
            f"{timing.median * 1e3:.1f}",
            f"{p99 * 1e3:.1f}",
            f"{images / timing.median:.1f}",
            f"{first / timing.median:.2f}x",
            "" if timing.error is None else f"{timing.error:.1g}",
            "" if timing.build is None else f"{timing.build:.1f}",
        )
    return table


def bench(
    model: XPose,
    images: Tensor,
    prompts: PinnedPrompts,
    names: Sequence[str] = (),
    rounds: int = 30,
    calls: int = 3,
    beside: Mapping[str, Run] | None = None,
) -> dict[str, Timing]:
    """Time eager and every other engine that runs on the device of `images` (or those of `names`), built anew.

    beside: other ways to run the same, measured first in every round.
    """
    runs: dict[str, Run] = dict(beside or {})
    timings = {name: Timing() for name in runs}
    console = Console(stderr=True)
    size = images.shape[-1], images.shape[-2]
    with TemporaryDirectory() as folder:
        for name in ("eager", *(names or backends())):
            try:
                engine = build_engine(copy.deepcopy(model), images.device, name, cache=EngineCache(Path(folder)))
            except EngineError as error:
                console.print(Text(f"{name}: {error}"))
                continue
            begun = time.perf_counter()
            with console.status(f"building {name}"):
                ready = engine.prepare(images, prompts)
            if ready != name:
                console.print(f"{name} was passed over, see the log")
                continue
            runs[name] = _caller(engine, images, prompts)
            timings[name] = Timing(build=time.perf_counter() - begun)
            if name == "eager":
                reference = engine(images, prompts)
            else:
                timings[name].error = difference(reference, engine(images, prompts), size)[0]
        measure(runs, timings, rounds, calls)
    return timings


def _caller(engine: Engine, images: Tensor, prompts: PinnedPrompts) -> Run:
    return lambda: engine(images, prompts)
