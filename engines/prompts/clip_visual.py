"""Prompts by example for the published weights, reconstructed from the paper: not verified against published results.

The published file holds CLIP's image tower (`clip_model.visual.*`), a projection of keypoint positions to its width
(`pos_proj`, 256 -> 768) and a vector for absent keypoints (`padding`), which text prompts leave unused. According to
the paper (Yang et al., ECCV 2024) positions are embedded, absent keypoints share a learned token, and both are fused
with the prompt image by CLIP's image tower. What it leaves open was decided here: the instance is cut out with a
margin, positions are encoded as the model's references are (y first, 128 sine channels each), keypoint tokens join
behind the patches after `ln_pre`, they see everything while the image sees only itself, and all leave through
`ln_post` and CLIP's projection.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor, nn

from xpose_stream.engines.prompts.example import Example
from xpose_stream.engines.xpose.layers import sine, sine_frequencies
from xpose_stream.engines.xpose.text import PromptError

_MEAN, _SPREAD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
_HEAD_WIDTH = 64


class ClipVisualEncoder(nn.Module):
    """CLIP's vision transformer (Radford et al., 2021) with keypoint tokens; parameters have OpenAI's names."""

    def __init__(self, weights: Mapping[str, Tensor]) -> None:
        """`weights` in the published names without `clip_model.`. Raises PromptError when some are missing."""
        super().__init__()
        given = {name.removeprefix("visual."): tensor.float() for name, tensor in weights.items()}
        try:
            width, _, patch, _ = given["conv1.weight"].shape
            blocks = {name.split(".")[2] for name in weights if name.startswith("visual.transformer.resblocks.")}
            self.conv1 = nn.Conv2d(3, width, patch, stride=patch, bias=False)
            self.class_embedding = nn.Parameter(torch.zeros(width))
            self.positional_embedding = nn.Parameter(torch.zeros_like(given["positional_embedding"]))
            self.ln_pre, self.ln_post = nn.LayerNorm(width), nn.LayerNorm(width)
            self.transformer = nn.ModuleDict({"resblocks": nn.ModuleList(_Block(width) for _ in blocks)})
            self.proj = nn.Parameter(torch.zeros_like(given["proj"]))
            self.pos_proj = nn.Linear(given["pos_proj.weight"].shape[1], width)
            self.padding = nn.Embedding(1, width)
            self.load_state_dict({name: given[name] for name in self.state_dict()})
        except (KeyError, RuntimeError, ValueError) as error:
            detail = " ".join(str(error).split())
            raise PromptError(f"The checkpoint lacks parts of the visual prompt encoder ({detail}).") from error
        self.side = round((len(self.positional_embedding) - 1) ** 0.5) * patch
        self.eval()

    @torch.no_grad()
    def forward(self, example: Example) -> tuple[Tensor, Tensor]:
        """An example's embeddings: of the instance [P] and of its keypoints [K, P]."""
        view = example.view(self.side, self.side)
        rgb = (view.rgb / 255 - np.array(_MEAN)) / np.array(_SPREAD)
        patches = self.conv1(torch.from_numpy(rgb.astype(np.float32)).permute(2, 0, 1)[None]).flatten(2).transpose(1, 2)
        image = torch.cat((self.class_embedding.expand(1, 1, -1), patches), 1) + self.positional_embedding
        x = torch.cat((self.ln_pre(image), self._marks(view)), 1)
        hidden = torch.zeros(x.shape[1], x.shape[1], dtype=torch.bool)
        hidden[: image.shape[1], image.shape[1] :] = True
        for block in self.transformer["resblocks"].children():
            x = block(x, hidden)
        features = (self.ln_post(x) @ self.proj)[0]
        return features[0], features[image.shape[1] :]

    def _marks(self, view: Example) -> Tensor:
        """Keypoint tokens [1, K, width]."""
        places = torch.from_numpy(np.nan_to_num(view.keypoints[:, ::-1] / self.side)).float()
        frequencies = sine_frequencies(self.pos_proj.in_features // 2, 10000.0).float()
        tokens = self.pos_proj(sine(places, frequencies).flatten(-2))
        return torch.where(torch.from_numpy(view.present)[:, None], tokens, self.padding.weight)[None]


class _Block(nn.Module):
    def __init__(self, width: int) -> None:
        super().__init__()
        self.attn = nn.MultiheadAttention(width, max(width // _HEAD_WIDTH, 1), batch_first=True)
        self.ln_1, self.ln_2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.mlp = nn.ModuleDict({"c_fc": nn.Linear(width, 4 * width), "c_proj": nn.Linear(4 * width, width)})

    def forward(self, x: Tensor, hidden: Tensor) -> Tensor:
        """`hidden` [T, T] is True where a token may not look."""
        y = self.ln_1(x)
        x = x + self.attn(y, y, y, need_weights=False, attn_mask=hidden)[0]
        y = self.mlp["c_fc"](self.ln_2(x))
        return x + self.mlp["c_proj"](y * torch.sigmoid(1.702 * y))
