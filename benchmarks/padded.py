"""What the published inference computes in vain, as a mode of our model: for comparison only.

Nothing here is used by the product. Each field of `Redundancy` undoes one exact saving of ours; the outputs stay.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from xpose_stream.engines.xpose import Stages, XPose, XPoseOutput
from xpose_stream.engines.xpose.constants import SizeConstants
from xpose_stream.engines.xpose.decoder import Decoder
from xpose_stream.engines.xpose.deformable import DeformableAttention, sample_maps
from xpose_stream.engines.xpose.encoder import FusionAttention, TextLayer
from xpose_stream.engines.xpose.grid import Grid
from xpose_stream.engines.xpose.layers import Attention

TEXT_TOKENS = 350
LIMIT = 50000.0  # of fusion scores


@dataclass(frozen=True)
class Redundancy:
    """What is computed although it changes nothing."""

    text: bool = True  # 350 class tokens, of which C are real, in the encoder and in the decoder's text attention
    keypoints: bool = True  # 68 keypoint tokens per group, of which K are real
    dense: bool = True  # keypoint layers attend over all groups at once, masked to the own one
    wide: bool = True  # fusion projects every image token to its inner width
    scores: bool = True  # text tokens attend to themselves alone, with scores
    averaged: bool = True  # attention weights in memory, averaged over heads, and dropped
    constants: bool = True  # positions, references, valid ratios, masks: anew for every image
    heads: bool = True  # boxes of all tokens, heads and norm after every layer, scans for NaN
    maps: bool = True  # grid_sample on every level instead of weighted rows

    @classmethod
    def only(cls, *names: str) -> Redundancy:
        """Just these."""
        return cls(**{name: name in names for name in cls.__dataclass_fields__})


ALL = Redundancy()


class PaddedXPose(XPose):
    """`model` with redundant work: one skeleton for all classes, and images without padding."""

    def __init__(self, model: XPose, work: Redundancy = ALL) -> None:
        super().__init__(model.config)
        self.load_state_dict(model.state_dict())
        self.work = work
        self.classes = 0  # real ones
        for module in list(self.modules()):
            if isinstance(module, FusionAttention):
                module.__class__ = WideFusion if work.wide else PaddedFusion
            elif isinstance(module, TextLayer) and work.scores:
                module.__class__ = ScoredTextLayer
            elif isinstance(module, Attention):
                module.__class__ = AveragedAttention if work.averaged else PaddedAttention
            elif isinstance(module, DeformableAttention) and work.maps:
                module.sample = sample_maps
        self.decoder.__class__ = WholeDecoder
        self.eval()

    def forward(  # type: ignore[override]
        self, images: Tensor, instance_prompts: Tensor, keypoint_prompts: Tensor
    ) -> XPoseOutput:
        """As `XPose.forward` with `instance_prompts` [C, P] and `keypoint_prompts` [K, P]."""
        work = self.work
        self.classes, real = len(instance_prompts), len(keypoint_prompts)
        if work.text:
            instance_prompts = F.pad(instance_prompts, (0, 0, 0, TEXT_TOKENS - self.classes))
        if work.keypoints:
            keypoint_prompts = F.pad(keypoint_prompts, (0, 0, 0, self.config.max_keypoints - real))
        for module in self.modules():
            if isinstance(module, PaddedFusion | PaddedAttention):
                module.classes = self.classes
            elif isinstance(module, SizeConstants) and work.constants:
                module._modules.clear()
        padding = torch.zeros(len(images), *images.shape[-2:], dtype=torch.bool) if work.constants else None
        assert isinstance(self.decoder, WholeDecoder)
        self.decoder.mask = group_mask(self.config.num_groups, len(keypoint_prompts), real, dense=work.dense)
        self.decoder.scan = work.heads
        stages = self.stages(images, instance_prompts, keypoint_prompts, None, padding)
        if work.heads:
            self._answer_after_every_layer(stages)
        logits, boxes, keypoints = stages.output.parts
        return XPoseOutput(logits[..., : self.classes], boxes, keypoints[:, :, :real])

    def _logits(self, hidden: Tensor, memory_text: Tensor) -> Tensor:
        padded = torch.arange(memory_text.shape[1]) >= self.classes
        return super()._logits(hidden, memory_text).masked_fill(padded, float("-inf"))

    def _answer_after_every_layer(self, stages: Stages) -> None:
        self.enc_out_bbox_embed(stages.memory)
        for hidden, references in zip(stages.hidden, stages.references, strict=True):
            normed = self.decoder.norm(hidden)
            if hidden.dim() == 3:
                self._logits(normed, stages.memory_text)
                self.bbox_embed(normed)
            else:
                self._answer(normed, references, stages.memory_text, stages.answer)


class WholeDecoder(Decoder):
    """Groups as one sequence of tokens under one mask, when `mask` is dense."""

    mask: Tensor | None
    scan: bool

    def step(
        self,
        layer: int,
        content: Tensor,
        references: Tensor,
        memory: Tensor,
        memory_text: Tensor,
        grid: Grid,
        mask: Tensor | None = None,
    ) -> Tensor:
        rest = memory, memory_text, grid
        if content.shape[1] == 1:  # box queries
            out = super().step(layer, content, references, *rest)
        elif self.mask is not None and len(self.mask) > content.shape[2]:
            tokens, places = content.flatten(1, 2).unsqueeze(1), references.flatten(1, 2).unsqueeze(1)
            out = super().step(layer, tokens, places, *rest, self.mask).view_as(content)
        else:
            out = super().step(layer, content, references, *rest, self.mask)
        if self.scan and out.isnan().any():
            raise ValueError("NaN after a decoder layer")
        return out


def group_mask(groups: int, keypoints: int, real: int, dense: bool) -> Tensor | None:
    """Who sees whom, [T, T]: box and real keypoints each other, padded keypoints each other, and no other group."""
    if not dense and keypoints == real:
        return None
    flags = torch.arange(1 + keypoints) <= real
    if dense:
        group = torch.arange(groups).repeat_interleave(1 + keypoints)
        flags = flags.repeat(groups)
        return (group[:, None] == group) & (flags[:, None] == flags)
    return flags[:, None] == flags


class PaddedAttention(Attention):
    """Attention that masks padded text; other keys have their own mask."""

    classes = 0

    def forward(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None) -> Tensor:
        if key is value and key.shape[1] > 1:
            mask = (torch.arange(key.shape[1]) < self.classes).expand(query.shape[1], -1)
        return super().forward(query, key, value, mask)


class AveragedAttention(PaddedAttention):
    """PyTorch's attention with its default `need_weights=True`."""

    def forward(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None) -> Tensor:
        text = key is value
        return F.multi_head_attention_forward(
            query.transpose(0, 1),
            key.transpose(0, 1),
            value.transpose(0, 1),
            query.shape[-1],
            self.heads,
            self.in_proj_weight,
            self.in_proj_bias,
            None,
            None,
            False,
            0.0,
            self.out_proj.weight,
            self.out_proj.bias,
            training=False,
            key_padding_mask=(torch.arange(key.shape[1]) >= self.classes).expand(len(key), -1) if text else None,
            attn_mask=None if mask is None else ~mask,
            need_weights=True,
        )[0].transpose(0, 1).contiguous()


class PaddedFusion(FusionAttention):
    """Folded fusion in which image tokens do not see padded text."""

    classes = 0

    def _to_image(self, scores: Tensor, text: Tensor) -> Tensor:
        padded = torch.arange(text.shape[1]) >= self.classes
        by_head = scores.unflatten(-1, (self.heads, -1)).masked_fill(padded, float("-inf"))
        return super()._to_image(by_head.flatten(-2), text)


class WideFusion(PaddedFusion):
    """Fusion as published: everything at the inner width, scores shifted by their maximum and clamped."""

    def forward(self, image: Tensor, text: Tensor, padding: Tensor | None) -> tuple[Tensor, Tensor]:
        queries, keys = self._split(self.v_proj(image)) * self.scale, self._split(self.l_proj(text))
        scores = queries @ keys.transpose(-1, -2)  # [B, heads, S, C]
        scores = (scores - scores.max()).clamp(-LIMIT, LIMIT)
        turned = scores.transpose(-1, -2)
        turned = (turned - turned.amax(-1, keepdim=True)).clamp(-LIMIT, LIMIT)
        if padding is not None:
            turned = turned.masked_fill(padding[:, None, None], float("-inf"))
        padded = torch.arange(text.shape[1]) >= self.classes
        to_image = scores.masked_fill(padded, float("-inf")).softmax(-1) @ self._split(self.values_l_proj(text))
        to_text = turned.softmax(-1) @ self._split(self.values_v_proj(image))
        return (
            self.out_v_proj(to_image.transpose(1, 2).flatten(2)),
            self.out_l_proj(to_text.transpose(1, 2).flatten(2)),
        )


class ScoredTextLayer(TextLayer):
    """Self-attention under a diagonal mask; queries and keys of any weights give the same."""

    HEADS = 4

    def forward(self, text: Tensor) -> Tensor:
        queries, keys, values = (
            self.value_proj(text).unflatten(-1, (self.HEADS, -1)).transpose(1, 2) for _ in range(3)
        )
        others = ~torch.eye(text.shape[1], dtype=torch.bool)
        weights = (queries @ keys.transpose(-1, -2)).masked_fill(others, float("-inf")).softmax(-1)
        weights.mean(1)
        attended = self.out_proj((weights @ values).transpose(1, 2).flatten(2))
        text = self.norm1(text + attended)
        return self.norm2(text + self.linear2(F.relu(self.linear1(text))))
