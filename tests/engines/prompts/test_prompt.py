"""A prompt file says a category in words, by examples or both; what is wrong with it is one sentence."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import yaml

from xpose_stream.engines import NANO
from xpose_stream.engines import load as load_weights
from xpose_stream.engines.prompts.bank import SKELETONS, embed_prompts
from xpose_stream.engines.prompts.naming import read_prompts, worded
from xpose_stream.engines.prompts.prompt import Prompt
from xpose_stream.engines.prompts.skeleton import Skeleton
from xpose_stream.engines.xpose.text import PromptError

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
    found = read_prompts(f"{tmp_path / 'prompt.yaml'}, person", None)
    assert [prompt.skeleton.category for prompt in found] == ["fork", "person"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"words": "no"}, "'words' must be true or false"),
        ({"words": False}, "neither words nor examples"),
        ({"examples": 3}, "'examples' must be a list"),
        ({"colour": "red"}, "'colour' is unknown"),
        ({"examples": [{"image": "fork.png"}]}, "example 1 must be a mapping with image, keypoints and perhaps box"),
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
        ({"keypoints": {"nose": [1, 2]}}, "'nose', which is none of handle, left_tip, right_tip"),
        ({"keypoints": {"handle": [1, float("nan")]}}, "'handle' of example 1 must be 2 numbers"),
        ({"keypoints": {"handle": [2140, 8]}}, "'handle' of example 1 lies outside its picture"),
        ({"keypoints": {}}, "at least one keypoint"),
        ({"keypoints": [1]}, "a mapping of names"),
    ],
)
def test_a_wrong_example_is_refused(tmp_path: Path, shown: dict[str, Any], change: dict[str, Any], said: str) -> None:
    assert said in refusal(tmp_path, FORK | {"examples": [shown | change]})


def test_what_yaml_cannot_be_made_of_is_refused(tmp_path: Path) -> None:
    for text, said in {
        "category: 2024-13-45": "a date or number in it is none; put it in quotes.",
        "category: fly\n\tkeypoints: [a]": "line 2: found character .* that cannot start any token.",
        "[" * 3000: "it is nested too deeply.",
        "category: *fly": "line 1: found undefined alias 'fly'.",
    }.items():
        (tmp_path / "prompt.yaml").write_text(text)
        for read in Prompt.load, Skeleton.load:
            with pytest.raises(PromptError, match=rf"prompt\.yaml is no YAML: {said}"):
                read(tmp_path / "prompt.yaml")


def test_keypoints_and_edges_may_be_written_once_and_named(tmp_path: Path) -> None:
    text = "category: fork\nkeypoints: [&tip tip, &end end]\nedges: [&all [*tip, *end]]\nleft_right: [*all]"
    (tmp_path / "fork.yaml").write_text(text)
    skeleton = Skeleton.load(tmp_path / "fork.yaml")
    assert (skeleton.keypoints, skeleton.edges, skeleton.pairs) == (("tip", "end"), ((0, 1),), ((0, 1),))


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


def test_a_category_an_image_and_keypoints_are_enough(tmp_path: Path, shown: dict[str, Any]) -> None:
    points = {"handle": [40, 20], "left_tip": [10, 8], "right_tip": [10, 14]}
    prompt = load(tmp_path, {"category": "fork", "image": "fork.png", "keypoints": points})
    assert prompt.skeleton.keypoints == tuple(points) and prompt.skeleton.pairs == ((1, 2),)
    assert prompt.skeleton.edges == () and prompt.skeleton.sigmas == (0.06,) * 3
    (example,) = prompt.examples
    np.testing.assert_allclose(example.box, [7, 5, 43, 23])  # 3 px, a tenth of the extent, around the keypoints
    assert prompt.words is None
    listed = load(tmp_path, {"category": "fork", "examples": [{"image": "fork.png", "keypoints": points}]})
    assert listed.skeleton == prompt.skeleton
    boxed = load(tmp_path, {"category": "fork", "image": "fork.png", "keypoints": points, "box": [1, 2, 50, 30]})
    assert boxed.examples[0].box.tolist() == [1, 2, 50, 30]


def test_keypoints_of_several_examples_come_together(tmp_path: Path, shown: dict[str, Any]) -> None:
    more = {"image": "fork.png", "keypoints": {"handle": [30, 20], "right_tip": [10, 14]}}
    prompt = load(tmp_path, {"category": "fork", "examples": [shown, more]})
    assert set(prompt.skeleton.keypoints) == {"left_tip", "handle", "right_tip"}
    assert [int(example.present.sum()) for example in prompt.examples] == [2, 2]


@pytest.mark.parametrize(
    ("category", "file"), [("fly", "fly"), ("Flies", "fly"), ("people", "person"), ("dogs", "animal")]
)
def test_a_category_with_a_skeleton_file_takes_it(tmp_path: Path, category: str, file: str) -> None:
    prompt = load(tmp_path, {"category": category})
    usual = Skeleton.load(SKELETONS / f"{file}.yaml")
    assert prompt.skeleton == replace(usual, category=category)
    cv2.imwrite(str(tmp_path / "it.png"), np.zeros((40, 60, 3), np.uint8))
    some = {usual.keypoints[0]: [10, 10], usual.keypoints[3]: [30, 20]}
    shown = load(tmp_path, {"category": category, "image": "it.png", "keypoints": some})
    assert shown.skeleton == prompt.skeleton and shown.examples[0].present.sum() == 2
    own = load(tmp_path, {"category": category, "image": "it.png", "keypoints": some | {"antler": [5, 5]}})
    assert set(own.skeleton.keypoints) == {*some, "antler"}


def test_all_mistakes_of_a_file_are_told_at_once(tmp_path: Path, shown: dict[str, Any]) -> None:
    wrong = [
        {"image": "none.png", "keypoints": {"handle": [1]}, "box": [1, 2]},
        shown | {"keypoints": {"nose": [1, 2], "handle": [900, 1]}},
        7,
    ]
    values = FORK | {"sigmas": [1], "edges": [["handle", "x"]], "colour": 1, "words": 3, "examples": wrong}
    told = refusal(tmp_path, values)
    parts = (
        "'sigmas' must be", "'edges' names 'x'", "'colour' is unknown", "'words' must be",
        "none.png of example 1 cannot", "'handle' of example 1 must be 2 numbers", "box of example 1 must be 4 numbers",
        "example 2 has the keypoint 'nose'", "'handle' of example 2 lies outside", "example 3 must be a mapping",
    )  # fmt: skip
    assert all(part in told for part in parts)


def test_words_are_used_where_the_weights_know_them(tmp_path: Path) -> None:
    nano = load_weights(NANO)
    cv2.imwrite(str(tmp_path / "it.png"), np.full((120, 160, 3), 90, np.uint8))
    marks = {"handle": [40, 20], "rim": [100, 60]}
    fork = load(tmp_path, {"category": "fork", "image": "it.png", "keypoints": marks})
    assert worded(fork, nano.text_encoder).kind == "examples"
    cup = load(
        tmp_path, {"category": "cups", "image": "it.png", "keypoints": {"handle_top": [40, 20], "rim_left": [100, 60]}}
    )
    said = worded(cup, nano.text_encoder)
    assert said.kind in ("words+examples", "examples") and said.skeleton.category in ("cup", "mug", "cups")
    person = load(tmp_path, {"category": "people", "image": "it.png", "keypoints": {"nose": [40, 20]}})
    assert worded(person, nano.text_encoder).kind == "words+examples"
    assert embed_prompts([fork, person], nano).name == "fork, people"
    must = load(tmp_path, {"category": "fork", "image": "it.png", "keypoints": marks, "words": True})
    with pytest.raises(PromptError, match="'fork' is unknown to these weights; they know: person"):
        embed_prompts([must], nano)
