"""What an example is taken for: the nearest words, or itself where no words are near."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from xpose_stream.engines.prompts.recognition import EXAMPLE_SHARE, Embedded, combine, recognise

EYE = torch.eye(6)
# two categories of two and three keypoints
KNOWN = Embedded(
    EYE[:2],
    torch.stack((torch.stack((EYE[0], EYE[1], EYE[5])), EYE[2:5])),
    torch.tensor([[True, True, False], [True, True, True]]),
)


def near(row: torch.Tensor, length: float = 3.0) -> torch.Tensor:
    return length * F.normalize(row + 0.1 * torch.ones(6), dim=-1)


def seen(instance: torch.Tensor, *keypoints: torch.Tensor, known: list[bool] | None = None) -> Embedded:
    return Embedded(instance, torch.stack(keypoints), torch.tensor(known or [True] * len(keypoints)))


def test_an_example_becomes_the_words_of_the_category_it_is_like() -> None:
    found = recognise(seen(near(EYE[1]), near(EYE[4]), near(EYE[2])), KNOWN)
    assert torch.equal(found.instance, EYE[1])
    assert torch.equal(found.keypoints, EYE[[4, 2]])  # in the order of the example


def test_two_keypoints_are_not_taken_for_the_same_one() -> None:
    left = EYE[2] + 0.9 * EYE[3]
    found = recognise(seen(near(EYE[1]), near(left), near(EYE[2])), KNOWN)
    assert torch.equal(found.keypoints, EYE[[3, 2]])


def test_what_is_like_nothing_known_stays_what_it_is() -> None:
    strange = seen(EYE[5], EYE[2], EYE[3])
    assert recognise(strange, KNOWN) is strange
    # a keypoint that the category does not have; the mask keeps the row that only fills up from being taken
    found = recognise(seen(EYE[0], EYE[0], EYE[5]), KNOWN)
    assert torch.equal(found.keypoints, EYE[[0, 5]])
    more = recognise(seen(EYE[0], EYE[0], EYE[1], EYE[4]), KNOWN)
    assert torch.equal(more.keypoints, EYE[[0, 1, 4]])


def test_a_keypoint_that_is_not_shown_is_not_guessed() -> None:
    found = recognise(seen(EYE[1], 0 * EYE[0], EYE[3], known=[False, True]), KNOWN)
    assert found.known.tolist() == [False, True] and torch.equal(found.keypoints, torch.stack((0 * EYE[0], EYE[3])))


def test_words_and_examples_are_weighed_and_stand_in_for_each_other() -> None:
    said = seen(EYE[0], EYE[1], EYE[2], 0 * EYE[0], known=[True, True, False])
    shown = seen(EYE[1], EYE[3], 0 * EYE[0], EYE[4], known=[True, False, True])
    both = combine(said, shown)
    assert both.instance.tolist() == pytest.approx([1 - EXAMPLE_SHARE, EXAMPLE_SHARE, 0, 0, 0, 0])
    assert both.keypoints[0].tolist() == pytest.approx([0, 1 - EXAMPLE_SHARE, 0, EXAMPLE_SHARE, 0, 0])
    assert torch.equal(both.keypoints[1:], EYE[[2, 4]]) and both.known.all()


def test_words_stand_where_the_example_is_like_them() -> None:
    said = seen(EYE[0], EYE[1], 0 * EYE[0], known=[True, False])
    both = combine(said, seen(near(EYE[0]), EYE[3], EYE[4]))
    assert torch.equal(both.instance, EYE[0]) and torch.equal(both.keypoints, EYE[[1, 4]])
