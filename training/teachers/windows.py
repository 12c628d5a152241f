"""Windows cut out of labelled photographs, with things laid over them, so that it is known what cannot be seen.

    python -m xpose_stream.training.teachers.windows --labels data/labels/ccp.json --pictures data/real/ccp --out W

Photographs of whole people say nothing of keypoints that are outside the picture or behind something; these do exactly.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import cv2
import numpy as np
import typer
from numpy.typing import NDArray

from xpose_stream.training.teachers.people import Pixels

LEAST, MOST = 0.35, 1.15  # height of a window in the person's
SMALLEST = 60  # px of its sides
COVERED = 0.4  # of the windows have something laid over them,
PATCH = 0.2, 0.55  # this large in the window's sides
FEW = 3  # a person of whom less can be seen is ignored


def window(person: NDArray[np.float64], size: tuple[int, int], rng: np.random.Generator) -> NDArray[np.int64] | None:
    """Corners (x0, y0, x1, y1) of a window on a part of a person (x, y, width, height) in a picture (width, height)."""
    tall = rng.uniform(LEAST, MOST) * person[3]
    sides = np.minimum((tall * np.exp(rng.uniform(-0.35, 0.45)), tall), size)
    centre = person[:2] + person[2:] * (rng.uniform(0.1, 0.9), rng.uniform(0.15, 0.85))
    low = (centre - sides / 2).clip(0, np.array(size) - sides).astype(int)
    return None if min(sides) < SMALLEST else np.concatenate((low, low + sides.astype(int)))


def lay_over(picture: Pixels, other: Pixels, rng: np.random.Generator) -> NDArray[np.bool_]:
    """Lay a piece of another picture, square or round, over a picture in place; where it lies [H, W]."""
    height, width = picture.shape[:2]
    wide, tall = (int(side * rng.uniform(*PATCH)) for side in (width, height))
    x, y = int(rng.integers(0, width - wide + 1)), int(rng.integers(0, height - tall + 1))
    cover = np.zeros((height, width), np.uint8)
    if rng.random() < 0.5:
        cv2.ellipse(cover, (x + wide // 2, y + tall // 2), (wide // 2, tall // 2), 0, 0, 360, 1, -1)
    else:
        cover[y : y + tall, x : x + wide] = 1
    piece = np.zeros_like(picture)
    piece[y : y + tall, x : x + wide] = cv2.resize(other[: other.shape[0] // 3], (wide, tall))
    covered: NDArray[np.bool_] = cover.astype(bool)
    picture[covered] = piece[covered]
    return covered


def seen_through(one: dict[str, Any], corners: NDArray[np.int64], cover: NDArray[np.bool_]) -> dict[str, Any] | None:
    """An annotation in a window: what is outside is not labelled, what is covered hidden. None: nothing is left."""
    points = np.array(one["keypoints"], np.float64).reshape(-1, 3)
    points[:, :2] -= corners[:2]
    size = corners[2:] - corners[:2]
    inside = ((points[:, :2] >= 0) & (points[:, :2] < size)).all(1) & (points[:, 2] > 0)
    points[~inside] = 0
    columns, rows = points[inside, :2].astype(int).T
    points[inside, 2] = np.where(cover[rows, columns], 1, points[inside, 2])
    box = np.array(one["bbox"], np.float64)
    low, high = ((corner - corners[:2]).clip(0, size) for corner in (box[:2], box[:2] + box[2:]))
    if (high - low).min() < FEW:
        return None
    return one | {
        "iscrowd": int(one["iscrowd"] or (points[:, 2] == 2).sum() < FEW),
        "bbox": [*low.tolist(), *(high - low).tolist()],
        "area": float((high - low).prod()) * 0.53,
        "keypoints": points.ravel().tolist(),
        "num_keypoints": int(inside.sum()),
        "trust": (np.array(one["trust"]) * inside).round(2).tolist(),
    }


def main(
    labels: Annotated[Path, typer.Option(help="Annotations of `label`.")],
    pictures: Annotated[Path, typer.Option(help="Folder of the photographs.")],
    out: Annotated[Path, typer.Option(help="Folder of the windows and annotations.json.")],
    count: Annotated[int, typer.Option(help="Windows to try; small ones are left out.")] = 1300,
    seed: Annotated[int, typer.Option(help="Random seed.")] = 5,
) -> None:
    """Write windows around a random person each."""
    cv2.setNumThreads(1)
    rng = np.random.default_rng(seed)
    content = json.loads(labels.read_text(encoding="utf-8"))
    own: dict[int, list[dict[str, Any]]] = {}
    for one in content["annotations"]:
        own.setdefault(one["image_id"], []).append(one)
    shown = [image for image in content["images"] if image["id"] in own]
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    out.mkdir(parents=True, exist_ok=True)
    for chosen, behind in rng.integers(len(shown), size=(count, 2)):
        picture, other = (cv2.imread(str(pictures / shown[i]["file_name"])) for i in (chosen, behind))
        assert picture is not None and other is not None
        people = own[shown[chosen]["id"]]
        person = np.array(people[int(rng.integers(len(people)))]["bbox"], np.float64)
        corners = window(person, (picture.shape[1], picture.shape[0]), rng)
        if corners is None:
            continue
        view = picture[corners[1] : corners[3], corners[0] : corners[2]].copy()
        covers = rng.random() < COVERED
        cover = lay_over(view, other, rng) if covers else np.zeros(view.shape[:2], bool)
        number = len(images) + 1
        name = f"{number:05d}.jpg"
        left = [part for one in people if (part := seen_through(one, corners, cover)) is not None]
        cv2.imwrite(str(out / name), view)
        images.append({"id": number, "file_name": name, "width": view.shape[1], "height": view.shape[0]})
        annotations += [part | {"id": len(annotations) + i, "image_id": number} for i, part in enumerate(left, 1)]
    written = {"images": images, "annotations": annotations, "categories": content["categories"]}
    (out / "annotations.json").write_text(json.dumps(written), encoding="utf-8")
    print(f"{len(images)} windows with {len(annotations)} persons: {out}/annotations.json")


if __name__ == "__main__":
    typer.run(main)
