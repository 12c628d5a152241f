from itertools import permutations

import pytest
import torch
from torch import Tensor

from xpose_stream.training.data.targets import Targets
from xpose_stream.training.learning.matching import assign, match, pair_costs


def random_targets(images: int, slots: int, keypoints: int = 3) -> Targets:
    return Targets(
        boxes=torch.rand(images, slots, 4) * 0.4 + 0.2,
        keypoints=torch.rand(images, slots, keypoints, 2),
        visibility=torch.randint(0, 3, (images, slots, keypoints)),
        classes=torch.randint(0, 2, (images, slots)),
        real=torch.rand(images, slots) < 0.7,
        ignore=torch.zeros(images, slots, dtype=torch.bool),
        known=torch.ones(images, 2, dtype=torch.bool),
        size=(144, 192),
    )


def cheapest(cost: Tensor) -> float:
    """The least sum over all ways to give every column its own row."""
    rows, columns = cost.shape
    return min(sum(float(cost[r, c]) for c, r in enumerate(order)) for order in permutations(range(rows), columns))


@pytest.mark.parametrize("seed", range(5))
def test_the_assignment_is_the_cheapest_of_all(seed):
    torch.manual_seed(seed)
    targets = random_targets(images=3, slots=4)
    logits, boxes = torch.randn(2, 3, 6, 2), torch.rand(2, 3, 6, 4) * 0.5 + 0.1
    keypoints = torch.rand(2, 3, 6, 3, 2)
    sigmas = torch.full((3, 4, 3), 0.07)
    cost = pair_costs(logits, boxes, targets, keypoints, sigmas)
    query = match(logits, boxes, targets, keypoints, sigmas)
    for layer in range(2):
        for image in range(3):
            real = targets.real[image]
            chosen = query[layer, image][real]
            assert len(set(chosen.tolist())) == int(real.sum())
            assert (query[layer, image][~real] == -1).all()
            total = float(cost[layer, image][:, real].gather(0, chosen[None]).sum())
            assert total == pytest.approx(cheapest(cost[layer, image][:, real]), rel=1e-5, abs=1e-5)


def test_a_perfect_prediction_is_matched_to_its_instance():
    torch.manual_seed(0)
    targets = random_targets(images=2, slots=3)
    order = torch.tensor([2, 0, 1])
    boxes, keypoints = targets.boxes[None, :, order], targets.keypoints[None, :, order]
    query = match(torch.zeros(1, 2, 3, 2), boxes, targets, keypoints, torch.full((2, 3, 3), 0.07))
    expected = torch.where(targets.real, order.argsort().expand(2, 3), -1)
    assert torch.equal(query[0], expected)


def test_pairs_to_be_kept_are_kept_and_the_others_are_the_cheapest_of_what_is_left():
    torch.manual_seed(1)
    targets = random_targets(images=1, slots=3)
    targets.real[:] = True
    kept = torch.zeros(1, 3, 3, dtype=torch.bool)
    kept[0, 2, 2] = True
    boxes = targets.boxes[None, :, [2, 0, 1]]  # without it: query 0 for the last instance
    assert match(torch.zeros(1, 1, 3, 2), boxes, targets).tolist() == [[[1, 2, 0]]]
    query = match(torch.zeros(1, 1, 3, 2), boxes, targets, kept=kept)
    assert query[0, 0, 2] == 2
    assert sorted(query.flatten().tolist()) == [0, 1, 2]


def test_instances_beyond_the_queries_go_without():
    query = assign(torch.rand(1, 1, 2, 4), torch.ones(1, 4, dtype=torch.bool))
    assert sorted(query.flatten().tolist()) == [-1, -1, 0, 1]


def test_a_cost_that_is_not_a_number_does_not_stop_the_training():
    cost = torch.tensor([[[[torch.nan, 1.0], [0.0, torch.inf]]]])
    assert assign(cost, torch.ones(1, 2, dtype=torch.bool)).tolist() == [[[1, 0]]]
