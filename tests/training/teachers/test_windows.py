"""Windows of photographs say exactly which keypoints cannot be seen."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np

from xpose_stream.training.data.coco import CocoFile
from xpose_stream.training.teachers.label import category
from xpose_stream.training.teachers.windows import main, seen_through, window


def person(points: np.ndarray) -> dict[str, object]:
    low, high = points.min(0), points.max(0)
    return {
        "id": 1, "image_id": 1, "category_id": 1, "iscrowd": 0, "area": 1.0, "trust": [1.0] * len(points),
        "bbox": [*low.tolist(), *(high - low).tolist()], "num_keypoints": len(points),
        "keypoints": np.column_stack((points, np.full(len(points), 2))).ravel().tolist(),
    }  # fmt: skip


def test_what_is_outside_is_not_labelled_and_what_is_covered_is_hidden() -> None:
    points = np.array([(10.0, 10), (50, 20), (60, 60), (30, 30), (52, 58)])
    cover = np.zeros((50, 50), bool)
    cover[:20, 20:] = True  # in the window: at 40..70 across, 10..30 down
    seen = seen_through(person(points), np.array((20, 10, 70, 60)), cover)
    assert seen is not None
    kept = np.array(seen["keypoints"]).reshape(-1, 3)
    assert kept[:, 2].tolist() == [0, 1, 0, 2, 2] and kept[1, :2].tolist() == [30, 10]
    assert seen["trust"] == [0, 1, 0, 1, 1] and seen["bbox"] == [0, 0, 40, 50] and seen["iscrowd"] == 1
    assert seen_through(person(points), np.array((200, 200, 260, 260)), cover) is None


def test_windows_lie_in_the_picture_and_small_ones_are_left_out() -> None:
    rng = np.random.default_rng(0)
    made = [window(np.array((40.0, 20, 60, 180)), (200, 220), rng) for _ in range(100)]
    kept = np.array([one for one in made if one is not None])
    assert (kept[:, :2] >= 0).all() and (kept[:, 2:] <= (200, 220)).all() and ((kept[:, 2:] - kept[:, :2]) >= 60).all()
    assert window(np.array((40.0, 20, 20, 40)), (200, 220), rng) is None


def test_a_training_reads_them_and_what_is_outside_counts_as_not_to_be_seen(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    cv2.imwrite(str(tmp_path / "a.jpg"), rng.integers(0, 255, (220, 200, 3)).astype(np.uint8))
    points = rng.uniform((40, 20), (100, 200), (17, 2))
    image = {"id": 1, "file_name": "a.jpg", "width": 200, "height": 220}
    content = {"images": [image], "annotations": [person(points)], "categories": [category()]}
    (tmp_path / "labels.json").write_text(json.dumps(content))
    main(tmp_path / "labels.json", tmp_path, tmp_path / "windows", count=20)
    data = CocoFile(tmp_path / "windows" / "annotations.json")
    visibility = np.concatenate([data[i].keypoints[..., 2].ravel() for i in range(len(data))])
    assert set(visibility.tolist()) == {0, 1, 2}
