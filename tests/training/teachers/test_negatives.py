"""Pictures of what is no person, with and without persons beside it."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np

from xpose_stream.training.data.sources import open_sources
from xpose_stream.training.teachers.negatives import main


def test_photographs_show_no_person_and_stamps_hide_those_they_cover(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    for name in ("photos", "stamps", "people"):
        (tmp_path / name).mkdir()
    cv2.imwrite(str(tmp_path / "photos" / "a.jpg"), rng.integers(0, 255, (60, 80, 3), np.uint8))
    stamp = np.full((40, 40, 4), (0, 0, 255, 255), np.uint8)
    cv2.imwrite(str(tmp_path / "stamps" / "red.png"), stamp)
    cv2.imwrite(str(tmp_path / "people" / "b.jpg"), np.full((90, 120, 3), 200, np.uint8))
    points = np.column_stack((rng.uniform(5, 115, 17), rng.uniform(5, 85, 17), np.full(17, 2)))
    person = {
        "id": 1, "image_id": 1, "category_id": 1, "iscrowd": 0, "bbox": [0, 0, 120, 90], "area": 5000,
        "keypoints": points.ravel().tolist(), "num_keypoints": 17, "trust": [1.0] * 17,
    }  # fmt: skip
    labels = {"images": [{"id": 1, "file_name": "b.jpg"}], "annotations": [person], "categories": []}
    (tmp_path / "people.json").write_text(json.dumps(labels))
    out = tmp_path / "out"
    scenes = [f"{tmp_path / 'people.json'}={tmp_path / 'people'}"]
    main(tmp_path / "photos", tmp_path / "stamps", scenes, out, pasted=12, seed=1)

    data = open_sources([str(out / "annotations.json")], empty=True)
    assert [skeleton.category for skeleton in data.skeletons] == ["person", "robot arm", "drone"]
    assert len(data) == 13 and not len(data[0].boxes)
    for i in range(2, 13, 2):
        picture = data[i]
        assert picture.trust is not None and len(picture.boxes) == 1
        for (x, y, seen), trust in zip(picture.keypoints[0, :17], picture.trust[0], strict=True):
            red, green, _ = picture.rgb[int(y), int(x)].astype(int)
            if abs(red - green) > 150:  # well within a stamp
                assert seen == 1 and trust < 1
            elif abs(red - green) < 10:
                assert seen == 2 and trust == 1
