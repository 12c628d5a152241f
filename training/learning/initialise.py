"""Start values of an X-Pose that is to be trained from scratch."""

from __future__ import annotations

import math
from collections.abc import Iterable
from typing import cast

import torch
from torch import nn

from xpose_stream.engines.xpose import XPose
from xpose_stream.engines.xpose.decoder import DecoderLayer
from xpose_stream.engines.xpose.deformable import DeformableAttention
from xpose_stream.engines.xpose.encoder import TextLayer

# The probability of a class starts near sigma(-4) = 0.018: most queries find nothing.
START_LOGIT = 4.0


def initialise(model: XPose) -> None:
    """Set what PyTorch's defaults leave in a state that does not learn, in place.

    Class logits are dot products, without bias, of two layer-normalised vectors of width D: they would start with a
    spread of sqrt(D). Shrunk text features and opposite biases let them start near -START_LOGIT with spread 1. Boxes
    start as the proposals, keypoints at the centre of their box, sampling points on rings around the reference.
    """
    dim = model.config.hidden_dim
    bias = math.sqrt(START_LOGIT / dim)
    text = cast(TextLayer, model.encoder.text_layers[-1]).norm2
    nn.init.constant_(text.weight, dim**-0.5)
    nn.init.constant_(text.bias, -bias)
    layers = cast(Iterable[DecoderLayer], model.decoder.layers)
    for norm in (model.enc_output_norm, model.decoder.norm, *(layer.norm3 for layer in layers)):
        nn.init.constant_(norm.bias, bias)
    # PyTorch's small weights and random biases would make all prompts nearly the same; left and right then never part.
    for mlp in (model.projection, model.projection_kpt):
        for layer in cast(Iterable[nn.Linear], mlp.layers):
            nn.init.kaiming_normal_(layer.weight, nonlinearity="relu")
            nn.init.zeros_(layer.bias)
    for mlp in (model.bbox_embed, model.pose_embed, model.pose_hw_embed, model.enc_out_bbox_embed):
        last = cast(nn.Linear, mlp.layers[-1])
        nn.init.zeros_(last.weight)
        nn.init.zeros_(last.bias)
    if model.confidence is not None:
        last = cast(nn.Linear, model.confidence.mlp.layers[-1])
        nn.init.zeros_(last.weight)
        last.bias.data = torch.tensor((1.0, -2.0))  # most keypoints can be seen; an eighth of the box
    for module in model.modules():
        if isinstance(module, DeformableAttention):
            _rings(module)


def _rings(attention: DeformableAttention) -> None:
    """Head h looks in direction h, its point p at distance p + 1. Source: Deformable DETR (Zhu et al. 2021)."""
    angle = 2 * math.pi / attention.heads * torch.arange(attention.heads)
    direction = torch.stack((angle.cos(), angle.sin()), -1)
    direction = direction / direction.abs().amax(-1, keepdim=True)
    distance = torch.arange(1.0, attention.points + 1)
    rings = direction[:, None, None] * distance[:, None]  # heads, 1, points, 2
    rings = rings.expand(-1, attention.levels, -1, -1)
    with torch.no_grad():
        attention.sampling_offsets.weight.zero_()
        attention.sampling_offsets.bias.copy_(rings.flatten())
        attention.attention_weights.weight.zero_()
        attention.attention_weights.bias.zero_()
    for linear in (attention.value_proj, attention.output_proj):
        nn.init.xavier_uniform_(linear.weight)
        nn.init.zeros_(linear.bias)
