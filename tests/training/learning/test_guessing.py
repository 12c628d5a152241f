"""What teaches the dense first guess."""

from __future__ import annotations

import torch

from xpose_stream.training.learning.guessing import reduced_focal


def test_heat_in_the_right_place_costs_less() -> None:
    heat = torch.zeros(1, 1, 9)
    heat[..., 3:6] = torch.tensor((0.6, 1.0, 0.6))
    positive = torch.zeros(1, 1, 9)
    positive[..., 4] = 1.0
    right, wrong = torch.full((1, 1, 9), -4.0), torch.full((1, 1, 9), -4.0)
    right[..., 4], wrong[..., 0] = 4.0, 4.0
    assert reduced_focal(right, heat, positive).sum() < 0.1 < reduced_focal(wrong, heat, positive).sum()


def test_a_neighbour_of_the_peak_is_hardly_wrong() -> None:
    heat, positive = torch.tensor((0.0, 0.9)), torch.zeros(2)
    far, near = reduced_focal(torch.tensor((2.0, 2.0)), heat, positive)
    assert near < far / 100
