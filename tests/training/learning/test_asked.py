"""What a step asks for: classes that are there and classes that are not, in words and by examples of other images."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from xpose_stream.engines.prompts.skeleton import Skeleton
from xpose_stream.training.data.mixture import Mixture
from xpose_stream.training.data.picture import Picture
from xpose_stream.training.data.targets import Targets
from xpose_stream.training.data.wording import category_wordings, keypoint_wordings, vocabulary
from xpose_stream.training.learning.asked import Asked, ask

PARTS = {"person": ("knee", "foot"), "chair": ("leg",), "mug": ("rim", "foot", "handle"), "rope": ("end",)}
SIDED = {name: tuple(f"{side} {part}" for part in parts for side in ("left", "right")) for name, parts in PARTS.items()}
SKELETONS = tuple(Skeleton(name, points, (), ((0, 1),), (0.05,) * len(points)) for name, points in SIDED.items())


class Nothing:
    skeletons = SKELETONS

    def __len__(self) -> int:
        return 0

    def __getitem__(self, index: int) -> Picture:
        raise IndexError

    def refresh(self) -> None:
        pass


DATA = Mixture([Nothing()])


def targets(classes: list[list[int]]) -> Targets:
    """Images with instances of these classes, -1 for an empty slot."""
    labels = torch.tensor(classes)
    batch, room = labels.shape
    torch.manual_seed(0)
    return Targets(
        boxes=torch.rand(batch, room, 4) * 0.2 + 0.4,
        keypoints=torch.rand(batch, room, 6, 2),
        visibility=torch.where(torch.tensor(DATA.mask)[labels.clamp(min=0)], 2, -1),
        classes=labels.clamp(min=0),
        real=labels >= 0,
        ignore=torch.zeros(batch, room, dtype=torch.bool),
        known=torch.ones(batch, 4, dtype=torch.bool),
        size=(144, 192),
    )


def asked(instances: list[list[int]], seed: int = 0, **options: object) -> Asked:
    settings: dict[str, object] = {"classes": 4, "few": 0.0, "rewording": 0.5, "shares": (0.0, 1.0, 0.0)} | options
    return ask(targets(instances), DATA, np.random.default_rng(seed), **settings)  # type: ignore[arg-type]


def test_any_number_of_classes_is_asked_for_at_times_but_always_one_that_is_there() -> None:
    some = [asked([[0, 2], [2, -1]], seed, few=1.0) for seed in range(30)]
    assert {len(one.skeletons) for one in some} == {1, 2, 3, 4}
    assert all(one.targets.real.any() for one in some)


@pytest.mark.parametrize("seed", range(5))
def test_what_is_there_is_asked_for_and_what_is_not_beside_it(seed: int) -> None:
    one = asked([[0, 2], [2, -1]], seed, classes=3)
    names = [skeleton.category for skeleton in one.skeletons]
    assert len(names) == 3 and {"person", "mug"} < set(names)
    shown = {names[label] for label in one.targets.classes[one.targets.real].tolist()}
    assert shown == {"person", "mug"}
    assert one.mask.sum(1).tolist() == [len(s.keypoints) for s in one.skeletons]
    assert one.targets.visibility.shape[2] == one.mask.shape[1] == 6


def test_a_class_that_is_not_asked_for_is_background() -> None:
    one = asked([[0, 2], [2, 3]], classes=1)
    (label,) = (SKELETONS.index(skeleton) for skeleton in one.skeletons)
    assert int(one.targets.real.sum()) == {0: 1, 2: 2, 3: 1}[label]


@pytest.mark.parametrize("seed", range(5))
def test_an_example_is_of_its_class_and_of_another_image(seed: int) -> None:
    one = asked([[0, 2], [2, 0], [0, -1], [3, -1]], seed)
    names = [skeleton.category for skeleton in one.skeletons]
    for image, label in np.ndindex(*one.example.shape):
        example = int(one.example[image, label])
        if example < 0:
            assert one.weight[image, label] == 0
            continue
        assert one.label[example] == label and one.picture[example] != image
        assert one.weight[image, label] == 1
    assert (one.example[:, names.index("person")] >= 0).all()
    assert (one.example[:3, names.index("rope")] >= 0).all() and one.example[3, names.index("rope")] == -1
    assert (one.example[:, names.index("chair")] == -1).all()


def test_small_or_hidden_instances_are_no_examples() -> None:
    given = targets([[0], [0]])
    given.boxes[0, 0, 2:] = 0.05
    given.visibility[1, 0, :2] = 1
    one = ask(given, DATA, np.random.default_rng(0), classes=2, few=0.0, rewording=0.0, shares=(0.0, 1.0, 0.0))
    assert len(one.label) == 0 and (one.example == -1).all()


def test_examples_mark_what_is_visible_and_some_what_is_hidden_too() -> None:
    given = targets([[0], [0]])
    given.visibility[:, 0, 3] = 1
    marked = set()
    for seed in range(20):
        one = ask(given, DATA, np.random.default_rng(seed), classes=2, few=0.0, rewording=0.0, shares=(0.0, 1.0, 0.0))
        of_person = one.mask[one.label[0]].nonzero()[:, 0].tolist()
        marked |= {tuple(row[of_person].tolist()) for row in one.marked.present}
    count = len(of_person)
    assert marked == {(True,) * count, tuple(i != 3 for i in range(count))}


def test_wordings_say_the_same_in_other_words() -> None:
    assert category_wordings("person")[0] == "person" and "human" in category_wordings("person")
    assert keypoint_wordings("left_knee")[:2] == ["left knee", "knee of the left leg"]
    assert keypoint_wordings("left front wheel")[1] == "front wheel of the left side"
    assert keypoint_wordings("nose") == ["nose"]
    words = vocabulary(SKELETONS)
    texts = [text for s in SKELETONS for k in s.keypoints for text in keypoint_wordings(k)]
    assert all(word in words for text in texts for word in text.split()) and words == sorted(set(words))
