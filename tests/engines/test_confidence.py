"""Confidence per keypoint: learned by our own weights, estimated for those that were never taught it."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from xpose_stream.engines.detect import detect
from xpose_stream.engines.engine import EagerEngine
from xpose_stream.engines.xpose import XPose, XPoseConfig, XPoseOutput
from xpose_stream.engines.xpose.confidence import CLUES, Confidence, clues, estimate, first_clues
from xpose_stream.engines.xpose.guess import First


@pytest.mark.parametrize("kind", ["learned", "estimated"])
def test_every_keypoint_gets_a_probability_and_a_sigma_in_pixels(kind: str) -> None:
    torch.manual_seed(0)
    model = XPose(replace(XPoseConfig.nano(), confidence=kind)).eval()
    prompts = torch.randn(2, 128), torch.randn(2, 5, 128), torch.tensor([[True] * 5, [True] * 3 + [False] * 2])
    images = torch.randn(1, 3, 144, 192)
    engine = EagerEngine(model, torch.device("cpu"))
    output = engine(images, engine.pin(*prompts))
    assert output.visibility.shape == output.spread.shape == (1, 10, 5)
    (found,) = detect(output, prompts[2].numpy(), 640, 480, threshold=0.0)
    real = prompts[2].numpy()[found.class_ids]
    assert (found.keypoint_sigmas[real] > 0).all() and np.isnan(found.keypoint_sigmas[~real]).all()
    assert ((found.keypoint_scores[real] > 0) & (found.keypoint_scores[real] < 1)).all()
    assert (found[:1].keypoint_sigmas == found.keypoint_sigmas[:1])[real[:1]].all()


def test_sigmas_are_shares_of_the_boxs_size() -> None:
    output = XPoseOutput(
        torch.tensor([[[3.0]]]), torch.tensor([[[0.5, 0.5, 0.5, 0.5]]]), torch.full((1, 1, 2, 2), 0.5),
        torch.tensor([[[0.0, 2.0]]]), torch.tensor([[[-2.0, -3.0]]]),
    )  # fmt: skip
    (found,) = detect(output, np.ones((1, 2), bool), 400, 100)
    np.testing.assert_allclose(found.keypoint_sigmas, [100 * np.exp([-2.0, -3.0])], rtol=1e-6)
    np.testing.assert_allclose(found.keypoint_scores, [1 / (1 + np.exp([-0.0, -2.0]))], rtol=1e-6)


def test_calibration_goes_into_the_last_layer() -> None:
    torch.manual_seed(0)
    head, points = Confidence(32), torch.randn(2, 3, 4, 32)
    before = head(points)
    head.calibrate(slope=0.5, offset=0.3, scale=2.0)
    after = head(points)
    torch.testing.assert_close(after["visibility"], 0.5 * before["visibility"] + 0.3)
    torch.testing.assert_close(after["spread"].exp(), 2 * before["spread"].exp())


def test_clues_add_to_what_tokens_tell_where_the_heat_is_movenets_own_and_are_calibrated_with_it() -> None:
    torch.manual_seed(0)
    head = Confidence(32, clued=True)
    told = torch.randn(2, 3, 4, 32 + CLUES + 1)
    plain = dict(zip(("visibility", "spread"), head.mlp(told[..., :32]).unbind(-1), strict=True))
    torch.testing.assert_close(head(told), plain)  # it has learned nothing of clues yet
    for parameter in (*head.seen.parameters(), *head.far.parameters()):
        nn.init.normal_(parameter, std=0.2)
    told[..., -1] = torch.tensor((1.0, 0.0, 1.0, 0.0))
    before = head(told)
    same = before["visibility"] == plain["visibility"]
    assert same[..., 1::2].all() and not same[..., ::2].any()
    head.calibrate(slope=0.5, offset=0.3, scale=1.5)
    after = head(told)
    torch.testing.assert_close(after["visibility"], 0.5 * before["visibility"] + 0.3)
    torch.testing.assert_close(after["spread"], before["spread"] + math.log(1.5))


def test_what_clues_tell_is_learned_anew_from_numbers_of_any_size() -> None:
    torch.manual_seed(0)
    head = Confidence(32, clued=True)
    for parameter in (*head.seen.parameters(), *head.far.parameters()):
        nn.init.normal_(parameter)
    told = torch.randn(500, 32 + CLUES + 1) * torch.cat((torch.ones(32), 10.0 ** torch.arange(-2, 5)))
    told[:, -1] = 1.0
    head.begin(told)
    plain = dict(zip(("visibility", "spread"), head.mlp(told[:, :32]).unbind(-1), strict=True))
    torch.testing.assert_close(head(told), plain)
    entering = head.seen.layers[0](torch.cat((head.mlp(told[:, :32]), told[:, 32:-1]), 1))
    assert entering.mean(0).abs().max() < 1e-3
    assert entering.std(0).min() > 0.1 and entering.std(0).max() < 2


def test_clues_tell_how_far_within_picture_and_box_a_keypoint_lies_and_who_else_is_there() -> None:
    boxes = torch.tensor([[[0.5, 0.5, 0.4, 0.1], [0.62, 0.5, 0.1, 0.8]]])  # sqrt(area): 0.2 and 0.283 of the picture's
    keypoints = torch.tensor([[[[0.32, 0.5], [0.6, 0.5]], [[0.6, 0.99], [0.9, 0.5]]]])
    logits = torch.tensor([[[0.0], [2.0]]])
    zero = torch.zeros(1, 2, 2, 1)
    first = First(keypoints, keypoints, torch.zeros(1, 2, 2, 2), zero)
    picture, box, behind = first_clues(first, logits, boxes, keypoints, 1.0)[0, ..., 3:6].unbind(-1)
    torch.testing.assert_close(picture, torch.tensor([[0.5, 0.5], [0.01 / 0.08**0.5, 0.1 / 0.08**0.5]]))
    torch.testing.assert_close(box, torch.tensor([[0.02 / 0.2, 0.05 / 0.2], [-0.09 / 0.08**0.5, -0.5]]))
    torch.testing.assert_close(behind, torch.tensor([[0.0, torch.tensor(2.0).sigmoid()], [0.0, 0.0]]))
    same = first_clues(first, logits, boxes[:, :1].expand(1, 2, 4), keypoints, 1.0)[..., 5]
    assert not same.any(), "the same thing found twice hides nothing"


def answers(apart: float, moved: float) -> tuple[torch.Tensor, ...]:
    """Two groups on one instance and one elsewhere; the second group's keypoint lies `apart` from the first's."""
    boxes = torch.tensor([[[0.3, 0.5, 0.2, 0.4], [0.3, 0.5, 0.2, 0.41], [0.8, 0.5, 0.2, 0.4]]])
    keypoints = boxes[:, :, None, :2].clone()
    keypoints[0, 1, 0, 1] += apart
    references = torch.cat((boxes[:, :, None], torch.cat((keypoints, torch.full((1, 3, 1, 2), 0.02)), -1)), 2)
    references[..., 1:, 0] -= moved
    return torch.zeros(1, 3, 1), boxes, keypoints, references


def test_disagreement_and_movement_make_an_estimate_less_sure() -> None:
    calm = estimate(*answers(0.0, 0.0), 1.0)
    for unsure in (estimate(*answers(0.1, 0.0), 1.0), estimate(*answers(0.0, 0.05), 1.0)):
        assert unsure["spread"][0, 0, 0] > calm["spread"][0, 0, 0] + 0.1
        assert (unsure["visibility"] == 0).all()  # the logit of the group, whatever the clues
    alone = clues(*answers(0.1, 0.0), 1.0)[0, 2, 0]
    torch.testing.assert_close(alone, clues(*answers(0.0, 0.0), 1.0)[0, 2, 0])  # nobody else is about the third


def test_clues_are_measured_in_the_boxs_size_whatever_the_shape_of_the_image() -> None:
    logits, boxes, keypoints, references = answers(0.0, 0.05)
    stretched = boxes.clone(), keypoints.clone(), references.clone()
    for tensor in stretched:
        tensor[..., 0::2] /= 2  # the same picture beside as much nothing
    torch.testing.assert_close(
        clues(logits, *stretched, 2.0)[:, :, 0, :2], clues(logits, boxes, keypoints, references, 1.0)[:, :, 0, :2]
    )
