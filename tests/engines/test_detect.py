from __future__ import annotations

import numpy as np
import torch

from xpose_stream.engines.detect import detect
from xpose_stream.engines.xpose import XPoseOutput


def output(logits: list[list[float]], boxes: list[list[float]], keypoints: int = 3) -> XPoseOutput:
    points = torch.tensor(boxes)[:, None, :2].expand(-1, keypoints, -1)
    return XPoseOutput(torch.tensor([logits]), torch.tensor([boxes]), points.unsqueeze(0))


ALL = np.ones((1, 3), bool)


def test_boxes_and_keypoints_come_out_in_pixels_of_the_frame() -> None:
    (found,) = detect(output([[2.0]], [[0.5, 0.5, 0.2, 0.4]]), ALL, 640, 480)
    np.testing.assert_allclose(found.boxes, [[256, 144, 384, 336]], atol=1e-3)
    np.testing.assert_allclose(found.keypoints[0], [[320, 240]] * 3, atol=1e-3)
    np.testing.assert_allclose(found.scores, [1 / (1 + np.exp(-2.0))])


def test_weak_groups_are_left_out_and_the_rest_comes_best_first() -> None:
    boxes = [[0.2, 0.5, 0.1, 0.4], [0.5, 0.5, 0.1, 0.4], [0.8, 0.5, 0.1, 0.4]]
    (found,) = detect(output([[-5.0], [0.0], [1.0]], boxes), ALL, 100, 100)
    np.testing.assert_allclose(found.boxes[:, 0], [75, 45], atol=1e-3)


def test_of_two_boxes_that_are_nearly_the_same_the_better_stays() -> None:
    boxes = [[0.5, 0.5, 0.2, 0.4], [0.5, 0.5, 0.2, 0.41], [0.6, 0.5, 0.2, 0.4]]
    (found,) = detect(output([[0.0], [1.0], [-1.0]], boxes), ALL, 100, 100)
    assert len(found) == 2
    assert found.scores[0] > found.scores[1]


def test_of_two_boxes_of_one_class_the_better_stays_from_less_overlap_where_asked() -> None:
    boxes = [[0.5, 0.5, 0.2, 0.4], [0.5, 0.5, 0.2, 0.6], [0.5, 0.5, 0.2, 0.5]]  # IoUs of 2/3 and above
    mask = np.ones((2, 3), bool)
    (found,) = detect(output([[1.0, 0.0], [0.9, 0.0], [0.0, 0.8]], boxes), mask, 100, 100, overlap=0.5)
    assert found.class_ids.tolist() == [0, 1]
    (found,) = detect(output([[1.0, 0.0], [0.9, 0.0], [0.0, 0.8]], boxes), mask, 100, 100)
    assert found.class_ids.tolist() == [0, 0, 1]


def test_the_class_is_the_best_column_and_keypoints_it_lacks_are_nan() -> None:
    mask = np.array([[True, True, True], [True, False, False]])
    (found,) = detect(output([[-1.0, 1.0]], [[0.5, 0.5, 0.2, 0.4]]), mask, 100, 100)
    assert found.class_ids.tolist() == [1]
    assert np.isfinite(found.keypoints[0, 0]).all() and np.isnan(found.keypoints[0, 1:]).all()


def test_a_box_holds_the_keypoints_that_are_seen_where_asked() -> None:
    boxes, points = torch.tensor([[[0.5, 0.5, 0.2, 0.2]]]), torch.tensor([[[[0.2, 0.5], [0.5, 0.9], [0.5, 0.5]]]])
    sight = torch.tensor([[[2.0, -2.0, 2.0]]])  # the second is hidden
    model = XPoseOutput(torch.tensor([[[2.0]]]), boxes, points, sight, torch.full((1, 1, 3), -3.0))
    for hold, left in ((False, 40), (True, 20)):
        (found,) = detect(model, ALL, 100, 100, hold=hold)
        np.testing.assert_allclose(found.boxes, [[left, 40, 60, 60]], atol=1e-4)


def test_a_box_stays_as_it_is_where_no_keypoint_is_seen() -> None:
    hidden = torch.full((1, 1, 3), -2.0)
    model = output([[2.0]], [[0.5, 0.5, 0.2, 0.2]])
    model = XPoseOutput(model.logits, model.boxes, torch.zeros(1, 1, 3, 2), hidden, hidden)
    (found,) = detect(model, ALL, 100, 100, hold=True)
    np.testing.assert_allclose(found.boxes, [[40, 40, 60, 60]], atol=1e-4)
    assert detect(output([[-5.0]], [[0.5, 0.5, 0.2, 0.2]]), ALL, 100, 100, hold=True)[0].boxes.shape == (0, 4)
