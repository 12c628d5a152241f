import pytest
import torch

from xpose_stream.training.data.geometry import corners, overlap
from xpose_stream.training.data.targets import Targets
from xpose_stream.training.learning.denoising import add_noise


def some_targets(persons: list[int], room: int) -> Targets:
    images = len(persons)
    torch.manual_seed(0)
    return Targets(
        boxes=torch.rand(images, room, 4) * 0.3 + 0.3,
        keypoints=torch.rand(images, room, 3, 2),
        visibility=torch.full((images, room, 3), 2),
        classes=torch.randint(0, 3, (images, room)),
        real=torch.arange(room) < torch.tensor(persons)[:, None],
        ignore=torch.zeros(images, room, dtype=torch.bool),
        known=torch.ones(images, 3, dtype=torch.bool),
        size=(144, 192),
    )


@pytest.mark.parametrize(("persons", "room"), [([0, 1], 1), ([2, 5], 5), ([7, 3], 9)])
def test_there_are_as_many_queries_whoever_is_in_the_image(persons, room):
    noised = add_noise(some_targets(persons, room), classes=3, groups=2, slots=4)
    assert noised.queries.classes.shape == (2, 16)
    assert noised.queries.boxes.shape == (2, 16, 4)
    assert noised.queries.mask.shape == (16, 16)
    for image, count in enumerate(persons):
        restored = noised.instance[image].view(2, 8)
        for group in restored:
            real = group[group >= 0].tolist()
            assert len(real) == len(set(real)) == min(count, 4)
            assert all(slot < count for slot in real)


def test_a_query_sees_its_own_group_only():
    mask = add_noise(some_targets([2], 2), classes=1, groups=3, slots=2).queries.mask
    groups = torch.arange(12) // 4
    assert torch.equal(mask, groups[:, None] == groups[None])


def test_positive_queries_are_near_their_box_and_negative_ones_not_as_near():
    targets = some_targets([4], 4)
    noised = add_noise(targets, classes=1, groups=50, slots=4, generator=torch.Generator().manual_seed(1))
    found = noised.instance[0] >= 0
    true = targets.boxes[0][noised.instance[0][found]]
    queries = noised.queries.boxes[0]
    shift = (corners(queries[found]) - corners(true)).abs()
    assert (shift <= 0.25 * true[:, 2:].repeat(1, 2) + 1e-6).all()
    positive = overlap(queries[found], true)[0]
    best = overlap(queries[~found][:, None], targets.boxes)[0].amax(-1)
    assert positive.mean() > best.mean() + 0.2


def test_boxes_stay_in_the_image_and_keep_their_sides():
    boxes = add_noise(some_targets([3, 0, 5], 5), classes=1, groups=20, slots=4).queries.boxes
    assert (corners(boxes) >= -1e-6).all()
    assert (corners(boxes) <= 1 + 1e-6).all()


def test_the_noise_follows_from_the_generator():
    targets = some_targets([2, 3], 4)
    first, again = (add_noise(targets, 3, 2, 4, torch.Generator().manual_seed(7)) for _ in range(2))
    assert torch.equal(first.queries.boxes, again.queries.boxes)
    assert torch.equal(first.instance, again.instance)
