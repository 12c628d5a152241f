"""Making an engine ready before a stream starts, so that its first frames are not the slow ones."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path

import torch
from torch import Tensor

from xpose_stream.engines import Engine, PinnedPrompts, PromptBank
from xpose_stream.stream.preprocess import Preprocessor
from xpose_stream.stream.sources import Options, open_source
from xpose_stream.stream.sources.arrays import Arrays
from xpose_stream.stream.sources.frame import Frame

_LOOKED_AT = 8  # pictures of a folder of photographs, for those that are upright and those that are not

CLIP = Path(__file__).parents[1] / "configs" / "demo" / "crossing.mp4"


def prepare(
    engine: Engine,
    prompts: PromptBank,
    source: str | Arrays,
    options: Options | None = None,
    unwanted: Callable[[], bool] = lambda: False,
) -> None:
    """Make `engine` ready for the first frame of `source`, or the first of each size, and for `prompts`.

    Takes a second where the engine is in the cache, else as long as its compiler. An interrupt (Ctrl-C) ends the wait,
    and so does `unwanted`. Raises SourceError.
    """
    pinned = engine.pin(prompts.instances, prompts.keypoints, prompts.keypoint_mask)
    make_ready(engine, _seen(engine, source, options), pinned, unwanted)


def make_ready(
    engine: Engine, seen: Sequence[Tensor], pinned: PinnedPrompts, unwanted: Callable[[], bool] = lambda: False
) -> None:
    """Make `engine` ready for images of the shapes of `seen`; the wait ends as that of `prepare`."""
    # `run` leaves a compiler where it is when it ends; a program of somebody else's would abort in it.
    beside = threading.current_thread() is not threading.main_thread()

    def make() -> None:
        for images in seen:
            engine.prepare(images, pinned, beside)

    build = threading.Thread(target=make, name="engine build", daemon=not beside)
    build.start()
    while build.is_alive() and not unwanted():  # nothing stops a compiler, so the waiting is done here
        build.join(0.05)


def _seen(engine: Engine, source: str | Arrays, options: Options | None) -> list[Tensor]:
    """The first of the inputs of every size; of a video that is its first frame."""
    preprocess = Preprocessor(engine.config.short_side, engine.config.long_side, engine.device)
    if isinstance(source, Arrays):
        return [preprocess(Frame.still(source.first))]
    found: dict[torch.Size, Tensor] = {}
    with open_source(source, options=options) as frames:
        for frame in islice(frames, _LOOKED_AT):
            image = preprocess(frame)
            found.setdefault(image.shape, image)
            if not frame.mixed or len(found) == 2:
                break
    return list(found.values())


def inputs(
    engine: Engine,
    prompts: PromptBank,
    source: str | Path = CLIP,
    batch: int = 1,
    size: tuple[int, int] | None = None,
    options: Options | None = None,
) -> tuple[Tensor, PinnedPrompts]:
    """What `engine` would be given: the first `batch` frames of `source`, scaled to `size` (width, height).

    Raises SourceError.
    """
    preprocess = Preprocessor(engine.config.short_side, engine.config.long_side, engine.device)
    with open_source(source, options=options) as frames:
        images = [preprocess(frame if size is None else _scaled(frame, *size)) for frame in islice(frames, batch)]
    return torch.cat(images), engine.pin(prompts.instances, prompts.keypoints, prompts.keypoint_mask)


def _scaled(frame: Frame, width: int, height: int) -> Frame:
    picture = frame.picture.reformat(width, height)
    return Frame(frame.camera, frame.index, frame.pts, frame.captured_at, frame.clock, frame.arrived, picture)
