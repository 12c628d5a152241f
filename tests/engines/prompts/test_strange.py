"""From how much evidence on something looks like an example."""

from __future__ import annotations

from typing import Any

import cv2
import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from xpose_stream.engines import load
from xpose_stream.engines.checkpoint import Checkpoint
from xpose_stream.engines.detect import detect
from xpose_stream.engines.prompts import strange
from xpose_stream.engines.prompts.bank import PromptBank, embed_prompts
from xpose_stream.engines.prompts.example import Example, normalised
from xpose_stream.engines.prompts.prompt import Prompt
from xpose_stream.engines.prompts.skeleton import Skeleton
from xpose_stream.engines.prompts.strange import PICTURES, dead_leaves
from xpose_stream.engines.shipped import DEFAULT
from xpose_stream.engines.xpose.likeness import split

SIZE = 192, 256
SPOTS = np.array(((100.0, 90.0), (125.0, 90.0), (150.0, 92.0)))


@pytest.fixture(scope="module")
def checkpoint() -> Checkpoint:
    return load(DEFAULT)


def spotted(places: NDArray[np.float64]) -> NDArray[np.uint8]:
    """Dark spots on a light ground: nothing is plainer."""
    rgb: Any = np.full((*SIZE, 3), 190, np.uint8)
    for x, y in places:
        cv2.circle(rgb, (int(x), int(y)), 7, (40, 40, 40), -1, cv2.LINE_AA)
    return np.asarray(cv2.GaussianBlur(rgb, (0, 0), 2), np.uint8)


@pytest.fixture(scope="module")
def spots(checkpoint: Checkpoint) -> PromptBank:
    """A prompt of which the picture shows nothing but three spots."""
    example = Example(spotted(SPOTS), np.array((85.0, 75.0, 165.0, 107.0)), SPOTS)
    skeleton = Skeleton("thing", ("nose", "middle", "tail"), (), (), (0.05,) * 3)
    return embed_prompts([Prompt(skeleton, words=False, examples=(example,))], checkpoint)


@torch.inference_mode()
def begins(checkpoint: Checkpoint, bank: PromptBank, rgb: NDArray[np.uint8], less: float = 0.0) -> bool:
    """Whether a track begins in a picture; `less` evidence is enough than the prompt says."""
    instances = bank.instances.clone()
    instances[:, -2] -= less
    output = checkpoint.model(torch.from_numpy(normalised(rgb))[None], instances, bank.keypoints)
    (found,) = detect(output, bank.keypoint_mask.numpy(), 256, 192, threshold=checkpoint.tracker["high_score"])
    return bool(len(found.scores))


def test_leaves_are_the_same_each_time_and_no_picture_is_like_another() -> None:
    first = dead_leaves(3, SIZE)
    dead_leaves.cache_clear()
    second = dead_leaves(3, SIZE)
    assert all(np.array_equal(*pair) for pair in zip(first, second, strict=True))
    assert first[0].shape == (*SIZE, 3)
    assert all(10 < one.std() < 100 for one in first)
    assert abs(np.corrcoef(first[0].ravel(), first[1].ravel())[0, 1]) < 0.3


def test_what_is_plain_needs_more_evidence_than_is_found_in_pictures_of_nothing(
    checkpoint: Checkpoint, spots: PromptBank
) -> None:
    _, _, looks = split(spots.instances[None], spots.keypoints[None], checkpoint.model.config.prompt_dim)
    assert looks is not None
    least = float(looks.least)
    assert least > 0.2
    others = dead_leaves(PICTURES + 20, SIZE)[PICTURES:]
    assert np.mean([begins(checkpoint, spots, rgb) for rgb in others]) <= 0.3
    assert np.mean([begins(checkpoint, spots, rgb, less=least) for rgb in others]) >= 0.7  # as if it needed none


def test_in_its_own_picture_it_is_found_however_plain_it_is(
    checkpoint: Checkpoint, spots: PromptBank, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = spotted(SPOTS)
    assert begins(checkpoint, spots, own)
    assert not begins(checkpoint, spots, own, less=-10.0)
    monkeypatch.setattr(strange, "RARE", 100.0)
    least = strange.least_evidence(checkpoint.model, _without(spots.instances[0]), spots.keypoints[0], [own])
    assert begins(checkpoint, spots, own, less=float(spots.instances[0, -2]) - least)


def _without(instance: torch.Tensor) -> torch.Tensor:
    """A prompt that needs no evidence."""
    instance = instance.clone()
    instance[-2] = 0.0
    return instance


def test_it_is_found_all_the_same(checkpoint: Checkpoint, spots: PromptBank) -> None:
    assert begins(checkpoint, spots, spotted(np.add(SPOTS, (30, -40))))
