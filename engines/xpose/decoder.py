"""The decoder: queries become boxes, the best boxes become groups of a box and its keypoints."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from xpose_stream.engines.xpose.config import XPoseConfig
from xpose_stream.engines.xpose.deformable import DeformableAttention
from xpose_stream.engines.xpose.grid import Grid
from xpose_stream.engines.xpose.layers import MLP, Attention, sine


class Decoder(nn.Module):
    """Decoder layers with what they share: the embedding of references and the keypoints' learned sizes."""

    def __init__(self, config: XPoseConfig) -> None:
        super().__init__()
        dim = config.hidden_dim
        count = config.box_decoder_layers + config.keypoint_decoder_layers
        self.layers = nn.ModuleList(DecoderLayer(config) for _ in range(count))
        self.norm = nn.LayerNorm(dim)
        self.ref_point_head = MLP(2 * dim, dim, dim)
        self.keypoint_size = nn.Parameter(torch.zeros(config.max_keypoints, 2))  # logit of a keypoint's w, h in its box

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
        """Run one layer on `groups` of tokens that see each other.

        `content` [B, groups, T, D], `references` [B, groups, T, 4] (x, y, w, h in 0..1); `mask`, True where attention
        is allowed, broadcasts to [B * groups, 1, T, T].
        """
        batch, groups, tokens, dim = content.shape
        levels = references.flatten(1, 2).unsqueeze(2)
        if grid.valid_ratios is None:
            levels = levels.expand(-1, -1, len(grid.sizes), -1)
        else:
            levels = levels * grid.valid_ratios.repeat(1, 1, 2).unsqueeze(1)
        x, y, size = levels[:, :, 0].split((1, 1, 2), -1)
        position = self.ref_point_head(sine(torch.cat((y, x, size), -1), grid.frequencies).flatten(-2))
        out = self.layers[layer](
            content.flatten(1, 2), position, levels, memory, memory_text, grid, (batch * groups, tokens, dim), mask
        )
        return out.view(batch, groups, tokens, dim)


class DecoderLayer(nn.Module):
    """Attention within the group, to the text, to the image; then an MLP; post-norm."""

    def __init__(self, config: XPoseConfig) -> None:
        super().__init__()
        dim, inner, heads = config.hidden_dim, config.feedforward_dim, config.attention_heads
        self.self_attn = Attention(dim, heads)
        self.norm2 = nn.LayerNorm(dim)
        self.ca_text = Attention(dim, heads)
        self.catext_norm = nn.LayerNorm(dim)
        self.cross_attn = DeformableAttention(dim, heads, config.levels, config.points)
        self.norm1 = nn.LayerNorm(dim)
        self.linear1 = nn.Linear(dim, inner)
        self.linear2 = nn.Linear(inner, dim)
        self.norm3 = nn.LayerNorm(dim)

    def forward(
        self,
        x: Tensor,
        position: Tensor,
        references: Tensor,
        memory: Tensor,
        memory_text: Tensor,
        grid: Grid,
        grouped: tuple[int, int, int],
        mask: Tensor | None,
    ) -> Tensor:
        query = (x + position).view(grouped)
        x = self.norm2(x + self.self_attn(query, query, x.view(grouped), mask).view_as(x))
        x = self.catext_norm(x + self.ca_text(x + position, memory_text, memory_text))
        x = self.norm1(x + self.cross_attn(x + position, references, memory, grid.sizes, grid.padding))
        return self.norm3(x + self.linear2(F.relu(self.linear1(x))))
