"""Skeleton files say what they must, or are refused by file and field."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from xpose_stream.engines.prompts.bank import SKELETONS, instance_text
from xpose_stream.engines.prompts.skeleton import Skeleton
from xpose_stream.engines.xpose.text import PromptError

FILES = sorted(SKELETONS.glob("*.yaml"))
GOOD: dict[str, Any] = {
    "category": "robot arm",
    "keypoints": ["base", "left_finger", "right_finger"],
    "edges": [["base", "left_finger"], ["base", "right_finger"]],
    "left_right": [["left_finger", "right_finger"]],
    "sigmas": [0.1, 0.05, 0.05],
}


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_shipped_skeletons_are_whole(path: Path) -> None:
    skeleton = Skeleton.load(path)
    assert instance_text(path.stem) == instance_text(skeleton.category)
    assert {point for edge in skeleton.edges for point in edge} == set(range(len(skeleton.keypoints)))
    sides = [point for pair in skeleton.pairs for point in pair]
    assert len(set(sides)) == len(sides)
    for a, b in skeleton.pairs:
        assert skeleton.keypoints[a].replace("left", "right") == skeleton.keypoints[b]
        assert skeleton.sigmas[a] == skeleton.sigmas[b]


def test_person_is_cocos() -> None:
    person = Skeleton.load(SKELETONS / "person.yaml")
    assert person.keypoints[0] == "nose" and person.keypoints[-1] == "right_ankle"
    assert (len(person.keypoints), len(person.edges), len(person.pairs)) == (17, 19, 8)
    official = [0.26, 0.25, 0.25, 0.35, 0.35, 0.79, 0.79, 0.72, 0.72, 0.62, 0.62, 1.07, 1.07, 0.87, 0.87, 0.89, 0.89]
    assert person.sigmas == pytest.approx([sigma / 10 for sigma in official])  # as pycocotools has them


def test_a_skeleton_survives_its_plain_values() -> None:
    skeleton = Skeleton.from_dict(GOOD)
    assert skeleton.edges == ((0, 1), (0, 2)) and skeleton.pairs == ((1, 2),)
    assert skeleton.as_dict() == GOOD and Skeleton.from_dict(skeleton.as_dict()) == skeleton


@pytest.mark.parametrize(
    ("field", "value", "words"),
    [
        ("category", 7, "category"),
        ("category", "cat, dog", "comma"),
        ("keypoints", [], "keypoints"),
        ("keypoints", ["base", True, "x"], "keypoints"),
        ("keypoints", ["base", "left_finger", "base"], "'base' twice"),
        ("edges", "base", "edges"),
        ("edges", [["base", "left_finger", "right_finger"]], "edges"),
        ("edges", [["base", "thumb"]], "'thumb'"),
        ("left_right", [["base", "base"]], "itself"),
        ("left_right", None, "left_right"),
        ("sigmas", [0.1, 0.1], "3 numbers"),
        ("sigmas", [0.1, 0.1, 0], "0"),
        ("sigmas", [0.1, 0.1, "wide"], "'wide'"),
        ("sigmas", [0.1, 0.1, float("nan")], "nan"),
        ("colour", "red", "'colour' is unknown"),
    ],
)
def test_a_wrong_field_is_refused_by_file_and_name(tmp_path: Path, field: str, value: Any, words: str) -> None:
    path = tmp_path / "arm.yaml"
    path.write_text(yaml.safe_dump(GOOD | {field: value}))
    assert field in refusal(path) and words in refusal(path)


@pytest.mark.parametrize("field", ["category", "keypoints"])
def test_a_missing_field_is_refused_by_file_and_name(tmp_path: Path, field: str) -> None:
    path = tmp_path / "arm.yaml"
    path.write_text(yaml.safe_dump({name: value for name, value in GOOD.items() if name != field}))
    assert f"'{field}' is missing" in refusal(path)


@pytest.mark.parametrize("content", [b"a: [1,", b"- 1\n- 2", b"", b"\xff\xfe\x00"])
def test_a_file_that_is_no_skeleton_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "arm.yaml"
    path.write_bytes(content)
    refusal(path)
    refusal(tmp_path / "none.yaml")


def refusal(path: Path) -> str:
    with pytest.raises(PromptError) as error:
        Skeleton.load(path)
    text = str(error.value)
    assert str(path) in text and text.endswith(".") and "\n" not in text
    return text


def test_edges_mirror_images_and_sigmas_have_defaults() -> None:
    skeleton = Skeleton.from_dict({"category": "fork", "keypoints": ["handle", "left_tip", "Right_Tip", "leftover"]})
    assert skeleton.edges == () and skeleton.pairs == ((1, 2),) and skeleton.sigmas == (0.06,) * 4


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_mirror_images_by_name_are_those_that_the_shipped_files_say(path: Path) -> None:
    skeleton = Skeleton.load(path)
    if skeleton.pairs and any("left" in name for name in skeleton.keypoints):
        values = {name: value for name, value in skeleton.as_dict().items() if name != "left_right"}
        assert set(map(frozenset, Skeleton.from_dict(values).pairs)) <= set(map(frozenset, skeleton.pairs))


def test_all_mistakes_are_told_at_once() -> None:
    wrong = GOOD | {"category": "", "edges": [["base", "x"]], "left_right": 3, "sigmas": [1], "colour": "red"}
    with pytest.raises(PromptError) as error:
        Skeleton.from_dict(wrong)
    told = str(error.value)
    assert all(f"'{name}'" in told for name in ("category", "edges", "left_right", "sigmas", "colour"))
    assert told.count(";") == 5 and told.endswith(".") and "\n" not in told
