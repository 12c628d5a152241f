"""What a body is made of before it is trained."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import torch

from xpose_stream.engines.prompts.example import normalised
from xpose_stream.engines.xpose import XPoseConfig
from xpose_stream.engines.xpose.mobilenet import MobileNet
from xpose_stream.training.pretrained.surgery import _whiten


def test_whitened_maps_have_mean_nothing_and_spread_one_over_the_pictures(tmp_path: Path) -> None:
    backbone, chance = MobileNet(XPoseConfig.eyes()).eval(), torch.Generator().manual_seed(0)
    for name, part in backbone.body.named_buffers():
        spread = (2 / part[0].numel()) ** 0.5 if name.endswith("weight") else 0.1
        part.copy_(spread * torch.randn(part.shape, generator=chance))
    rgb = np.random.default_rng(0).integers(0, 256, (64, 96, 3), np.uint8)
    cv2.imwrite(str(tmp_path / "picture.png"), rgb[..., ::-1])
    _whiten(backbone, [tmp_path / "picture.png"], (64, 96))
    for map, width in zip(backbone(torch.from_numpy(normalised(rgb))[None]), backbone.channels, strict=False):
        flat = map[0].flatten(1)
        alive = flat.std(1, correction=0) > 0.1  # a channel may be the same everywhere
        assert flat.mean(1).abs().max() < 0.05
        assert int(alive.sum()) > width / 2
        torch.testing.assert_close(flat.std(1, correction=0)[alive], torch.ones(int(alive.sum())), atol=0.05, rtol=0)
