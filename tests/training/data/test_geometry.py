import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from xpose_stream.training.data.geometry import centres, corners, overlap, similarity

number = st.floats(0.01, 0.99)
box = st.tuples(number, number, number, number)


def giou_by_hand(a: np.ndarray, b: np.ndarray) -> tuple[float, float]:
    ax0, ay0, ax1, ay1 = a[0] - a[2] / 2, a[1] - a[3] / 2, a[0] + a[2] / 2, a[1] + a[3] / 2
    bx0, by0, bx1, by1 = b[0] - b[2] / 2, b[1] - b[3] / 2, b[0] + b[2] / 2, b[1] + b[3] / 2
    shared = max(0.0, min(ax1, bx1) - max(ax0, bx0)) * max(0.0, min(ay1, by1) - max(ay0, by0))
    union = a[2] * a[3] + b[2] * b[3] - shared
    hull = (max(ax1, bx1) - min(ax0, bx0)) * (max(ay1, by1) - min(ay0, by0))
    return shared / union, shared / union - (hull - union) / hull


@settings(deadline=None)  # a busy machine is no failure
@given(box, box)
def test_overlap_agrees_with_the_definition(a, b):
    iou, giou = overlap(torch.tensor(a, dtype=torch.float64), torch.tensor(b, dtype=torch.float64))
    assert np.allclose((iou, giou), giou_by_hand(np.array(a), np.array(b)), atol=1e-6)
    assert -1 - 1e-9 <= giou <= iou + 1e-9 <= 1 + 1e-8


@settings(deadline=None)  # a busy machine is no failure
@given(box)
def test_corners_and_centres_are_inverse(a):
    assert torch.allclose(centres(corners(torch.tensor(a))), torch.tensor(a), atol=1e-6)


def test_overlap_compares_all_pairs_by_broadcasting():
    a, b = torch.rand(3, 1, 4) + 0.1, torch.rand(1, 5, 4) + 0.1
    pairs = overlap(a, b)[1]
    assert pairs.shape == (3, 5)
    assert torch.allclose(pairs[2, 3], overlap(a[2, 0], b[0, 3])[1])


def test_a_keypoint_is_as_similar_as_coco_says_whatever_the_shape_of_the_image():
    sigma, box = torch.tensor((0.05,)), torch.tensor((0.5, 0.5, 0.25, 0.5))
    wide = similarity(torch.tensor([[0.5, 0.5]]), torch.tensor([[0.51, 0.5]]), box, sigma, aspect=4 / 3)
    width, height = 400, 300
    area = 0.53 * 0.25 * width * 0.5 * height
    assert torch.allclose(wide, torch.tensor(np.exp(-((0.01 * width) ** 2) / (2 * area * 0.1**2)), dtype=torch.float32))
    assert similarity(torch.ones(1, 2), torch.ones(1, 2), box, sigma, 1.0) == 1
