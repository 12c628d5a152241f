from __future__ import annotations

import copy

import pytest
import torch

from engines.engine import EagerEngine, fold_batch_norms
from engines.xpose import XPose, XPoseConfig
from engines.xpose.deformable import sample_maps, sample_rows


@pytest.fixture(scope="module")
def nano() -> XPose:
    torch.manual_seed(0)
    model = XPose(XPoseConfig.nano())
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            torch.nn.init.uniform_(module.running_mean, -0.2, 0.2)
            torch.nn.init.uniform_(module.running_var, 0.5, 2.0)
    return model.eval()


def prompts(classes: int = 1, keypoints: int = 17) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    torch.manual_seed(1)
    mask = torch.ones(classes, keypoints, dtype=torch.bool)
    return torch.randn(classes, 128), torch.randn(classes, keypoints, 128), mask


def test_the_engine_answers_what_the_model_answers(nano: XPose) -> None:
    images = torch.randn(2, 3, 144, 192)
    instances, keypoints, mask = prompts()
    engine = EagerEngine(copy.deepcopy(nano), torch.device("cpu"))
    answer = engine(images, engine.pin(instances, keypoints, mask))
    with torch.enable_grad():  # the model with autograd takes the other sampling path
        expected = nano(images, instances, keypoints[0])
    assert answer.visibility is None and answer.spread is None
    for got, wanted in zip(answer[:3], expected[:3], strict=True):
        torch.testing.assert_close(got, wanted.detach(), atol=1e-4, rtol=1e-4)


def test_folding_batch_norms_leaves_none_and_changes_nothing(nano: XPose) -> None:
    images = torch.randn(1, 3, 144, 192)
    folded = fold_batch_norms(copy.deepcopy(nano))
    assert not any(isinstance(module, torch.nn.BatchNorm2d) for module in folded.modules())
    for got, wanted in zip(folded.backbone(images), nano.backbone(images), strict=True):
        torch.testing.assert_close(got, wanted, atol=1e-4, rtol=1e-4)


def test_a_mask_is_pinned_only_where_a_class_lacks_keypoints(nano: XPose) -> None:
    engine = EagerEngine(copy.deepcopy(nano), torch.device("cpu"))
    instances, keypoints, mask = prompts(classes=2, keypoints=5)
    assert engine.pin(instances, keypoints, mask).keypoint_mask is None
    mask[1, 3:] = False
    assert engine.pin(instances, keypoints, mask).keypoint_mask is not None


def test_both_ways_to_sample_deformable_attention_agree_inside_and_outside_the_maps() -> None:
    torch.manual_seed(2)
    sizes = ((18, 24), (9, 12), (5, 6))
    value = torch.randn(2, sum(h * w for h, w in sizes), 4, 32, dtype=torch.float64)
    locations = torch.rand(2, 50, 4, 3, 4, 2, dtype=torch.float64) * 1.6 - 0.3
    weights = torch.rand(2, 50, 4, 3, 4, dtype=torch.float64)
    by_rows = sample_rows(value, sizes, locations, weights)
    torch.testing.assert_close(by_rows, sample_maps(value, sizes, locations, weights), atol=1e-10, rtol=0)
