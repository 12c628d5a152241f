"""The engine with its prompts: what turns pictures into detections."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from xpose_stream.engines import Engine, PromptBank
from xpose_stream.engines.detect import detect
from xpose_stream.engines.resize import span
from xpose_stream.stream.sinks.messages import Category, Prompt
from xpose_stream.stream.sources.frame import Frame
from xpose_stream.trackers import Detections

_SHAPES = 8  # of batches that another prompt is made ready for


class Detector:
    """An engine and the prompts pinned to it; a pipeline can change to another one between two frames.

    prompts     what it was given.
    prompt      what messages say about it.
    categories  of the detections, by class id.
    sigmas      OKS fall-offs of each category's keypoints, by class id.
    """

    def __init__(self, engine: Engine, prompts: PromptBank) -> None:
        self.engine = engine
        self.prompts = prompts
        self.prompt = Prompt(prompts.name, prompts.version)
        self.categories = [
            Category(i, skeleton.category, skeleton.keypoints, skeleton.edges)
            for i, skeleton in enumerate(prompts.skeletons)
        ]
        self.sigmas = {i: skeleton.sigmas for i, skeleton in enumerate(prompts.skeletons)}
        self._pinned = engine.pin(prompts.instances, prompts.keypoints, prompts.keypoint_mask)
        self._mask = prompts.keypoint_mask.numpy()
        self._seen: dict[torch.Size, Tensor] = {}  # the first batch of the latest shapes

    def __call__(self, images: Sequence[Tensor], frames: Sequence[Frame]) -> list[Detections]:
        """Detections of every frame in its own px; `images` [1, 3, h, w] of one size are what the engine sees of them.

        Raises whatever the engine does.
        """
        batch = images[0] if len(images) == 1 else torch.cat(list(images))
        self._seen[batch.shape] = self._seen.pop(batch.shape, batch)
        if len(self._seen) > _SHAPES:
            del self._seen[next(iter(self._seen))]
        output = self.engine(batch, self._pinned)
        config, (height, width) = self.engine.config, batch.shape[2:]
        sizes = [span((f.width, f.height), (width, height), config.short_side, config.long_side) for f in frames]
        return [
            detect(output.rows(row, row + 1), self._mask, *size, overlap=config.overlap, hold=config.sees)[0]
            for row, size in enumerate(sizes)
        ]

    def ready(self, images: Tensor) -> None:
        """Wait until the engine is ready for images of this shape: seconds, where none was built before."""
        self.engine.prepare(images, self._pinned)

    def fits(self, other: Detector) -> bool:
        """Whether an engine that is ready for `other` is ready for this one."""
        return [part.shape for part in self._pinned.tensors] == [part.shape for part in other._pinned.tensors]

    def prepare(self, other: Detector) -> None:
        """Make the engine ready for all that `other` has been given; may take minutes."""
        for batch in list(other._seen.values()):
            self.engine.prepare(batch, self._pinned, beside=True)
