"""Making an engine ready before a stream starts, so that its first frames are not the slow ones."""

from __future__ import annotations

import threading

from engines import Engine, PromptBank
from stream.preprocess import Preprocessor
from stream.sources import open_source


def prepare(engine: Engine, prompts: PromptBank, source: str) -> None:
    """Make `engine` ready for the first frame of `source` and for `prompts`. Raises SourceError.

    Takes a second where the engine is in the cache, else as long as its compiler. An interrupt (Ctrl-C) ends the wait.
    """
    with open_source(source) as frames:
        frame = next(iter(frames))
        images = Preprocessor(engine.config.short_side, engine.config.long_side, engine.device)(frame)
    pinned = engine.pin(prompts.instances, prompts.keypoints, prompts.keypoint_mask)
    build = threading.Thread(target=engine.prepare, args=(images, pinned), name="engine build", daemon=True)
    build.start()
    while build.is_alive():  # nothing stops a compiler, so the waiting is done here
        build.join(0.05)
