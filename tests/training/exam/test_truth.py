"""A clip's ground truth survives its file; a wrong file is refused in one sentence."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from xpose_stream.training.exam.truth import Truth, TruthError

CLIP = {
    "fps": 30.0,
    "width": 640,
    "height": 480,
    "categories": {"dog": ["nose", "tail"], "lamp": ["bulb"]},
    "frames": [
        [
            {"id": 3, "category": "dog", "box": [1.25, 2, 30, 40], "keypoints": [[5.5, 6, 2], [7, 8, 1]], "area": 9.5},
            {"id": 5, "category": "lamp", "box": [9, 9, 30, 40], "keypoints": [[10, 11, 2]], "ignore": False},
            {"id": 4, "category": "dog", "box": [0, 0, 2, 3], "keypoints": [[0, 0, 0], [1, 1, 2]], "ignore": True},
        ],
        [],
    ],
}


def test_a_clip_is_read_by_category(tmp_path: Path) -> None:
    (tmp_path / "clip.json").write_text(json.dumps(CLIP))
    truth = Truth.load(tmp_path / "clip.json")
    assert (truth.fps, truth.width, truth.height) == (30.0, 640, 480)
    assert truth.categories == {"dog": ("nose", "tail"), "lamp": ("bulb",)}
    (dogs, none), (lamps, _) = truth.frames["dog"], truth.frames["lamp"]
    assert none == () and [(dog.id, dog.ignore, dog.area) for dog in dogs] == [(3, False, 9.5), (4, True, None)]
    np.testing.assert_array_equal(dogs[0].box, [1.25, 2, 30, 40])
    np.testing.assert_array_equal(lamps[0].keypoints, [[10, 11, 2]])


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("not json", "no ground truth"),
        ("[]", "no ground truth"),
        ('{"fps": 30}', "frames"),
        (json.dumps(CLIP | {"categories": ["dog", "lamp"]}), "no ground truth"),
        (None, "Cannot read"),
    ],
)
def test_a_wrong_file_is_refused_in_one_sentence(tmp_path: Path, text: str | None, sentence: str) -> None:
    path = tmp_path / "clip.json"
    if text is not None:
        path.write_text(text)
    with pytest.raises(TruthError, match=sentence) as refusal:
        Truth.load(path)
    assert "clip.json" in str(refusal.value) and "\n" not in str(refusal.value)


def test_an_instance_of_no_category_of_the_clip_is_named(tmp_path: Path) -> None:
    path = tmp_path / "clip.json"
    path.write_text(json.dumps(CLIP).replace('"category": "lamp"', '"category": "lmap"'))
    with pytest.raises(TruthError, match="categories lack lmap"):
        Truth.load(path)


def test_a_misshapen_instance_is_named(tmp_path: Path) -> None:
    path = tmp_path / "clip.json"
    path.write_text(json.dumps(CLIP).replace(", [1, 1, 2]]", "]"))
    with pytest.raises(TruthError, match="Frame 0, instance 4 has 1 keypoints, but a dog has 2"):
        Truth.load(path)
