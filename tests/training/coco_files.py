"""Small annotation files in the ways of the data sets that the reader knows, with real pictures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np

PERSON = [
    "nose", *(f"{side}_{part}" for part in ("eye", "ear", "shoulder", "elbow", "wrist", "hip", "knee", "ankle")
              for side in ("left", "right")),
]  # fmt: skip
FORK = ["handle", "left tip", "right tip"]


def annotation(
    number: int, image: int, category: int, count: int, seed: int | None = None, **more: Any
) -> dict[str, Any]:
    """An instance whose keypoints lie in its box; every third one is hidden."""
    rng = np.random.default_rng(number if seed is None else seed)
    x, y = rng.uniform(5, 40, 2).round(1).tolist()
    width, height = rng.uniform(60, 110, 2).round(1).tolist()
    points = rng.uniform((x, y), (x + width, y + height), (count, 2)).round(1)
    keypoints = np.column_stack((points, np.where(np.arange(count) % 3 == 2, 1, 2))).ravel().tolist()
    base = {"id": number, "image_id": image, "category_id": category, "bbox": [x, y, width, height], "iscrowd": 0}
    return base | {"keypoints": keypoints, "area": 0.6 * width * height, "num_keypoints": count} | more


def write(
    folder: Path,
    annotations: list[Any],
    categories: list[Any],
    pictures: int = 4,
    names: str = "{:012d}.jpg",
    at: str = "",
    name: str = "annotations.json",
) -> Path:
    """Write pictures of 200 x 160 under `folder / at` and the file that names them `at / names`."""
    images = []
    for number in range(1, pictures + 1):
        path = folder / at / names.format(number)
        path.parent.mkdir(parents=True, exist_ok=True)
        rng = np.random.default_rng(number)
        picture = np.full((160, 200, 3), rng.integers(40, 120), np.uint8)
        for entry in annotations:
            if isinstance(entry, dict) and entry.get("image_id") == number:
                for x, y, v in np.array(entry.get("keypoints"), float).reshape(-1, 3) if "keypoints" in entry else ():
                    if v == 2:
                        cv2.circle(picture, (int(x), int(y)), 4, (255, 255, 255), -1)
        cv2.imwrite(str(path), picture)
        images.append({"id": number, "file_name": f"{at}{names.format(number)}", "width": 200, "height": 160})
    file = folder / name
    file.write_text(json.dumps({"images": images, "annotations": annotations, "categories": categories}))
    return file


def coco(folder: Path) -> Path:
    """As COCO: one category with keypoints among others, a crowd, instances without keypoints."""
    categories = [{"id": 1, "name": "person", "keypoints": PERSON, "skeleton": [[1, 2]]}, {"id": 18, "name": "dog"}]
    annotations = [annotation(10 * i + j, i, 1, 17) for i in range(1, 5) for j in (1, 2)]
    annotations.append(annotation(99, 1, 1, 17, iscrowd=1))
    annotations.append(annotation(98, 2, 1, 17, keypoints=[0] * 51, num_keypoints=0))
    annotations.append({"id": 97, "image_id": 3, "category_id": 18, "bbox": [1, 1, 20, 20], "area": 400, "iscrowd": 0})
    return write(folder, annotations, categories)


def ap10k(folder: Path) -> Path:
    """As AP-10K: many species with one skeleton."""
    names = ["left_eye", "right_eye", "nose", "neck", "root_of_tail", "left_shoulder", "left_elbow", "left_front_paw"]
    names += ["right_shoulder", "right_elbow", "right_front_paw", "left_hip", "left_knee", "left_back_paw"]
    names += ["right_hip", "right_knee", "right_back_paw"]
    categories = [
        {"id": i, "name": n, "keypoints": names, "supercategory": "x"} for i, n in ((3, "dog"), (7, "king cheetah"))
    ]
    return write(folder, [annotation(i, i, 3 if i % 2 else 7, 17) for i in range(1, 5)], categories)


def human_art(folder: Path) -> Path:
    """As Human-Art: COCO's person, pictures named from the folder above."""
    categories = [{"id": 1, "name": "person", "keypoints": PERSON}]
    annotations = [annotation(i, i, 1, 17, keypoints_21=[0] * 63, description="art") for i in range(1, 5)]
    return write(folder, annotations, categories, at="HumanArt/images/")


def mp100(folder: Path) -> Path:
    """As MP-100: every category its own keypoints, some without names, pictures in folders."""
    categories = [
        {"id": 4, "name": "fork", "keypoints": FORK, "skeleton": []},
        {"id": 9, "name": "sofa_body", "keypoints": []},
    ]
    annotations = [annotation(i, i, 4 if i % 2 else 9, 3 if i % 2 else 5) for i in range(1, 7)]
    return write(folder, annotations, categories, pictures=6, names="{:03d}.png", at="images/forks/")


def unikpt(folder: Path) -> Path:
    """As a unified file: several categories in a picture, keypoints as triples."""
    categories = [{"id": 1, "name": "fork", "keypoints": FORK}, {"id": 2, "name": "person", "keypoints": PERSON}]
    annotations = [annotation(i, i, 1, 3) for i in range(1, 5)] + [annotation(10 + i, i, 2, 17) for i in range(1, 5)]
    for entry in annotations:
        entry["keypoints"] = np.array(entry["keypoints"]).reshape(-1, 3).tolist()
    return write(folder, annotations, categories)
