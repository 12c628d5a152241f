"""Says, once, when a camera's prompt finds nothing: what was asked, how near it came, and what to try."""

from __future__ import annotations

import logging
import time

from xpose_stream.engines.resize import target_size
from xpose_stream.stream.camera import Camera
from xpose_stream.stream.pipeline import Pipeline
from xpose_stream.trackers import LEAST_SCORE

_FRAMES, _SECONDS = 100, 10.0  # without a find, whichever is over first

log = logging.getLogger(__name__)


class Lookout:
    """Looks at the cameras of a pipeline again and again, and logs one sentence for each in which nothing was found.

    A camera's first frames decide, and those after a change of the prompt; one that ends earlier is judged by what it
    had. What was found once is known to be found: an empty room later is no news.
    """

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline
        self._told: dict[str, str] = {}  # the prompt with its version, by camera

    def look(self) -> None:
        """Returns quickly; once more when all is over."""
        for name, camera in list(self._pipeline.cameras.items()):
            finds, prompt = camera.ledger.finds, f"{camera.prompt.name} {camera.prompt.version}"
            if self._told.get(name) == prompt or finds.anything or not finds.asked:
                continue
            enough = finds.asked >= _FRAMES or time.monotonic() - finds.since >= _SECONDS
            if enough or (camera.over and camera.ledger.balanced):
                self._told[name] = prompt
                log.warning("%s", self._sentence(camera))

    def _sentence(self, camera: Camera) -> str:
        finds, config = camera.ledger.finds, self._pipeline.detector.engine.config
        width, height = camera.reader.width, camera.reader.height
        frames = "the only frame" if finds.asked == 1 else f"{finds.asked} frames"
        said = (
            f"{camera.name}: nothing found in {frames} for the prompt '{camera.prompt.name}' (the best score was "
            f"{finds.best:.2f}, a track begins at {camera.needed:.2f}); try other words"
        )
        if width and height:
            seen = "{}x{}".format(*target_size(width, height, config.short_side, config.long_side))
            said += f", a picture in which it is larger (the model looks at {seen} px of {width}x{height})"
        said += ", or other weights"
        if LEAST_SCORE <= finds.best < camera.needed:
            said += f"; the tracker 'raw' shows everything from {LEAST_SCORE:g}"
        return said
