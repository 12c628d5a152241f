"""What is read of MediaPipe's packages, and labels of hands."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from xpose_stream.training.teachers.hands import PALM, Hand, anchors, annotation, unpack


def test_anchors_are_those_of_the_palm_detector() -> None:
    found = anchors()
    assert found.shape == (2016, 2)
    np.testing.assert_allclose(found[0], found[1])
    np.testing.assert_allclose(found[0], 0.5 / 24)


def test_a_file_is_cut_out_of_the_packed_assets(tmp_path: Path) -> None:
    (tmp_path / "hands_solution_packed_assets.data").write_bytes(b"Left.model")
    script = f'{{"files": [{{"filename": "/x/{PALM}", "start": 5, "end": 10}}]}}'
    (tmp_path / "hands_solution_packed_assets_loader.js").write_text(script)
    assert unpack(tmp_path, PALM) == b"model"


def test_points_outside_the_picture_are_no_labels() -> None:
    points = np.full((21, 2), 20.0) + np.arange(21)[:, None]
    points[0] = -5, 3
    made = annotation(Hand(0.95, points, np.ones(21)), (100, 100))
    assert made["num_keypoints"] == 20
    assert made["trust"][0] == 0.0
