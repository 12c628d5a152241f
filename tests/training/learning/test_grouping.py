"""In training the boxes on instances become groups of the right class, however the model ranks them."""

import torch

from tests.training.learning.test_losses import two_persons
from xpose_stream.engines.xpose import Layer
from xpose_stream.engines.xpose.model import best
from xpose_stream.training.learning.grouping import Grouping


def boxes() -> Layer:
    """Six queries that take everything for class 1; two of them lie on the persons, which are of class 0."""
    logits = torch.tensor([[-3.0, -1.0], [-3.0, 4.0], [-3.0, 3.0], [-3.0, -2.0], [-3.0, 2.0], [-3.0, 1.0]])[None]
    places = torch.full((1, 6, 4), 0.1)
    places[0, 0], places[0, 3] = two_persons().boxes[0, 0], two_persons().boxes[0, 1]
    return Layer(logits, places)


def test_boxes_on_instances_come_first_with_the_keypoints_of_their_class() -> None:
    index, classes = Grouping(two_persons(), torch.tensor([True]))(boxes(), 4)
    assert dict(zip(index[0].tolist(), classes[0].tolist(), strict=True)) == {0: 0, 3: 0, 1: 1, 2: 1}


def test_more_boxes_on_an_instance_become_groups_of_it_before_others() -> None:
    given = boxes()
    given.boxes[0, 5] = two_persons().boxes[0, 0]
    index, classes = Grouping(two_persons(), torch.tensor([True]))(given, 4)
    assert dict(zip(index[0].tolist(), classes[0].tolist(), strict=True)) == {0: 0, 3: 0, 5: 0, 1: 1}


def test_in_other_pictures_the_model_chooses_as_at_inference() -> None:
    for ours, its in zip(Grouping(two_persons(), torch.tensor([False]))(boxes(), 4), best(boxes(), 4), strict=True):
        assert torch.equal(ours, its)
