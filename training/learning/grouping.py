"""Which boxes become groups of keypoints in training: those on instances, whatever class they are taken for as yet."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from xpose_stream.engines.xpose import Layer
from xpose_stream.training.data.geometry import overlap
from xpose_stream.training.data.targets import Targets
from xpose_stream.training.learning.matching import match

# In so many pictures the true classes are told; in the others the model has to do as at inference.
TOLD = 0.7
# There, so many more boxes that overlap an instance this much become groups of it, which learn its keypoints too.
BESIDE, BESIDE_IOU = 5, 0.5
FIRST = 1e4  # added to the score of what is to come before others


@dataclass(frozen=True, slots=True)
class Grouping:
    """Chooses groups as the model does by itself, but in some pictures the boxes on instances come first, as theirs.

    A group has the keypoints of one class, so before classes are told apart few keypoints can be learnt: of ten
    categories most instances would be taken for another. Source: teacher forcing (Williams and Zipser, 1989).

    Attributes:
        targets: of B pictures.
        told: [B] in which of them.
    """

    targets: Targets
    told: Tensor

    @classmethod
    def draw(cls, targets: Targets, generator: torch.Generator | None = None) -> Grouping:
        """For random pictures."""
        told = torch.rand(len(targets.real), generator=generator) < TOLD
        return cls(targets, told.to(targets.real.device))

    def __call__(self, boxes: Layer, count: int) -> tuple[Tensor, Tensor]:
        """Indices of `count` queries and whose keypoints each is to have, [B, count] each."""
        logits = boxes.logits.detach().float()
        scores, classes = logits.max(-1)
        with torch.autocast(logits.device.type, enabled=False):  # as the losses match them
            query = match(logits[None], boxes.boxes[None].float(), self.targets)[0]  # [B, M]
            iou = overlap(boxes.boxes[:, :, None].float(), self.targets.boxes[:, None])[0]  # [B, Q, M]
        told, real = self.told[:, None], self.targets.real
        on, slot = (iou * real[:, None]).max(-1)
        beside = told & (on >= BESIDE_IOU)
        classes = self.targets.classes.gather(1, slot).where(beside, classes)
        # those of lower score than the best few stay behind
        few = scores.masked_fill(~beside, -torch.inf).topk(BESIDE).values[:, -1:]
        first = torch.where(beside & (scores >= few), FIRST, 0.0)
        # slots without a query write to a column beyond the last, which is cut off
        column = torch.where((query >= 0) & told, query, scores.shape[1])
        first = torch.nn.functional.pad(first, (0, 1)).scatter(1, column, 2 * FIRST)[:, :-1]
        classes = torch.nn.functional.pad(classes, (0, 1)).scatter(1, column, self.targets.classes)
        index = (scores + first).topk(count, sorted=True).indices
        return index, classes.gather(1, index)
