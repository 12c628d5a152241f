"""Annotation files in COCO's format are read whatever data set they are of, or it is said what is wrong with what."""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from tests.training import coco_files
from tests.training.coco_files import FORK, PERSON, annotation, write
from xpose_stream.engines.prompts.bank import SKELETONS, Skeleton
from xpose_stream.training.data.coco import CocoFile
from xpose_stream.training.data.dataset import DataError, Unreadable

FORKS = [{"id": 1, "name": "fork", "keypoints": FORK}]


def test_coco_gives_persons_crowds_to_be_ignored_and_what_is_not_annotated(tmp_path: Path) -> None:
    file = CocoFile(coco_files.coco(tmp_path))
    assert [s.category for s in file.skeletons] == ["person"] and not file.problems
    assert file.skeletons[0].sigmas == Skeleton.load(SKELETONS / "person.yaml").sigmas
    picture = file[0]
    assert picture.rgb.shape == (160, 200, 3) and picture.ignore.tolist() == [False, False, True]
    assert set(picture.keypoints[0, :, 2]) == {1, 2}
    empty = file[1]
    assert not empty.ignore.any() and (empty.keypoints[2, :, 2] == -1).all()
    assert picture.areas is not None and picture.areas[0] == pytest.approx(
        0.6 * np.prod(size(picture.boxes[0])), rel=1e-3
    )


def size(box: np.ndarray) -> np.ndarray:
    return box[2:] - box[:2]


def test_ap10k_gives_species_with_the_animals_sigmas(tmp_path: Path) -> None:
    file = CocoFile(coco_files.ap10k(tmp_path))
    assert [s.category for s in file.skeletons] == ["dog", "king cheetah"]
    animal = Skeleton.load(SKELETONS / "animal.yaml")
    assert all(s.sigmas == animal.sigmas and s.pairs == animal.pairs for s in file.skeletons)
    assert [int(file[i].classes[0]) for i in range(4)] == [0, 1, 0, 1]


def test_human_arts_pictures_are_found_from_its_own_folder_or_the_one_above(tmp_path: Path) -> None:
    path = coco_files.human_art(tmp_path)
    assert len(CocoFile(path)) == 4
    assert len(CocoFile(path, tmp_path / "HumanArt")) == 4
    assert CocoFile(path, tmp_path / "HumanArt" / "images")[2].keypoints.shape == (1, 17, 3)


def test_mp100_gives_every_category_its_own_keypoints_and_names_those_without(tmp_path: Path) -> None:
    file = CocoFile(coco_files.mp100(tmp_path))
    fork, sofa = file.skeletons
    assert fork.keypoints == tuple(FORK) and fork.pairs == ((1, 2),)
    assert sofa.keypoints == tuple(f"keypoint {i}" for i in range(1, 6))
    assert file[0].keypoints.shape == (1, 5, 3) and (file[0].keypoints[0, 3:, 2] == -1).all()


def test_a_unified_file_gives_several_categories_in_a_picture(tmp_path: Path) -> None:
    file = CocoFile(coco_files.unikpt(tmp_path))
    assert sorted(file[0].classes.tolist()) == [0, 1] and not file.problems


def test_pictures_without_instances_are_kept_where_they_count(tmp_path: Path) -> None:
    path = write(tmp_path, [annotation(1, 1, 1, 3)], FORKS, pictures=3)
    assert len(CocoFile(path)) == 1
    assert len(CocoFile(path, empty=True)) == 3


BROKEN: list[tuple[dict[str, Any], str]] = [
    ({"keypoints": [1, 2, 2]}, "annotation 7 has 1 keypoints where its category has 3"),
    ({"keypoints": [1, 2, 3, 4]}, "annotation 7 has keypoints that are no triples of numbers"),
    ({"keypoints": ["a"] * 9}, "annotation 7 has keypoints that are no triples of numbers"),
    ({"keypoints": None}, "annotation 7 has no keypoints"),
    ({"keypoints": [1, 1, 5] * 3}, "annotation 7 has keypoints that are not finite or a visibility other than"),
    ({"keypoints": [math.nan, 1, 2] * 3}, "annotation 7 has keypoints that are not finite"),
    ({"bbox": [1, 2, 0, 5]}, "annotation 7 has an empty box"),
    ({"bbox": [1, 2, math.inf, 5]}, "annotation 7 has an empty box"),
    ({"bbox": [1, 2, 3]}, "annotation 7 has no box of four numbers"),
    ({"bbox": "here"}, "annotation 7 has no box of four numbers"),
    ({"image_id": 55}, "annotation 7 is of image 55, which is not there"),
    ({"image_id": [1]}, "annotation 7 has no id of a category or of an image"),
    ({"category_id": [1]}, "annotation 7 has no id of a category or of an image"),
    ({"bbox": [200, 10, 50, 50]}, "annotation 7 has a box outside its picture"),
    ({"bbox": [10, -60, 50, 50]}, "annotation 7 has a box outside its picture"),
    ({"keypoints": 2}, "annotation 7 has keypoints that are no triples of numbers"),
]


@pytest.mark.parametrize(("change", "said"), BROKEN, ids=[str(change) for change, _ in BROKEN])
def test_a_malformed_annotation_is_left_out_and_told_or_refused(
    tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    path = write(tmp_path, [annotation(1, 1, 1, 3), annotation(2, 2, 1, 3)], FORKS)
    content = json.loads(path.read_text())
    content["annotations"].append(annotation(7, 1, 1, 3) | change)
    path.write_text(json.dumps(content))
    file = CocoFile(path)
    assert len(file) == 2 and len(file[0].boxes) == 1
    (problem,) = file.problems
    assert str(problem).startswith(f"{path}: {said}") and str(problem).endswith(".")
    with pytest.raises(DataError, match="annotation 7"):
        CocoFile(path, problems="refuse")


def altered(path: Path, change: Callable[[dict[str, Any]], object]) -> CocoFile:
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))
    return CocoFile(path, empty=True)


def test_ids_that_a_table_made_whole_floats_are_whole_numbers(tmp_path: Path) -> None:
    def floats(content: dict[str, Any]) -> None:
        content["images"][0]["id"] = content["annotations"][0]["image_id"] = 1.0
        content["annotations"][0]["category_id"] = 1.0

    file = altered(write(tmp_path, [annotation(1, 1, 1, 3), annotation(2, 2, 1, 3)], FORKS), floats)
    assert not file.problems and len(file[0].boxes) == 1
    file = altered(file.path, lambda content: content["images"][0].update(id=1.5))
    assert "has no id or no file name (an id is a whole number or a text)" in str(file.problems[0])


def test_an_image_id_that_is_there_twice_is_told_and_no_label_goes_to_the_other_picture(tmp_path: Path) -> None:
    path = write(tmp_path, [annotation(1, 1, 1, 3), annotation(2, 2, 1, 3), annotation(3, 3, 1, 3)], FORKS)
    file = altered(path, lambda content: content["images"][1].update(id=1))
    told = [str(problem) for problem in file.problems]
    assert told[0].endswith("image 1 is there twice (000000000001.jpg, 000000000002.jpg).")
    assert told[1].endswith("annotation 2 is of image 2, which is not there.")
    assert [file.ids(index)[0] for index in range(len(file))] == [3, 4]


def test_a_label_that_is_there_twice_is_told_and_counts_once(tmp_path: Path) -> None:
    path = coco_files.coco(tmp_path)
    whole = CocoFile(path)
    content = json.loads(path.read_text())
    content["annotations"] += [content["annotations"][0], content["annotations"][1] | {"id": 10**6}]
    path.write_text(json.dumps(content))
    file = CocoFile(path, empty=True)
    assert [len(file[i].boxes) for i in range(len(file))] == [len(whole[i].boxes) for i in range(len(whole))]
    assert len(file.problems) == 2 and all("once more" in str(problem) for problem in file.problems)


def test_names_and_files_that_can_be_none_are_told(tmp_path: Path) -> None:
    path = coco_files.coco(tmp_path)
    content = json.loads(path.read_text())
    content["images"][0]["file_name"] = "a" * 5000
    path.write_text(json.dumps(content))
    assert "image 1 is not in" in str(CocoFile(path).problems[0])
    path.write_text("[" * 100_000)
    with pytest.raises(DataError, match="it is nested too deeply"):
        CocoFile(path)


def test_a_category_that_is_not_there_is_told(tmp_path: Path) -> None:
    path = write(tmp_path, [annotation(1, 1, 1, 3), annotation(2, 2, 7, 3)], FORKS)
    (problem,) = CocoFile(path).problems
    assert str(problem).endswith("annotation 2 is of category 7, which is not there.")


@pytest.mark.parametrize("change", [{"category_id": 7}, {"keypoints": None}, {"bbox": ["54", "1", "81", "29"]}])
def test_a_picture_of_which_a_label_was_left_out_is_not_measured(change: dict[str, Any], tmp_path: Path) -> None:
    path = write(tmp_path, [annotation(1, 1, 1, 3), annotation(2, 2, 1, 3)], FORKS, pictures=3)
    file = altered(path, lambda content: content["annotations"][1].update(change))
    assert [file.ids(index)[0] for index in range(len(file))] == [1, 3] and len(file.problems) == 1


def test_a_picture_that_is_missing_is_told_once(tmp_path: Path) -> None:
    path = write(tmp_path, [annotation(1, 1, 1, 3), annotation(2, 2, 1, 3), annotation(3, 2, 1, 3)], FORKS)
    (tmp_path / "000000000002.jpg").unlink()
    file = CocoFile(path)
    assert len(file) == 1 and [problem.entry for problem in file.problems] == ["image 2"]
    assert "1 x is not in" in file.summary()


def test_a_damaged_picture_is_named(tmp_path: Path) -> None:
    path = write(tmp_path, [annotation(1, 1, 1, 3)], FORKS)
    (tmp_path / "000000000001.jpg").write_text("no picture")
    with pytest.raises(Unreadable, match=r"image 1 cannot be read \(it is damaged or no picture\)"):
        CocoFile(path)[0]
    with pytest.raises(DataError, match="of image 1 cannot be read") as refused:
        CocoFile(path, problems="refuse")[0]
    assert not isinstance(refused.value, Unreadable)


@pytest.mark.parametrize(
    ("text", "said"),
    [("{", "is no JSON"), ("[]", "no list 'images'"), ('{"images": [], "annotations": {}}', "no list 'annotations'"),
     ('{"images": [], "annotations": [], "categories": []}', "no picture with keypoints")],
)  # fmt: skip
def test_a_file_of_another_kind_is_refused(tmp_path: Path, text: str, said: str) -> None:
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(DataError, match=said):
        CocoFile(tmp_path / "a.json")
    with pytest.raises(DataError, match="cannot be read"):
        CocoFile(tmp_path / "none.json")


@pytest.mark.parametrize(
    ("change", "said"),
    [({"keypoints": 2}, "category 2 has keypoints that are no list of names"),
     ({"skeleton": [["a", "b"]]}, "category 2 has a skeleton that is no list of pairs of numbers"),
     ({"skeleton": 3}, "category 2 has a skeleton that is no list of pairs of numbers"),
     ({"id": 1}, "category 1 is there twice"), ({"id": [2]}, "has no id or no name")],
)  # fmt: skip
def test_a_malformed_category_is_told(tmp_path: Path, change: dict[str, Any], said: str) -> None:
    categories = [*FORKS, {"id": 2, "name": "spoon", "keypoints": ["bowl", "end"]} | change]
    file = CocoFile(write(tmp_path, [annotation(1, 1, 1, 3)], categories))
    (problem,) = file.problems
    assert said in str(problem) and str(problem).startswith(f"{tmp_path / 'annotations.json'}: ")


def test_names_that_cannot_be_told_apart_are_a_problem(tmp_path: Path) -> None:
    categories = [*FORKS, {"id": 2, "name": "spoon", "keypoints": ["end", "end"]}, {"id": 3}]
    file = CocoFile(write(tmp_path, [annotation(1, 1, 1, 3)], categories))
    assert sorted(problem.entry[:10] for problem in file.problems) == ["category 2", "category {"]
    assert len(PERSON) == 17


def changed(path: Path, **image: Any) -> Path:
    """The annotation file with something else said of its first picture."""
    content = json.loads(path.read_text())
    content["images"][0] |= image
    path.write_text(json.dumps(content))
    return path


@pytest.mark.parametrize(
    "name",
    ["images\\1.png", "D:\\a\\images\\1.png", "./images/1.png", "/home/me/images/1.png", ".\\images\\1.png"],
)
def test_names_of_files_may_be_of_another_machine(name: str, tmp_path: Path) -> None:
    path = write(tmp_path, [annotation(1, 1, 1, 3)], FORKS, pictures=1, names="{}.png", at="images/")
    file = CocoFile(changed(path, file_name=name), problems="refuse")
    assert file[0].rgb.shape == (160, 200, 3)


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "utf-16-le", "utf-32"])
def test_a_file_may_begin_with_a_mark_and_be_of_any_utf(encoding: str, tmp_path: Path) -> None:
    path = write(tmp_path, [annotation(1, 1, 1, 3)], [{"id": 1, "name": "Gäbelchen", "keypoints": FORK}])
    path.write_bytes(path.read_text().encode(encoding))
    (skeleton,) = CocoFile(path).skeletons
    assert skeleton.category == "Gäbelchen"


def test_a_file_in_no_utf_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes('{"images": ["größe"]}'.encode("latin-1"))
    with pytest.raises(DataError, match="is no JSON"):
        CocoFile(tmp_path / "a.json")


def turned(path: Path, orientation: int) -> None:
    """Add EXIF's tag to a JPEG."""
    jpeg = path.read_bytes()
    exif = b"Exif\0\0MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0" + bytes([orientation]) + b"\0\0\0\0\0\0"
    path.write_bytes(jpeg[:2] + b"\xff\xe1" + (len(exif) + 2).to_bytes(2, "big") + exif + jpeg[2:])


def on_spots(file: CocoFile) -> float:
    """How bright the picture is at its visible keypoints, where white dots are."""
    picture = file[0]
    places = picture.keypoints[0][picture.keypoints[0, :, 2] == 2, :2].round().astype(int)
    return float(np.mean([picture.rgb[y, x].mean() for x, y in places]))


@pytest.mark.parametrize("orientation", [5, 6, 7, 8])
def test_labels_lie_on_a_turned_picture_whichever_way_it_was_labelled(orientation: int, tmp_path: Path) -> None:
    path = write(tmp_path, [annotation(1, 1, 1, 3)], FORKS, pictures=1)
    turned(tmp_path / "000000000001.jpg", orientation)
    picture = CocoFile(path)[0]  # stated as it is stored
    assert picture.rgb.shape == (160, 200, 3) and on_spots(CocoFile(path)) > 200
    turned_file = CocoFile(changed(path, width=160, height=200))  # stated as it is shown
    assert turned_file[0].rgb.shape == (200, 160, 3)


@pytest.mark.parametrize("size", [(100, 80), (400, 320), (133, 107), (67, 53)])
def test_labels_are_scaled_with_a_picture_of_another_size(size: tuple[int, int], tmp_path: Path) -> None:
    path = write(tmp_path, [annotation(1, 1, 1, 3)], FORKS, pictures=1)
    whole = CocoFile(path)[0]
    file = tmp_path / "000000000001.jpg"
    cv2.imwrite(str(file), cv2.resize(cv2.imread(str(file)), size, interpolation=cv2.INTER_AREA))
    picture = CocoFile(path)[0]
    factor = size[0] / 200
    np.testing.assert_allclose(picture.boxes, whole.boxes * factor, atol=1)
    np.testing.assert_allclose(picture.keypoints[..., :2], whole.keypoints[..., :2] * factor, atol=1)
    assert (picture.keypoints[..., 2] == whole.keypoints[..., 2]).all()
    assert picture.areas is not None and whole.areas is not None
    np.testing.assert_allclose(picture.areas, whole.areas * factor**2, rtol=0.05)
    assert on_spots(CocoFile(path)) > 150


def test_a_picture_of_other_proportions_is_a_problem_by_its_id(tmp_path: Path) -> None:
    path = changed(write(tmp_path, [annotation(1, 1, 1, 3)], FORKS, pictures=1), width=240, height=320)
    with pytest.raises(Unreadable, match="of image 1 is 200x160, and its labels are for 240x320, which has other"):
        CocoFile(path)[0]
    with pytest.raises(DataError, match="of image 1"):
        CocoFile(path, problems="refuse")[0]
