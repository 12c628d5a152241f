"""A prompt file says a category in words, by examples or both; what is wrong with it is one sentence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml

from engines.prompt import Prompt, find_prompts
from engines.prompts import SKELETONS
from engines.skeleton import Skeleton
from engines.text import PromptError

FORK: dict[str, Any] = {
    "category": "fork",
    "keypoints": ["handle", "left_tip", "right_tip"],
    "edges": [["handle", "left_tip"], ["handle", "right_tip"]],
    "left_right": [["left_tip", "right_tip"]],
    "sigmas": [0.05, 0.05, 0.05],
}


@pytest.fixture
def shown(tmp_path: Path) -> dict[str, Any]:
    cv2.imwrite(str(tmp_path / "fork.png"), np.full((40, 60, 3), (200, 100, 0), np.uint8))
    return {"image": "fork.png", "box": [5, 5, 50, 30], "keypoints": {"left_tip": [10, 8], "handle": [40.5, 20]}}


def load(folder: Path, values: Any) -> Prompt:
    path = folder / "prompt.yaml"
    path.write_text(yaml.safe_dump(values))
    return Prompt.load(path)


def test_a_prompt_of_words_and_an_example_that_lacks_a_keypoint(tmp_path: Path, shown: dict[str, Any]) -> None:
    prompt = load(tmp_path, FORK | {"examples": [shown]})
    assert prompt.skeleton == Skeleton.from_dict(FORK) and prompt.kind == "words+examples"
    (example,) = prompt.examples
    assert example.present.tolist() == [True, True, False]
    np.testing.assert_array_equal(example.keypoints[:2], [[40.5, 20], [10, 8]])
    assert example.rgb[0, 0].tolist() == [0, 100, 200]  # RGB


def test_a_prompt_may_take_its_keypoints_from_a_skeleton_under_another_name(tmp_path: Path) -> None:
    prompt = load(tmp_path, {"skeleton": "person", "category": "human"})
    assert prompt.skeleton.category == "human" and prompt.kind == "words"
    assert prompt.skeleton.keypoints == Skeleton.load(SKELETONS / "person.yaml").keypoints


def test_categories_and_files_are_found_in_their_order(tmp_path: Path) -> None:
    load(tmp_path, FORK)
    found = find_prompts([str(tmp_path / "prompt.yaml"), "person"])
    assert [prompt.skeleton.category for prompt in found] == ["fork", "person"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"words": "no"}, "'words' must be true or false"),
        ({"words": False}, "neither words nor examples"),
        ({"examples": 3}, "'examples' must be a list"),
        ({"colour": "red"}, "'colour' is unknown"),
        ({"examples": [{"image": "fork.png"}]}, "example 1 must be a mapping with image, box and keypoints"),
        ({"skeleton": "giraffe"}, "no skeleton for 'giraffe'"),
    ],
)
def test_a_wrong_prompt_file_is_refused(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    assert said in refusal(tmp_path, FORK | change)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"image": "none.png"}, "none.png of example 1 cannot be read"),
        ({"box": [1, 2, 3]}, "the box of example 1 must be 4 numbers"),
        ({"box": [1, 2, 3, "x"]}, "the box of example 1 must be 4 numbers"),
        ({"box": [50, 5, 5, 30]}, "example 1: the box"),
        ({"keypoints": {"nose": [1, 2]}}, "'nose', which is none of fork's"),
        ({"keypoints": {"handle": [1, float("nan")]}}, "'handle' of example 1 must be 2 numbers"),
        ({"keypoints": {"handle": [2140, 8]}}, "'handle' of example 1 lies outside its picture"),
        ({"keypoints": {}}, "at least one keypoint"),
        ({"keypoints": [1]}, "a mapping of names"),
    ],
)
def test_a_wrong_example_is_refused(tmp_path: Path, shown: dict[str, Any], change: dict[str, Any], said: str) -> None:
    assert said in refusal(tmp_path, FORK | {"examples": [shown | change]})


def test_what_yaml_cannot_be_made_of_is_refused(tmp_path: Path) -> None:
    (tmp_path / "prompt.yaml").write_text("category: 2024-13-45")  # like a date, but none
    with pytest.raises(PromptError, match=r"prompt\.yaml is no YAML"):
        Prompt.load(tmp_path / "prompt.yaml")


def refusal(folder: Path, values: Any) -> str:
    with pytest.raises(PromptError) as error:
        load(folder, values)
    text = str(error.value)
    assert text.startswith(str(folder / "prompt.yaml")) and text.endswith(".") and "\n" not in text
    return text


@pytest.mark.parametrize("path", sorted(SKELETONS.glob("*.yaml")), ids=lambda path: path.stem)
def test_every_skeleton_that_comes_with_the_project_is_sound(path: Path) -> None:
    skeleton = Skeleton.load(path)
    assert skeleton.category == path.stem.replace("_", " ")
    mirrored = [index for pair in skeleton.pairs for index in pair]
    assert len(set(mirrored)) == len(mirrored)  # no keypoint has two mirror images
    joined = {index for edge in skeleton.edges for index in edge}
    assert joined == set(range(len(skeleton.keypoints)))
    assert len(skeleton.keypoints) <= 68
