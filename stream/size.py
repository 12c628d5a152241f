"""How large the model sees pictures: as its weights ask, as somebody asks, or the largest at which it keeps a rate."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from statistics import median

import torch
from rich.console import Console

from xpose_stream.engines import Engine, EngineError, PinnedPrompts, PromptBank
from xpose_stream.engines.xpose import XPoseConfig
from xpose_stream.stream.prepare import inputs, make_ready
from xpose_stream.stream.site import CameraSite
from xpose_stream.stream.sources import SourceError, open_source
from xpose_stream.stream.sources.place import is_file, is_pipe

log = logging.getLogger(__name__)

SHARES = (1.0, 5 / 6, 3 / 4)  # of the weights' own size; smaller is hardly faster and finds much less
BUSY = 0.7  # of the time between frames that an engine may take: the rest of the pipeline needs some as well
CALLS = 7


@dataclass(frozen=True, slots=True)
class Demand:
    """What cameras ask of an engine together.

    Attributes:
        rate: images/s; 0 where all of them wait for the model.
        batch: images at a time.
        size: (width, height) px of their frames.
    """

    rate: float = 0.0
    batch: int = 1
    size: tuple[int, int] = (640, 480)


def demand_of(cameras: Sequence[CameraSite], batch: int = 1) -> Demand:
    """What is known before they are open: all of a file; of a camera 30 frames/s of 640x480 are taken for granted."""
    demand = Demand(batch=batch)
    for camera in cameras:
        rate, size = camera.fps or 30.0, demand.size
        if is_file(camera.source) and camera.realtime:
            try:
                with open_source(camera.source, options=camera.options) as source:
                    rate = source.rate or rate
                    frame = next(iter(source), None)
                    size = (frame.width, frame.height) if frame else size
            except SourceError:
                continue  # a damaged one is its reader's to tell
        elif (is_file(camera.source) or is_pipe(camera.source)) and not camera.live:
            continue
        demand = replace(demand, rate=demand.rate + rate, size=size)
    return demand


def see_at(engine: Engine, own: XPoseConfig, size: str | None) -> None:
    """Have `engine`, of weights with the config `own`, be given pictures that fit into WIDTHxHEIGHT, however they lie.

    None leaves it as it is, "auto" at first is the weights' own size. Raises EngineError for more than that, and for
    less than half of it.
    """
    if size == "auto":
        engine.config = own
    elif size:
        short, long = sorted(map(int, size.split("x")))
        if not (own.short_side <= 2 * short <= 2 * own.short_side and own.long_side <= 2 * long <= 2 * own.long_side):
            least, most = f"{-(-own.long_side // 2)}x{-(-own.short_side // 2)}", f"{own.long_side}x{own.short_side}"
            raise EngineError(f"These weights cannot be given pictures of {size}, only of {least} to {most}.")
        engine.config = replace(own, short_side=short, long_side=long)


def see_in_time(
    engine: Engine,
    own: XPoseConfig,
    prompts: PromptBank,
    demand: Demand,
    unwanted: Callable[[], bool] = lambda: False,
) -> None:
    """Have `engine` be given the largest pictures of SHARES at which it meets `demand` here, else the smallest.

    It is measured on frames of the demo, for which engines are built where they are not in the cache. An interrupt
    (Ctrl-C) ends that, and so does `unwanted`.
    """
    if not demand.rate:
        return
    allowed, taken = BUSY / demand.rate, []
    for share in SHARES:
        engine.config = replace(own, short_side=round(share * own.short_side), long_side=round(share * own.long_side))
        seen = f"{engine.config.long_side}x{engine.config.short_side}"
        with Console(stderr=True).status(f"measuring the engine at {seen}"):
            images, pinned = inputs(engine, prompts, batch=demand.batch, size=demand.size)
            make_ready(engine, [images], pinned, unwanted)
            if unwanted():
                return
            taken.append(median(_seconds(engine, images, pinned) for _ in range(CALLS)) / demand.batch)
        if taken[-1] <= allowed:
            break
    if len(taken) > 1:
        log.warning(
            "The model is given pictures of %s instead of %dx%d, at which it takes %.0f ms; now it takes %.0f ms, "
            "where %.0f ms are %s for %.3g frames/s",
            *(seen, own.long_side, own.short_side, taken[0] * 1e3, taken[-1] * 1e3, allowed * 1e3),
            *("enough" if taken[-1] <= allowed else "needed", demand.rate),
        )


def _seconds(engine: Engine, images: torch.Tensor, pinned: PinnedPrompts) -> float:
    begun = time.perf_counter()
    engine(images, pinned)
    if engine.device.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - begun
