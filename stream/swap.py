"""Changing what a running pipeline looks for, between two frames."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace

from xpose_stream.engines import Engine, PromptBank
from xpose_stream.stream.detector import Detector
from xpose_stream.stream.pipeline import Pipeline
from xpose_stream.stream.sinks.messages import Prompt

_REMEMBERED = 50


@dataclass(frozen=True)
class Asked:
    """A prompt that was in use or will be: as it was asked for, and embedded."""

    text: str
    bank: PromptBank


class PromptSwap:
    """Gives a pipeline another prompt: from the next frame on where the engine is ready for it, else once it is built.

    Until then the pipeline goes on with the prompt it has; of several changes under way the last one asked for wins.
    A frame is detected and told by one detector, so no message mixes two prompts. `read` turns words or the path of a
    prompt bank into embeddings. `asked` are the last prompts by version.
    """

    def __init__(self, pipeline: Pipeline, read: Callable[[str], PromptBank]) -> None:
        self._pipeline, self._read = pipeline, read
        first = pipeline.detector.prompts
        self.asked = {first.version: Asked(first.name, first)}
        self._version = first.version
        self._lock = threading.Lock()

    @property
    def engine(self) -> Engine:
        """The pipeline's."""
        return self._pipeline.detector.engine

    def __call__(self, prompt: str) -> Prompt:
        """The prompt, with the version that messages carry once it is in use. Raises PromptError; from any thread."""
        return self.use(self._read(prompt), prompt)

    def use(self, bank: PromptBank, text: str) -> Prompt:
        """The same with a prompt that is embedded already; `text` is what it is remembered as."""
        before = self._pipeline.detector
        with self._lock:
            self._version += 1
            detector = Detector(before.engine, replace(bank, version=self._version))
            self.asked = dict([*self.asked.items(), (self._version, Asked(text, bank))][-_REMEMBERED:])
        if detector.fits(before):
            self._take(detector)
        else:
            threading.Thread(target=self._build, args=(detector, before), name="prompt swap", daemon=True).start()
        return detector.prompt

    def standing(self, version: int) -> float | None:
        """In about how many s the prompt that was given this version will be in use: 0 when it is.

        None when another one was asked for since. From any thread.
        """
        now, at_work = self._pipeline.detector, self._pipeline.at_work
        if version < self._version:
            return None
        if version == now.prompt.version and (at_work is None or at_work is now):
            return 0.0
        return now.engine.patience

    def _build(self, detector: Detector, before: Detector) -> None:
        detector.prepare(before)
        self._take(detector)

    def _take(self, detector: Detector) -> None:
        with self._lock:
            if detector.prompt.version > self._pipeline.detector.prompt.version:
                self._pipeline.detector = detector
