"""Labels of persons in a folder of photographs, in COCO's format with the trust in every keypoint.

    python -m xpose_stream.training.teachers.label --pictures data/real/ccp --models MODELS --out data/labels/ccp.json

MODELS is the folder of MoveNet's graphs (`training/pretrained/movenet.py`). `trust` [K] in 0..1 stands beside the
`keypoints` of an annotation; `iscrowd` is set for what may be a person or not. With `--joints FILE` the data set's own
joints of one person a picture (LSP's format) tell where that person is and how far the teacher is right.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Annotated, Any

import cv2
import numpy as np
import typer
from numpy.typing import NDArray

from xpose_stream.engines.prompts.prompt import SKELETONS
from xpose_stream.engines.prompts.skeleton import Skeleton
from xpose_stream.training.teachers.people import Person, Pixels, Points, Teacher

SURE, SEEN, THERE = 0.2, 0.3, 0.12  # scores of a person, of a visible keypoint, and of one worth labelling
ALIKE = 0.06  # of the person's side: how far apart views may have a keypoint that is to be trusted
GROSS = 0.25
NAMES = Skeleton.load(SKELETONS / "person.yaml").keypoints
SUFFIXES = (".jpg", ".jpeg", ".png")


def label(teacher: Teacher, rgb: Pixels) -> list[dict[str, Any]]:
    """Annotations of the persons in a picture."""
    return [_annotate(teacher, rgb, person) for person in teacher.find(rgb)]


def _annotate(teacher: Teacher, rgb: Pixels, person: Person) -> dict[str, Any]:
    again, apart = teacher.look_again(rgb, person.box)
    side = float((person.box[2:] - person.box[:2]).max())
    away = np.hypot(*(again - person.points)[:, :2].T)
    points = again.copy()
    near = away < 2 * ALIKE * side
    points[near, :2] = 0.65 * again[near, :2] + 0.35 * person.points[near, :2]
    trust = (points[:, 2] / SEEN).clip(0, 1) * np.exp(-((np.maximum(apart, away / 2) / (ALIKE * side)) ** 2) / 2)
    doubtful = person.score < SURE or again[:, 2].mean() < SEEN * 0.8
    return annotation(points, trust, person.box, doubtful, rgb.shape[:2])


def annotation(
    points: Points, trust: NDArray[np.float64], box: NDArray[np.float64], doubtful: bool, size: tuple[int, ...]
) -> dict[str, Any]:
    """COCO's fields of one person."""
    inside = ((points[:, :2] >= 0) & (points[:, :2] < size[1::-1])).all(1)
    seen = np.select([~inside | (points[:, 2] < THERE), points[:, 2] < SEEN], [0, 1], 2)
    triples = np.column_stack((points[:, :2].round(1), seen)) * (seen > 0)[:, None]
    low, high = box[:2], box[2:]
    return {
        "category_id": 1,
        "iscrowd": int(doubtful or (seen > 0).sum() < 4),
        "bbox": [round(float(x), 1) for x in (*low, *(high - low).clip(1))],
        "area": round(float((high - low).prod()) * 0.53, 1),
        "keypoints": [float(x) for x in triples.ravel()],
        "num_keypoints": int((seen > 0).sum()),
        "trust": [round(float(x), 2) for x in trust * (seen > 0)],
    }


def with_joints(teacher: Teacher, rgb: Pixels, names: list[str], joints: NDArray[np.float64]) -> list[dict[str, Any]]:
    """The annotated person by Thunder and by the data set's joints where they disagree grossly; others are ignored."""
    given = joints[:, 2] > 0
    if given.sum() < 5:
        return []
    low, high = joints[given, :2].min(0), joints[given, :2].max(0)
    margin = 0.08 * (high - low).max()
    box = np.concatenate((low - margin, high + margin)).clip(0, np.tile(rgb.shape[1::-1], 2))
    again, apart = teacher.look_again(rgb, box)
    side = float((box[2:] - box[:2]).max())
    trust = (again[:, 2] / SEEN).clip(0, 1) * np.exp(-((apart / (ALIKE * side)) ** 2) / 2)
    for name, joint in zip(names, joints, strict=True):
        if name in NAMES and joint[2] > 0:
            k = NAMES.index(name)
            away = float(np.hypot(*(again[k, :2] - joint[:2])))
            if away > GROSS * side / 2 or again[k, 2] < THERE:
                again[k], trust[k] = (*joint[:2], 0.5), 0.4
            else:
                trust[k] = max(trust[k], np.exp(-((away / (ALIKE * side)) ** 2) / 2))
                again[k, 2] = max(again[k, 2], THERE)
    own = annotation(again, trust, box, False, rgb.shape[:2])
    others = [p for p in teacher.find(rgb) if _overlap(p.box, box) < 0.4]
    return [own, *(annotation(p.points, p.points[:, 2] * 0, p.box, True, rgb.shape[:2]) for p in others)]


def _overlap(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    shared = float((np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])).clip(0).prod())
    return shared / max(float((a[2:] - a[:2]).prod() + (b[2:] - b[:2]).prod()) - shared, 1e-9)


def category() -> dict[str, Any]:
    """COCO's category of persons."""
    return {"id": 1, "name": "person", "keypoints": list(NAMES), "skeleton": []}


def main(
    pictures: Annotated[Path, typer.Option(help="Folder of the photographs.")],
    models: Annotated[Path, typer.Option(help="Folder of MoveNet's graphs.")],
    out: Annotated[Path, typer.Option(help="File of the annotations.")],
    joints: Annotated[Path | None, typer.Option(help="The data set's own joints.")] = None,
    most: Annotated[int, typer.Option(help="Only so many pictures.")] = 100_000,
) -> None:
    """Label every photograph in a folder; what was done is written every minute, and a run that was cut off goes on."""
    cv2.setNumThreads(1)
    teacher, own = Teacher(models), {}
    if joints is not None:
        content = json.loads(joints.read_text(encoding="utf-8"))
        own = {Path(one["file"]).name: np.array(one["joints"], np.float64) for one in content["pictures"]}
    done = json.loads(out.read_text(encoding="utf-8")) if out.exists() else {"images": [], "annotations": []}
    done["categories"], saved = [category()], time.monotonic()
    known = {image["file_name"] for image in done["images"]}
    files = [f for f in sorted(pictures.iterdir()) if f.suffix.lower() in SUFFIXES and f.name not in known][:most]
    for file in files:
        bgr = cv2.imread(str(file))
        if bgr is None:
            continue
        rgb = cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)
        number = len(done["images"]) + 1
        done["images"].append({"id": number, "file_name": file.name, "width": rgb.shape[1], "height": rgb.shape[0]})
        found = with_joints(teacher, rgb, content["names"], own[file.name]) if file.name in own else label(teacher, rgb)
        for one in found:
            done["annotations"].append({"id": len(done["annotations"]) + 1, "image_id": number, **one})
        if time.monotonic() - saved > 60 or file == files[-1]:
            saved = time.monotonic()
            out.parent.mkdir(parents=True, exist_ok=True)
            out.with_suffix(".partial").write_text(json.dumps(done), encoding="utf-8")
            out.with_suffix(".partial").replace(out)


if __name__ == "__main__":
    typer.run(main)
