"""Prompts by example: what marked keypoints of a picture look like, as the embeddings that words would give."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from xpose_stream.engines.xpose.config import XPoseConfig
from xpose_stream.engines.xpose.layers import MLP, Attention, sine, sine_frequencies

# Tokens that an example may look at lie within its box, larger by this factor.
REACH = 1.25


class Marked(NamedTuple):
    """E marked instances, each in a picture of its own; fractions of the picture."""

    boxes: Tensor  # [E, 4] cx, cy, w, h
    keypoints: Tensor  # [E, K, 2] x, y; anything where absent
    present: Tensor  # [E, K] bool


class VisualEncoder(nn.Module):
    """Picture levels and marks to prompt embeddings: an instance's [E, P] and its keypoints' [E, K, P].

    A keypoint starts as its place in the box and the image feature there, an absent one as a learned token; with the
    instance's token they attend to each other and to the image tokens in and around the box. Keypoint positions fused
    with the image's tokens by attention are X-Pose's visual prompt encoder (Yang et al., ECCV 2024, section 3.2); there
    the image tokens are CLIP's, here they are those of the model's own backbone, which costs a small model nothing.
    """

    frequencies: Tensor

    def __init__(self, config: XPoseConfig) -> None:
        super().__init__()
        dim = config.hidden_dim
        self.instance = nn.Parameter(torch.randn(dim))
        self.absent = nn.Parameter(torch.randn(dim))
        self.place = MLP(dim, dim, dim)
        self.local = nn.Linear(config.levels * dim, dim)
        self.layers = nn.ModuleList(VisualLayer(config) for _ in range(config.visual_layers))
        self.norm = nn.LayerNorm(dim)
        self.output = nn.Linear(dim, config.prompt_dim)
        self.register_buffer("frequencies", sine_frequencies(dim // 2, 20.0).float(), persistent=False)

    def forward(self, levels: Sequence[Tensor], marked: Marked) -> tuple[Tensor, Tensor]:
        """`levels` are the projected maps [E, D, h, w] of the pictures; see the class."""
        centre, extent = marked.boxes[:, None, :2], marked.boxes[:, None, 2:].clamp(min=1e-3)
        tokens, near = self._image_tokens(levels, centre, extent)
        # The sampling grid does not care about the order of the memory, autocast does about the type.
        grid = (2 * marked.keypoints - 1).unsqueeze(1).to(levels[0].dtype)
        seen = torch.cat([F.grid_sample(level, grid, align_corners=False)[:, :, 0] for level in levels], 1)
        points = self.local(seen.transpose(1, 2)) + self._placed((marked.keypoints - centre) / extent)
        points = torch.where(marked.present.unsqueeze(-1), points, self.absent.to(points.dtype))
        x = torch.cat((self.instance.to(points.dtype).expand(len(points), 1, -1), points), 1)
        for layer in self.layers:
            x = layer(x, tokens, near)
        x = self.output(self.norm(x))
        return x[:, 0], x[:, 1:]

    def _placed(self, offset: Tensor) -> Tensor:
        """Embedding of places [..., 2] in units of the box, from its centre."""
        return self.place(sine(offset, self.frequencies).flatten(-2))

    def _image_tokens(self, levels: Sequence[Tensor], centre: Tensor, extent: Tensor) -> tuple[Tensor, Tensor]:
        """Image tokens [E, S, D] that know their place, and which may be looked at: [E, 1, 1, S]."""
        places, cells = [], []
        for level in levels:
            height, width = level.shape[-2:]
            y = (torch.arange(height, device=level.device) + 0.5) / height
            x = (torch.arange(width, device=level.device) + 0.5) / width
            places.append(torch.stack(torch.meshgrid(x, y, indexing="xy"), -1).flatten(0, 1))
            cells.append(places[-1].new_tensor((1 / width, 1 / height)).expand(height * width, 2))
        offset = torch.cat(places) - centre  # [E, S, 2]
        near = (offset.abs() <= extent * (REACH / 2) + torch.cat(cells) / 2).all(-1)
        content = torch.cat([level.flatten(2).transpose(1, 2) for level in levels], 1)
        return content + self._placed(offset / extent), near[:, None, None]


class VisualLayer(nn.Module):
    """Attention among an example's tokens, to the image, and an MLP; pre-norm."""

    def __init__(self, config: XPoseConfig) -> None:
        super().__init__()
        dim, heads = config.hidden_dim, config.attention_heads
        self.norm1, self.norm2, self.norm3 = nn.LayerNorm(dim), nn.LayerNorm(dim), nn.LayerNorm(dim)
        self.self_attn = Attention(dim, heads)
        self.cross_attn = Attention(dim, heads)
        self.mlp = MLP(dim, 2 * dim, dim)

    def forward(self, x: Tensor, tokens: Tensor, near: Tensor) -> Tensor:
        y = self.norm1(x)
        x = x + self.self_attn(y, y, y)
        x = x + self.cross_attn(self.norm2(x), tokens, tokens, near)
        return x + self.mlp(self.norm3(x))
