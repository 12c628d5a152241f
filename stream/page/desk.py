"""What pages ask to be done with prompts: one thing at a time, beside the stream."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

import torch

from xpose_stream.engines import PromptBank, PromptError
from xpose_stream.engines.prompts.prompt import Prompt, find_skeletons, skeleton_files
from xpose_stream.stream.detector import Detector
from xpose_stream.stream.page import clicked
from xpose_stream.stream.page.orders import Clicked
from xpose_stream.stream.sinks.messages import TracksMessage
from xpose_stream.stream.sources.frame import Frame
from xpose_stream.stream.still import Finder
from xpose_stream.stream.swap import PromptSwap
from xpose_stream.trackers import TrackerConfig

Result = TypeVar("Result")


class Desk:
    """Words and clicks become prompts here, in a thread of its own.

    embed    turns prompts into embeddings, as `run` does.
    known    categories that the weights can be asked for in words; empty: any word.
    tracker  of the stream.
    """

    def __init__(
        self,
        swap: PromptSwap,
        embed: Callable[[Sequence[Prompt]], PromptBank],
        known: Sequence[str],
        tracker: TrackerConfig,
        folder: Path = clicked.FOLDER,
    ) -> None:
        self.known = list(known)
        self.swap, self._embed, self._tracker, self._folder = swap, embed, tracker, folder
        # one thread of torch's: more would take the processors away from the stream
        self._thread = ThreadPoolExecutor(1, "page desk", torch.set_num_threads, (1,))

    async def do(self, work: Callable[..., Result], *arguments: Any) -> Result:
        """Have it done in the desk's thread; what it raises is raised here."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, work, *arguments)

    def ask(self, words: str) -> dict[str, Any]:
        """Look for what `words` name from now on. Raises PromptError."""
        names = [name.strip() for name in words.split(",")]
        if any(name.endswith((".yaml", ".yml", ".safetensors")) or "/" in name or "\\" in name for name in names):
            raise PromptError("Files are given to the program where it is started, with --prompt; here are words.")
        prompt = self.swap(words)
        return {"name": prompt.name, "version": prompt.version}

    def again(self, version: int) -> dict[str, Any]:
        """Look for what was asked for before. Raises PromptError."""
        asked = self.swap.asked.get(version)
        if asked is None:
            raise PromptError(f"version {version} is forgotten.")
        prompt = self.swap.use(asked.bank, asked.text)
        return {"name": prompt.name, "version": prompt.version}

    def try_(self, prompt: Clicked, held: clicked.Held, frames: Iterable[Frame]) -> Iterable[TracksMessage]:
        """What it finds in each of `frames`, one by one; nothing changes. Raises PromptError."""
        engine = self.swap.engine
        beside = getattr(engine, "eager", engine)  # a compiled engine serves one thread, which is the stream's
        finder = Finder(Detector(beside, self.bank(prompt, held)), self._tracker.high_score)
        return map(finder, frames)

    def use(self, prompt: Clicked, held: clicked.Held) -> dict[str, Any]:
        """Look for it from now on. Raises PromptError."""
        bank = self.bank(prompt, held)
        used = self.swap.use(bank, f"{prompt.category} (by {len(prompt.examples)} examples)")
        return {"name": used.name, "version": used.version}

    def save(self, prompt: Clicked, held: clicked.Held) -> dict[str, Any]:
        """Write it into a file. Raises PromptError."""
        return {"file": str(clicked.save(prompt, held, self._folder))}

    def bank(self, prompt: Clicked, held: clicked.Held) -> PromptBank:
        """The embeddings of a clicked prompt. Raises PromptError."""
        return self._embed([clicked.prompt_of(prompt, held)])

    @cached_property
    def skeletons(self) -> dict[str, Any]:
        """What there is in configs/skeletons, by category."""
        found = find_skeletons(list(skeleton_files()))
        return {one.category: {"keypoints": one.keypoints, "edges": one.edges} for one in found}

    def asked(self) -> list[dict[str, Any]]:
        """The last prompts."""
        return [{"version": version, "text": one.text} for version, one in self.swap.asked.items()]

    def close(self) -> None:
        """Do no more."""
        self._thread.shutdown(wait=False, cancel_futures=True)
