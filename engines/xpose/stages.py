"""What X-Pose answers, and what stands on the way to it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

from torch import Tensor

from xpose_stream.engines.xpose.guess import First, Guessed


class XPoseOutput(NamedTuple):
    """G groups per image, best first; coordinates are fractions of the image's valid width and height."""

    logits: Tensor  # [B, G, C]
    boxes: Tensor  # [B, G, 4] (cx, cy, w, h)
    keypoints: Tensor  # [B, G, K, 2] (x, y)
    visibility: Tensor | None = None  # [B, G, K] logit of being visible
    spread: Tensor | None = None  # [B, G, K] ln of (standard deviation per axis / square root of the box's area, px)

    @property
    def parts(self) -> tuple[Tensor, ...]:
        """Those that the model gives."""
        return tuple(part for part in self if part is not None)

    def rows(self, first: int, last: int) -> XPoseOutput:
        """Of these images of the batch."""
        return XPoseOutput(*(part[first:last] for part in self.parts))


class Denoising(NamedTuple):
    """Noised ground-truth boxes to restore in training (DN-DETR, CVPR 2022)."""

    classes: Tensor  # [B, N] class whose text is the query's content
    boxes: Tensor  # [B, N, 4]
    mask: Tensor  # [N, N] True where a query may see another


class Answering(NamedTuple):
    """What a first guess brings to the answers of all keypoint layers."""

    entering: Tensor | None  # [B, G, C] logits
    unit: Tensor | None  # [B, G, K, 2] as of First
    may: Tensor | float  # as of Tokens


UNGUESSED = Answering(None, None, 1.0)  # where there is no first guess


class Layer(NamedTuple):
    """What one layer would answer, for supervision."""

    logits: Tensor  # [B, T, C]
    boxes: Tensor  # [B, T, 4]
    keypoints: Tensor | None = None  # [B, G, K, 2]


# Which queries of the last box layer become so many groups [B, G], and whose keypoints each has [B, G].
Choose = Callable[[Layer, int], tuple[Tensor, Tensor]]


@dataclass
class Stages:
    """Everything on the way to the output; the lists of `Layer` are filled in training only."""

    memory: Tensor  # [B, S, D]
    memory_text: Tensor  # [B, C, D]
    token_logits: Tensor  # [B, S, C]
    token_valid: Tensor  # [1 | B, S]
    query_index: Tensor  # [B, Q] token of each query, best first
    group_index: Tensor  # [B, G] query of each group, best first
    group_classes: Tensor  # [B, G] whose keypoints the group has
    hidden: list[Tensor]  # raw output of every decoder layer: [B, Q, D], then [B, G, 1 + K, D]
    references: list[Tensor]  # what entered every decoder layer: [B, Q, 4], then [B, G, 1 + K, 4]
    normed: Tensor  # [B, G, 1 + K, D] last layer's output after the norm
    output: XPoseOutput
    first: First | None = None  # references of the keypoints, where there is a first guess,
    guessed: Guessed | None = None  # and what it was made from
    answer: Answering = field(default_factory=lambda: UNGUESSED)
    token_boxes: Tensor | None = None  # [B, S, 4], in training
    proposals: Layer | None = None
    box_layers: list[Layer] = field(default_factory=list)
    keypoint_layers: list[Layer] = field(default_factory=list)
    denoised: list[Layer] = field(default_factory=list)


class Tokens(NamedTuple):
    """The image tokens as proposals, and the queries taken from them and from the first guess."""

    hidden: Tensor  # [B, S, D]
    logits: Tensor  # [B, S, C]
    chosen: Tensor  # [B, Q] tokens, best first
    logits_entering: Tensor  # [B, Q, C] of the queries: candidates of the first guess, then tokens
    boxes: Tensor  # [B, Q, 4]
    may: Tensor | float  # [B, 1, C] how far the decoder may change the logits of a class


class Boxes(NamedTuple):
    """What the box layers make of the queries."""

    hidden: list[Tensor]  # [B, T, D] of every box layer
    references: list[Tensor]  # [B, T, 4] before the first layer and after every layer


class Groups(NamedTuple):
    """The queries that become groups, with the keypoints of their classes."""

    chosen: Tensor  # [B, G] queries
    classes: Tensor  # [B, G]
    seeds: Tensor  # [B, G, K, D] of the keypoints
    mask: Tensor | None  # as of `group_keypoints`
