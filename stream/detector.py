"""The engine with its prompts: what turns pictures into detections."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from engines import Engine, PromptBank, detect
from stream.frame import Frame
from stream.messages import Category, Prompt
from trackers import Detections


class Detector:
    """An engine and the prompts pinned to it; a pipeline can change to another one between two frames.

    prompt      what messages say about it.
    categories  of the detections, by class id.
    sigmas      OKS fall-offs of each category's keypoints, by class id.
    """

    def __init__(self, engine: Engine, prompts: PromptBank) -> None:
        self.engine = engine
        self.prompt = Prompt(prompts.name, prompts.version)
        self.categories = [
            Category(i, skeleton.category, skeleton.keypoints, skeleton.edges)
            for i, skeleton in enumerate(prompts.skeletons)
        ]
        self.sigmas = {i: skeleton.sigmas for i, skeleton in enumerate(prompts.skeletons)}
        self._pinned = engine.pin(prompts.instances, prompts.keypoints, prompts.keypoint_mask)
        self._mask = prompts.keypoint_mask.numpy()
        self._seen: dict[torch.Size, Tensor] = {}  # the first batch of every shape

    def __call__(self, images: Sequence[Tensor], frames: Sequence[Frame]) -> list[Detections]:
        """Detections of every frame in its own px; `images` [1, 3, h, w] of one size are what the engine sees of them.

        Raises whatever the engine does.
        """
        batch = images[0] if len(images) == 1 else torch.cat(list(images))
        self._seen.setdefault(batch.shape, batch)
        output = self.engine(batch, self._pinned)
        overlap = self.engine.config.overlap
        return [
            detect(output.rows(row, row + 1), self._mask, frame.width, frame.height, overlap=overlap)[0]
            for row, frame in enumerate(frames)
        ]

    def fits(self, other: Detector) -> bool:
        """Whether an engine that is ready for `other` is ready for this one."""
        return [part.shape for part in self._pinned.tensors] == [part.shape for part in other._pinned.tensors]

    def prepare(self, other: Detector) -> None:
        """Make the engine ready for all that `other` has been given; may take minutes."""
        for batch in list(other._seen.values()):
            self.engine.prepare(batch, self._pinned)
