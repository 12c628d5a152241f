from types import SimpleNamespace

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from xpose_stream.engines.xpose import Layer, XPoseOutput
from xpose_stream.training.data.targets import Targets
from xpose_stream.training.learning.denoising import add_noise
from xpose_stream.training.learning.losses import Losses, focal, token_grid

SIZE = (144, 192)
LOSSES = Losses(torch.full((1, 3), 0.07), proposal_size=0.12, levels=3)
SURE = 12.0


def two_persons() -> Targets:
    """A large and a small person, far apart, and an empty slot; of the first one keypoint is hidden, one outside."""
    first, second, none = [[0.3, 0.2], [0.2, 0.5], [0, 0]], [[0.8, 0.25], [0.8, 0.3], [0.8, 0.35]], [[0, 0]] * 3
    return Targets(
        boxes=torch.tensor([[[0.3, 0.5, 0.3, 0.8], [0.8, 0.3, 0.1, 0.15], [0, 0, 0, 0]]]),
        keypoints=torch.tensor([[first, second, none]]).float(),
        visibility=torch.tensor([[[2, 1, 0], [2, 2, 2], [0, 0, 0]]]),
        classes=torch.zeros(1, 3, dtype=torch.long),
        real=torch.tensor([[True, True, False]]),
        ignore=torch.zeros(1, 3, dtype=torch.bool),
        known=torch.ones(1, 1, dtype=torch.bool),
        size=SIZE,
    )


def perfect(targets: Targets, queries: int = 5) -> tuple[Tensor, Tensor, Tensor]:
    """Logits, boxes and keypoints of queries of which the first ones are the instances and the others nothing."""
    room = targets.boxes.shape[1]
    logits = torch.full((1, queries, 1), -SURE)
    logits[:, :room][targets.real] = SURE
    boxes = torch.full((1, queries, 4), 0.1)
    boxes[:, :room] = targets.boxes
    keypoints = torch.full((1, queries, 3, 2), 0.1)
    keypoints[:, :room] = targets.keypoints
    return logits, boxes, keypoints


def stages(targets: Targets, logits: Tensor, boxes: Tensor, keypoints: Tensor) -> SimpleNamespace:
    """A model's stages that all answer the same; its image tokens are right about everything."""
    centre, cell, level = token_grid(SIZE, 3)
    token_logits, token_boxes = torch.full((1, len(level), 1), -SURE), torch.full((1, len(level), 4), 0.5)
    for box in targets.boxes[targets.real]:
        own = (box[2:].prod().sqrt() / 0.12).log2().round().clamp(0, 2)
        reach = torch.maximum(box[2:] / 4, 0.6 * cell)
        near = ((centre - box[:2]).abs() <= reach).all(-1) & (level == own)
        token_logits[0, near], token_boxes[0, near] = SURE, box
    return SimpleNamespace(
        memory=torch.zeros(1, len(level), 16),
        token_logits=token_logits,
        token_boxes=token_boxes,
        token_valid=torch.ones(1, len(level), dtype=torch.bool),
        proposals=Layer(logits, boxes),
        box_layers=[Layer(logits, boxes)],
        group_index=torch.arange(logits.shape[1])[None],
        group_classes=torch.zeros(1, logits.shape[1], dtype=torch.long),
        output=XPoseOutput(logits, boxes, keypoints),
        keypoint_layers=[Layer(logits, boxes, keypoints)] * 2,
        denoised=[],
    )


def test_perfect_answers_cost_nothing():
    targets = two_persons()
    total, parts = LOSSES(stages(targets, *perfect(targets)), targets)
    assert total < 1e-2
    assert set(parts) == {"class", "box", "giou", "keypoint", "oks", "dense", "beside"}


def test_an_image_without_anybody_costs_nothing_when_nobody_is_found():
    targets = two_persons()
    targets.real[:] = False
    logits, boxes, keypoints = perfect(targets)
    boxes.requires_grad_()
    total, _ = LOSSES(stages(targets, logits, boxes, keypoints), targets)
    total.backward()
    assert total < 1e-2
    assert boxes.grad.isfinite().all()


@pytest.mark.parametrize(("what", "factor"), [("logits", 0.1), ("boxes", 0.8), ("keypoints", 0.8)])
def test_every_kind_of_mistake_costs(what, factor):
    targets = two_persons()
    answers = dict(zip(("logits", "boxes", "keypoints"), perfect(targets), strict=True))
    answers[what] = answers[what] * factor
    worse, _ = LOSSES(stages(targets, **answers), targets)
    assert worse > LOSSES(stages(targets, *perfect(targets)), targets)[0] + 1e-3


def test_hidden_keypoints_weigh_less_and_those_outside_nothing():
    targets = two_persons()
    logits, boxes, keypoints = perfect(targets)
    keypoints = (keypoints + 0.01).requires_grad_()
    LOSSES(stages(targets, logits, boxes, keypoints), targets)[0].backward()
    visible, hidden, outside = keypoints.grad[0, 0].abs().sum(-1)
    assert outside == 0
    assert 0 < hidden < 0.6 * visible


def test_a_group_keeps_the_instance_of_its_query():
    """Even when a group of another query has come to fit better: it could not know."""
    targets = two_persons()
    logits, boxes, keypoints = perfect(targets)
    seen = stages(targets, logits, boxes, keypoints)
    swap = torch.tensor([3, 1, 2, 0, 4])  # now group 3 fits the first person, but query 0 was matched with it
    seen.keypoint_layers = [Layer(logits[:, swap], boxes[:, swap], keypoints[:, swap])]
    assert LOSSES(seen, targets)[1]["class"] > 1
    seen.group_index = swap[None]
    assert LOSSES(seen, targets)[1]["class"] < 1e-3


def test_all_groups_on_an_instance_learn_its_keypoints():
    targets = two_persons()
    logits, boxes, keypoints = perfect(targets)
    boxes[:, 3:] = targets.boxes[:, 0]
    keypoints[:, 3:] = targets.keypoints[:, 0]
    _, right = LOSSES(stages(targets, logits, boxes, keypoints), targets)
    keypoints[:, 4] += 0.1
    _, one_wrong = LOSSES(stages(targets, logits, boxes, keypoints), targets)
    assert right["beside"] == pytest.approx(0, abs=1e-4) and right["keypoint"] == pytest.approx(0, abs=1e-4)
    # two layers, one of the two persons, one of the two groups beside the one that answers
    assert one_wrong["beside"] > 2 * 0.5 * 0.5 * LOSSES.weights.keypoint * 0.2
    assert one_wrong["keypoint"] == right["keypoint"]


def test_an_ignored_person_may_be_found_or_not():
    targets = two_persons()
    logits, boxes, keypoints = perfect(targets)
    targets.real[0, 1], targets.ignore[0, 1] = False, True
    found = LOSSES(stages(targets, logits, boxes, keypoints), targets)[1]["class"]
    logits = logits.clone()
    logits[0, 1] = -SURE
    missed = LOSSES(stages(targets, logits, boxes, keypoints), targets)[1]["class"]
    assert found < 1e-3
    assert missed < 1e-3


def test_the_tokens_of_the_right_level_near_a_person_are_to_find_it():
    targets = two_persons()
    seen = stages(targets, *perfect(targets))
    right = LOSSES(seen, targets)[1]["dense"]
    seen.token_logits = torch.full_like(seen.token_logits, -SURE)
    assert right < 1e-2
    assert LOSSES(seen, targets)[1]["dense"] > 1


def test_image_tokens_on_a_keypoint_are_to_be_like_its_seed():
    targets = two_persons()
    seen = stages(targets, *perfect(targets))
    seeds = torch.eye(3, 16) * 16
    centre, cell, _ = token_grid(SIZE, 3)
    on = ((centre[:, None, None] - targets.keypoints[0]).abs() <= 0.75 * cell[:, None, None]).all(-1)  # [S, M, K]
    near = (on & (targets.visibility[0] > 0)).any(1).float()
    seen.memory = near[None] @ seeds - 0.1
    like = LOSSES(seen, targets, seeds=seeds[None, None])[1]["heat"]
    seen.memory = near[None, :, [1, 0, 2]] @ seeds - 0.1  # the keypoints of left and right exchanged
    assert like < 0.01
    assert LOSSES(seen, targets, seeds=seeds[None, None])[1]["heat"] > 1


def test_a_group_that_took_an_instance_for_another_class_learns_no_keypoints():
    targets = two_persons()
    logits, boxes, keypoints = perfect(targets)
    seen = stages(targets, logits, boxes, keypoints + 0.1)
    seen.group_classes[:] = 1
    assert LOSSES(seen, targets)[1]["keypoint"] == 0
    seen.group_classes[0, 0] = 0
    assert LOSSES(seen, targets)[1]["keypoint"] > 0


def test_where_a_class_is_not_annotated_finding_it_is_no_mistake():
    targets = two_persons()
    targets.real[:] = False
    found, nothing = perfect(two_persons()), perfect(targets)
    seen = stages(targets, *found)
    assert LOSSES(seen, targets)[1]["class"] > 1
    targets.known[:] = False
    assert LOSSES(seen, targets)[1]["class"] == 0
    assert LOSSES(stages(targets, *nothing), targets)[1]["class"] == 0


def test_restored_boxes_cost_nothing():
    targets = two_persons()
    noised = add_noise(targets, classes=1, groups=2, slots=3, generator=torch.Generator().manual_seed(0))
    found = noised.instance >= 0
    logits = torch.where(found, SURE, -SURE)[..., None]
    boxes = targets.boxes.gather(1, noised.instance.clamp(min=0)[..., None].expand(-1, -1, 4))
    seen = stages(targets, *perfect(targets))
    seen.denoised = [Layer(logits, boxes)]
    assert LOSSES(seen, targets, noised)[1]["denoising"] < 1e-2
    seen.denoised = [Layer(-logits, boxes)]
    assert LOSSES(seen, targets, noised)[1]["denoising"] > 1


def test_tokens_lie_where_the_published_sizes_put_them():
    centre, cell, level = token_grid((108, 192), 3)
    assert [(level == i).sum() for i in range(3)] == [14 * 24, 7 * 12, 4 * 6]
    assert torch.allclose(centre[0], cell[0] / 2)
    assert torch.allclose(centre[-1], 1 - cell[-1] / 2)


def test_focal_loss_is_weighted_cross_entropy():
    logits, wanted = torch.randn(50), (torch.rand(50) < 0.5).float()
    p = logits.sigmoid()
    missed = torch.where(wanted > 0, 1 - p, p)
    balance = torch.where(wanted > 0, 0.25, 0.75)
    expected = -balance * missed**2 * (1 - missed).log()
    assert torch.allclose(focal(logits, wanted), expected, atol=1e-6)
    assert (focal(logits, wanted) <= F.binary_cross_entropy_with_logits(logits, wanted, reduction="none")).all()
