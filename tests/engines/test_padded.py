"""The padded mode does more work and answers the same."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest
import torch

from benchmarks.padded import ALL, PaddedXPose, Redundancy
from xpose_stream.engines.xpose import XPose, XPoseConfig


@pytest.mark.parametrize("name", ["all", *(field.name for field in fields(Redundancy))])
@torch.no_grad()
def test_redundant_work_changes_no_answer(name: str) -> None:
    torch.manual_seed(0)
    model = XPose(replace(XPoseConfig.tiny(), num_queries=60, num_groups=12)).double().eval()
    inputs = torch.randn(1, 3, 70, 100), 10 * torch.randn(2, 512), torch.randn(5, 512)
    images, classes, keypoints = (x.double() for x in inputs)
    padded = PaddedXPose(model, ALL if name == "all" else Redundancy.only(name)).double()
    answer = model(images, classes, keypoints).parts
    for found, expected in zip(padded(images, classes, keypoints).parts, answer, strict=True):
        torch.testing.assert_close(found, expected, rtol=0, atol=1e-8)
