"""Changing what a running pipeline looks for, between two frames."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace

from engines import PromptBank
from stream.detector import Detector
from stream.messages import Prompt
from stream.pipeline import Pipeline


class PromptSwap:
    """Gives a pipeline another prompt: from the next frame on where the engine is ready for it, else once it is built.

    Until then the pipeline goes on with the prompt it has; of several changes under way the last one asked for wins.
    A frame is detected and told by one detector, so no message mixes two prompts. `read` turns words or the path of a
    prompt bank into embeddings.
    """

    def __init__(self, pipeline: Pipeline, read: Callable[[str], PromptBank]) -> None:
        self._pipeline, self._read = pipeline, read
        self._version = pipeline.detector.prompt.version
        self._lock = threading.Lock()

    def __call__(self, prompt: str) -> Prompt:
        """The prompt, with the version that messages carry once it is in use. Raises PromptError; from any thread."""
        bank = self._read(prompt)
        before = self._pipeline.detector
        with self._lock:
            self._version += 1
            detector = Detector(before.engine, replace(bank, version=self._version))
        if detector.fits(before):
            self._take(detector)
        else:
            threading.Thread(target=self._build, args=(detector, before), name="prompt swap", daemon=True).start()
        return detector.prompt

    def _build(self, detector: Detector, before: Detector) -> None:
        detector.prepare(before)
        self._take(detector)

    def _take(self, detector: Detector) -> None:
        with self._lock:
            if detector.prompt.version > self._pipeline.detector.prompt.version:
                self._pipeline.detector = detector
