from __future__ import annotations

import pytest
import torch

from xpose_stream.engines.parity import ParityError, check_parity, check_rows
from xpose_stream.engines.xpose import XPoseOutput

SIZE = (200, 100)


def output(batch: int = 1) -> XPoseOutput:
    torch.manual_seed(0)
    boxes = torch.rand(batch, 10, 4) * 0.5 + 0.25
    logits = torch.linspace(3, -6, 10).view(1, 10, 1).expand(batch, -1, 2)
    return XPoseOutput(logits, boxes, torch.rand(batch, 10, 5, 2))


def test_equal_answers_pass_in_any_order_of_groups() -> None:
    answer = output(2)
    turned = XPoseOutput(*(tensor.flip(1) for tensor in answer.parts))
    assert check_parity(answer, turned, SIZE, "float32") == 0


def test_the_error_is_in_pixels_of_the_input() -> None:
    answer = output()
    moved = answer._replace(keypoints=answer.keypoints + torch.tensor([0.0001, 0.0]))
    assert check_parity(answer, moved, SIZE, "float32") == pytest.approx(0.02, rel=0.01)
    with pytest.raises(ParityError, match=r"0\.2 px from eager's, 0\.05 px are allowed"):
        check_parity(answer, answer._replace(keypoints=answer.keypoints + 0.001 / 2**0.5 * 1.265), SIZE, "float32")


def test_half_precision_is_allowed_more() -> None:
    answer = output()
    moved = answer._replace(keypoints=answer.keypoints + torch.tensor([0.001, 0.0]))
    assert check_parity(answer, moved, SIZE, "float16") == pytest.approx(0.2, rel=0.01)


def test_other_scores_are_refused() -> None:
    answer = output()
    with pytest.raises(ParityError, match="scores are"):
        check_parity(answer, answer._replace(logits=answer.logits + 0.1), SIZE, "float32")


def test_nan_is_refused() -> None:
    answer = output()
    with pytest.raises(ParityError):
        check_parity(answer, answer._replace(keypoints=answer.keypoints * torch.nan), SIZE, "float16")


def test_groups_that_are_no_detections_do_not_count_but_the_best_one_does() -> None:
    answer = output()
    keypoints = answer.keypoints.clone()
    keypoints[:, -1] += 0.1
    check_parity(answer, answer._replace(keypoints=keypoints), SIZE, "float32")
    faint = answer._replace(logits=answer.logits - 9)
    with pytest.raises(ParityError):
        check_parity(faint, faint._replace(keypoints=faint.keypoints + 0.1), SIZE, "float32")


def test_equal_images_must_have_equal_answers() -> None:
    one = XPoseOutput(*(tensor.expand(3, *tensor.shape[1:]).clone() for tensor in output().parts))
    check_rows(one, SIZE, "float32")
    one.boxes[2] += 0.01
    with pytest.raises(ParityError, match="equal images of a batch differ"):
        check_rows(one, SIZE, "float32")
