"""The encoder: image tokens and text tokens look at each other, then image tokens at their surroundings."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from xpose_stream.engines.xpose.config import XPoseConfig
from xpose_stream.engines.xpose.deformable import DeformableAttention
from xpose_stream.engines.xpose.grid import Grid


class Encoder(nn.Module):
    """Image tokens [B, S, D] and text tokens [B, C, D] to memory and memory_text of the same shapes."""

    def __init__(self, config: XPoseConfig) -> None:
        super().__init__()
        count = config.encoder_layers
        self.fusion_layers = nn.ModuleList(Fusion(config) for _ in range(count))
        self.text_layers = nn.ModuleList(TextLayer(config) for _ in range(count))
        self.layers = nn.ModuleList(EncoderLayer(config) for _ in range(count))

    def forward(self, image: Tensor, text: Tensor, positions: Tensor, grid: Grid) -> tuple[Tensor, Tensor]:
        for fuse, text_layer, layer in zip(self.fusion_layers, self.text_layers, self.layers, strict=True):
            image, text = fuse(image, text, grid.padding)
            text = text_layer(text)
            image = layer(image, positions, grid)
        return image, text


class Fusion(nn.Module):
    """Bidirectional attention between image and text (as in GLIP, CVPR 2022), computed on the few text tokens' side.

    Projections of the S image tokens to the inner width are folded onto the C text tokens, which gives the same
    numbers: linear maps commute with weighted sums, and the weights of a softmax sum to 1.
    """

    def __init__(self, config: XPoseConfig) -> None:
        super().__init__()
        dim = config.hidden_dim
        self.heads = config.attention_heads // 2
        self.layer_norm_v = nn.LayerNorm(dim)
        self.layer_norm_l = nn.LayerNorm(dim)
        self.attn = FusionAttention(dim, config.feedforward_dim // 2, self.heads)
        self.gamma_v = nn.Parameter(torch.full((dim,), 0.1))
        self.gamma_l = nn.Parameter(torch.full((dim,), 0.1))

    def forward(self, image: Tensor, text: Tensor, padding: Tensor | None) -> tuple[Tensor, Tensor]:
        # The residual is the normalised input, as in the published model.
        image, text = self.layer_norm_v(image), self.layer_norm_l(text)
        to_image, to_text = self.attn(image, text, padding)
        return image + self.gamma_v * to_image, text + self.gamma_l * to_text


class FusionAttention(nn.Module):
    """Both directions of the fusion from one score per (head, image token, text token)."""

    def __init__(self, dim: int, inner: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.scale = (inner // heads) ** -0.5
        self.v_proj = nn.Linear(dim, inner)
        self.l_proj = nn.Linear(dim, inner)
        self.values_v_proj = nn.Linear(dim, inner)
        self.values_l_proj = nn.Linear(dim, inner)
        self.out_v_proj = nn.Linear(inner, dim)
        self.out_l_proj = nn.Linear(inner, dim)

    def forward(self, image: Tensor, text: Tensor, padding: Tensor | None) -> tuple[Tensor, Tensor]:
        keys = self._split(self.l_proj(text)) * self.scale  # [B, heads, C, inner / heads]
        query_weight = self.v_proj.weight.unflatten(0, (self.heads, -1))
        folded = (keys @ query_weight).flatten(1, 2)  # [B, heads * C, D]
        bias = (keys * self.v_proj.bias.view(self.heads, 1, -1)).sum(-1).flatten(1)
        scores = image @ folded.transpose(1, 2) + bias.unsqueeze(1)  # [B, S, heads * C]; TensorRT takes no baddbmm
        return self._to_image(scores, text), self._to_text(scores, image, padding)

    def _to_image(self, scores: Tensor, text: Tensor) -> Tensor:
        values = self._split(self.values_l_proj(text))
        out_weight = self.out_v_proj.weight.unflatten(1, (self.heads, -1)).permute(1, 2, 0)
        folded = (values @ out_weight).flatten(1, 2)  # [B, heads * C, D]
        if text.shape[1] == 1:  # softmax over one text token is 1
            return folded.sum(1, keepdim=True) + self.out_v_proj.bias
        weights = scores.unflatten(-1, (self.heads, -1)).softmax(-1).flatten(-2)
        return weights @ folded + self.out_v_proj.bias

    def _to_text(self, scores: Tensor, image: Tensor, padding: Tensor | None) -> Tensor:
        if padding is not None:
            scores = scores.masked_fill(padding.unsqueeze(-1), float("-inf"))
        seen = (scores.transpose(1, 2).softmax(-1) @ image).unflatten(1, (self.heads, -1))  # [B, heads, C, D]
        weight = self.values_v_proj.weight.unflatten(0, (self.heads, -1)).transpose(1, 2)
        values = seen @ weight + self.values_v_proj.bias.view(self.heads, 1, -1)
        return self.out_l_proj(values.transpose(1, 2).flatten(2))

    def _split(self, x: Tensor) -> Tensor:
        return x.unflatten(-1, (self.heads, -1)).transpose(1, 2)


class TextLayer(nn.Module):
    """A transformer layer in which each text token sees only itself, so attention is its value projection."""

    def __init__(self, config: XPoseConfig) -> None:
        super().__init__()
        dim, inner = config.hidden_dim, config.feedforward_dim // 2
        self.value_proj = nn.Linear(dim, dim)
        self.out_proj = nn.Linear(dim, dim)
        self.norm1 = nn.LayerNorm(dim)
        self.linear1 = nn.Linear(dim, inner)
        self.linear2 = nn.Linear(inner, dim)
        self.norm2 = nn.LayerNorm(dim)

    def forward(self, text: Tensor) -> Tensor:
        text = self.norm1(text + self.out_proj(self.value_proj(text)))
        return self.norm2(text + self.linear2(F.relu(self.linear1(text))))


class EncoderLayer(nn.Module):
    """Deformable self-attention over all levels and an MLP, post-norm."""

    def __init__(self, config: XPoseConfig) -> None:
        super().__init__()
        dim, inner = config.hidden_dim, config.feedforward_dim
        self.self_attn = DeformableAttention(dim, config.attention_heads, config.levels, config.points)
        self.norm1 = nn.LayerNorm(dim)
        self.linear1 = nn.Linear(dim, inner)
        self.linear2 = nn.Linear(inner, dim)
        self.norm2 = nn.LayerNorm(dim)

    def forward(self, image: Tensor, positions: Tensor, grid: Grid) -> Tensor:
        image = self.norm1(image + self.self_attn(image + positions, grid.references, image, grid.sizes, grid.padding))
        return self.norm2(image + self.linear2(F.relu(self.linear1(image))))
