"""COCO's annotations as pycocotools reads them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pycocotools.coco import COCO

from tests.stream.recordings.eventful import CUP, UNSEEN
from tests.stream.scene import PERSON
from xpose_stream.stream.recordings.export.export import export
from xpose_stream.stream.recordings.recording import Recording


def read(path: Path, capsys: pytest.CaptureFixture) -> COCO:
    coco = COCO(str(path))
    capsys.readouterr()
    return coco


def test_pycocotools_reads_what_was_recorded(
    recording: Recording, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    path, _ = export(recording, "coco", tmp_path / "out.coco.json")
    coco = read(path, capsys)
    told = list(recording)
    images = coco.loadImgs(sorted(coco.getImgIds()))
    assert [(i["camera"], i["frame"], i["epoch"]) for i in images] == [(m.camera, m.frame, m.epoch) for m in told]
    assert [i["captured_at"] for i in images] == [m.captured_at for m in told]
    for image, message in zip(images, told, strict=True):
        annotations = coco.loadAnns(sorted(coco.getAnnIds(imgIds=[image["id"]])))
        assert [a["track_id"] for a in annotations] == [track.id for track in message.tracks]
        for annotation, track in zip(annotations, message.tracks, strict=True):
            category = message.categories[track.category]
            assert coco.loadCats([annotation["category_id"]])[0]["name"] == category.name
            values = np.array(annotation["keypoints"]).reshape(-1, 3)
            levels = {"measured": 2, "predicted": 1, "rejected": 1, "never_seen": 0}
            assert values[:, 2].tolist() == [levels[state] for state in track.keypoint_status]
            np.testing.assert_allclose(values[:, :2], [point or (0, 0) for point in track.keypoints], rtol=1e-6)
            x0, y0, x1, y1 = track.box
            np.testing.assert_allclose(annotation["bbox"], [x0, y0, x1 - x0, y1 - y0], rtol=1e-6)
            assert annotation["score"] == track.score


def test_skeletons_count_from_one_and_the_unseen_is_not_counted(
    even: Recording, tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    path, _ = export(even, "coco", tmp_path / "out.coco.json")
    coco = read(path, capsys)
    person, cup = coco.loadCats(sorted(coco.getCatIds()))
    assert person["keypoints"] == list(PERSON.keypoints) and cup["keypoints"] == list(CUP.keypoints)
    assert person["skeleton"] == [[a + 1, b + 1] for a, b in PERSON.edges]
    [first, *_] = coco.loadAnns(coco.getAnnIds(catIds=[person["id"]]))
    assert first["num_keypoints"] == 4 and first["keypoints"][3 * UNSEEN :] == [0, 0, 0]
    assert [path.name for path in tmp_path.iterdir()] == ["out.coco.json"]
    assert "damping" in coco.dataset["info"]["made"]["tracker"]
