"""Sources with different categories are trained on as one."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.training import coco_files
from xpose_stream.training.data.batches import augment, batches, collate
from xpose_stream.training.data.dataset import Bank, DataError
from xpose_stream.training.data.mixture import Mixture
from xpose_stream.training.data.sources import open_sources
from xpose_stream.training.exam.scorecard import Quiz, draw_examples


@pytest.fixture
def mixed(stick_bank: Path, tmp_path: Path) -> Mixture:
    return open_sources([str(stick_bank), str(coco_files.unikpt(tmp_path)), f"{coco_files.human_art(tmp_path / 'a')}"])


def test_the_same_category_is_one_class_whatever_the_source(mixed: Mixture) -> None:
    assert [s.category for s in mixed.skeletons] == ["person", "fork"] and len(mixed) == 40 + 4 + 4
    assert mixed.mask.sum(1).tolist() == [17, 3]
    assert mixed[0].classes.tolist() == [0] * len(mixed[0].boxes)
    assert sorted(mixed[40].classes.tolist()) == [0, 1]
    assert mixed[44].classes.tolist() == [0]


def test_keypoints_a_class_does_not_have_are_not_annotated_and_stay_so_in_the_mirror(mixed: Mixture) -> None:
    picture = mixed[40]
    fork = picture.keypoints[picture.classes == 1][0]
    assert (fork[3:, 2] == -1).all() and (fork[:3, 2] > 0).all()
    rng = np.random.default_rng(0)
    views = [augment(mixed[i], (72, 96), mixed.mirrored, rng) for i in (0, 40, 41)]
    targets = collate(views, np.stack([mixed.known(i) for i in (0, 40, 41)])).targets
    assert targets.known.tolist() == [[True, False], [True, True], [True, True]]
    assert (targets.visibility[targets.classes == 1][:, 3:] == -1).all()
    assert mixed.mirrored[1].tolist()[:3] == [0, 2, 1] and mixed.sigmas[1, 3] == 1


def test_a_category_with_more_keypoints_than_the_weights_take_is_refused(mixed: Mixture) -> None:
    mixed.require_room(17)
    with pytest.raises(DataError, match="A person has 17 keypoints; these weights take 16"):
        mixed.require_room(16)


def test_a_category_may_be_left_out(stick_bank: Path, tmp_path: Path) -> None:
    mixture = open_sources([str(coco_files.unikpt(tmp_path))], without=["Fork"])
    assert [s.category for s in mixture.skeletons] == ["person"] and mixture[0].classes.tolist() == [0]
    with pytest.raises(DataError, match="no category to learn"):
        open_sources([str(stick_bank)], without=["person"])


def test_a_bank_holds_the_categories_that_occur_in_it(stick_bank: Path) -> None:
    assert [s.category for s in Bank(stick_bank).skeletons] == ["person"]


def test_what_was_left_out_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = coco_files.mp100(tmp_path)
    (tmp_path / "images" / "forks" / "003.png").unlink()
    open_sources([str(path)])
    said = capsys.readouterr().out
    assert "1 entries were left out" in said and "image 3" in said
    with pytest.raises(DataError, match="image 3"):
        open_sources([str(path)], problems="refuse")


def test_a_damaged_picture_is_told_once_and_another_stands_in(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = coco_files.unikpt(tmp_path)
    pictures = sorted(tmp_path.glob("*.jpg"))
    pictures[1].write_text("no picture")
    mixture = open_sources([str(path)])
    stream = batches(mixture, 4, (72, 96), seed=0)
    for _ in range(3):  # passes
        assert len(next(stream).images) == 4
    stream.close()
    assert capsys.readouterr().out.count("of image 2 cannot be read") == 1
    assert mixture.unreadable == {1}
    assert Quiz.of(mixture, range(4)).indices.tolist() == [0, 2, 3]
    assert len(draw_examples(mixture, 4, np.random.default_rng(0), np.arange(4))[1]) == 3

    with pytest.raises(DataError, match="of image 2 cannot be read"):
        next(batches(open_sources([str(path)], problems="refuse"), 4, (72, 96), seed=0))
    for picture in pictures:
        picture.write_text("no picture")
    with pytest.raises(DataError, match="None of the pictures"):
        next(batches(mixture, 4, (72, 96), seed=0))
    with pytest.raises(DataError, match="no picture to evaluate on"):
        Quiz.of(mixture, range(4))
