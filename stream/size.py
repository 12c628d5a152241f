"""How large the model sees pictures: as its weights ask, as somebody asks, or the largest at which it keeps a rate."""

from __future__ import annotations

import logging
import time
from dataclasses import replace
from statistics import median

import torch
from rich.console import Console

from xpose_stream.engines import Engine, PromptBank
from xpose_stream.engines.xpose import XPoseConfig
from xpose_stream.stream.prepare import inputs

log = logging.getLogger(__name__)

SHARES = (1.0, 5 / 6, 3 / 4)  # of the weights' own size; smaller is hardly faster and finds much less
BUSY = 0.7  # of the time between frames that an engine may take: the rest of the pipeline needs some as well
CALLS = 7


def see(engine: Engine, own: XPoseConfig, size: str | None, prompts: PromptBank, rate: float) -> None:
    """Have `engine`, whose weights have the config `own`, be given pictures that fit into `size`, however they lie.

    size   WIDTHxHEIGHT; auto: the largest of SHARES at which it does `rate` images/s here, else the smallest; None:
           the weights' own.
    rate   images/s; 0 where they wait for the model.

    auto is measured on a frame of the demo, for which engines are built where they are not in the cache.
    """
    if size == "auto" and rate:
        _see_in_time(engine, own, prompts, rate)
    elif size and size != "auto":
        width, height = map(int, size.split("x"))
        _see_at(engine, own, width, height)


def _see_at(engine: Engine, own: XPoseConfig, width: int, height: int) -> None:
    engine.config = replace(own, short_side=min(width, height), long_side=max(width, height))


def _see_in_time(engine: Engine, own: XPoseConfig, prompts: PromptBank, rate: float) -> None:
    allowed, taken = BUSY / rate, []
    for share in SHARES:
        _see_at(engine, own, round(share * own.long_side), round(share * own.short_side))
        with Console(stderr=True).status(f"measuring the engine at {_told(engine)}"):
            taken.append(_seconds(engine, prompts))
        if taken[-1] <= allowed:
            break
    if len(taken) > 1:
        log.warning(
            "The model is given pictures of %s instead of %dx%d, at which it takes %.0f ms: at %.3g frames/s %.0f are "
            "allowed, and now it takes %.0f",
            *(_told(engine), own.long_side, own.short_side),
            *(taken[0] * 1e3, rate, allowed * 1e3, taken[-1] * 1e3),
        )


def _seconds(engine: Engine, prompts: PromptBank) -> float:
    """For an image, the median of some."""
    images, pinned = inputs(engine, prompts, size=(640, 480))
    engine.prepare(images, pinned)
    taken = []
    for _ in range(CALLS):
        begun = time.perf_counter()
        engine(images, pinned)
        if engine.device.type == "cuda":
            torch.cuda.synchronize()
        taken.append(time.perf_counter() - begun)
    return median(taken)


def _told(engine: Engine) -> str:
    return f"{engine.config.long_side}x{engine.config.short_side}"
