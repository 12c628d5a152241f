"""A clip's ground truth survives its file; a wrong file is refused in one sentence."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from training.truth import Instance, Truth, TruthError


def clip() -> Truth:
    seen = Instance(3, np.array([1.25, 2, 30, 40]), np.array([[5.5, 6, 2], [7, 8, 1]]), area=300.5)
    far = Instance(4, np.array([0, 0, 2, 3.0]), np.array([[0, 0, 0], [1, 1, 2.0]]), ignore=True)
    return Truth(30.0, 640, 480, "person", ("nose", "tail"), ((seen, far), ()))


def test_a_clip_survives_its_file(tmp_path: Path) -> None:
    clip().save(tmp_path / "clip.json")
    again = Truth.load(tmp_path / "clip.json")
    assert (again.fps, again.width, again.height, again.category) == (30.0, 640, 480, "person")
    assert again.keypoints == ("nose", "tail") and len(again.frames) == 2 and again.frames[1] == ()
    for a, b in zip(clip().frames[0], again.frames[0], strict=True):
        assert (a.id, a.ignore, a.area) == (b.id, b.ignore, b.area)
        np.testing.assert_array_equal(a.box, b.box)
        np.testing.assert_array_equal(a.keypoints, b.keypoints)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("not json", "no ground truth"),
        ("[]", "no ground truth"),
        ('{"fps": 30}', "width"),
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


def test_a_misshapen_instance_is_named(tmp_path: Path) -> None:
    path = tmp_path / "clip.json"
    clip().save(path)
    data = json.loads(path.read_text())
    data["frames"][0][1]["keypoints"].pop()
    path.write_text(json.dumps(data))
    with pytest.raises(TruthError, match="Frame 0, instance 4 has 1 keypoints, but the clip names 2"):
        Truth.load(path)
