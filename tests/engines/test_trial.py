"""A prompt is tried on its own examples when it is built, and one that does not find them is told."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
import yaml
from typer.testing import CliRunner

from xpose_stream.run_stream import app

DEMO = Path(__file__).parents[2] / "configs" / "demo"


def build(folder: Path, *prompt: str) -> list[str]:
    out = folder / "bank.safetensors"
    done = CliRunner().invoke(app, ["prompts", "build", str(out), *prompt])
    assert done.exit_code == 0, done.output
    lines = done.output.splitlines()
    assert any(line.startswith(f"{out}: ") for line in lines)
    return lines[1:]


@pytest.fixture
def marked(tmp_path: Path) -> Path:
    """The first picture of the demo clip with the keypoints of one person."""
    capture = cv2.VideoCapture(str(DEMO / "crossing.mp4"))
    _, picture = capture.read()
    capture.release()
    cv2.imwrite(str(tmp_path / "person.png"), picture)
    truth = json.loads((DEMO / "crossing.json").read_text())
    names = truth["categories"]["person"]
    shown = truth["frames"][0][1]
    points = {name: p[:2] for name, p in zip(names, shown["keypoints"], strict=True) if min(p[:2]) >= 0}
    path = tmp_path / "person.yaml"
    path.write_text(yaml.safe_dump({"category": "person", "image": "person.png", "keypoints": points}))
    return path


def test_what_the_weights_know_scores_well_on_its_own_example(tmp_path: Path, marked: Path) -> None:
    (line,) = build(tmp_path, str(marked))
    assert line.startswith("'person' on its own example 1: score ") and "keypoints off by" in line


def test_what_is_not_found_on_its_own_example_is_warned_of(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "blank.png"), np.full((240, 320, 3), 90, np.uint8))
    path = tmp_path / "fork.yaml"
    marks = {"handle": [100, 100], "left_tip": [200, 150], "right_tip": [200, 170]}
    path.write_text(yaml.safe_dump({"category": "fork", "image": "blank.png", "keypoints": marks}))
    (line,) = build(tmp_path, str(path))
    assert line.startswith("warning: ") and "'fork' on its own example 1" in line


def test_words_alone_have_no_example_to_be_tried_on(tmp_path: Path) -> None:
    assert build(tmp_path, "person", "chair") == []
