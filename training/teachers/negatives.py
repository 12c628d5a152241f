"""Photographs of what is no person, and such things pasted onto photographs, in COCO's format.

    python -m xpose_stream.training.teachers.negatives --photos PHOTOS --stamps STAMPS --out data/negatives \
        --scenes data/labels/ccp.json=data/real/ccp

PHOTOS show no person; STAMPS are cut-outs with an alpha channel. They are pasted onto photographs and, half of the
time, onto the scenes, whose persons stay labelled but where something covers them.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import cv2
import numpy as np
import typer
from numpy.typing import NDArray

from xpose_stream.engines.prompts.prompt import find_skeletons
from xpose_stream.training.teachers.people import Pixels

SIDE = 320  # px of the longer side
LEAST, MOST = 0.3, 0.95  # height of a stamp in the picture's
TURN = 15.0  # degrees
COVERED = 0.5  # of a person's box, from where on it is ignored
DOUBT = 0.3  # trust in a keypoint that is covered
SURELY_ABSENT = ("robot arm", "drone")  # from all of these pictures


def read(path: Path) -> Pixels | None:
    """A picture of at most SIDE px, blue first, with its alpha if it has one."""
    picture: Any = cv2.imread(str(path), cv2.IMREAD_UNCHANGED)
    if picture is None or picture.ndim != 3:
        return None
    scale = SIDE / max(picture.shape[:2])
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return cv2.resize(picture, None, fx=scale, fy=scale, interpolation=how)


def paste(scene: Pixels, stamp: Pixels, rng: np.random.Generator) -> NDArray[np.float64]:
    """Paste a stamp somewhere into a scene, in place; how far it covers every pixel [H, W]."""
    height, width = scene.shape[:2]
    scale = rng.uniform(LEAST, MOST) * height / stamp.shape[0]
    turn = cv2.getRotationMatrix2D((stamp.shape[1] / 2, stamp.shape[0] / 2), rng.uniform(-TURN, TURN), scale)
    turn[:, 2] += rng.uniform(0.1, 0.9, 2) * (width, height) - (stamp.shape[1] / 2, stamp.shape[0] / 2)
    if rng.random() < 0.5:
        stamp = np.ascontiguousarray(stamp[:, ::-1])
    laid: Any = cv2.warpAffine(stamp, turn, (width, height), flags=cv2.INTER_LINEAR)
    colour = laid[..., :3] * rng.uniform(0.6, 1.2) * rng.uniform(0.9, 1.1, 3)
    cover: NDArray[np.float64] = cv2.GaussianBlur(laid[..., 3] / 255.0, (0, 0), 0.7)
    scene[:] = (scene * (1 - cover[..., None]) + colour.clip(0, 255) * cover[..., None]).astype(np.uint8)
    return cover


def cover_up(annotation: dict[str, Any], cover: NDArray[np.float64]) -> None:
    """What is covered of a person is hidden and little trusted; a person who is mostly covered is ignored."""
    x, y, wide, tall = (int(v) for v in annotation["bbox"])
    if cover[max(y, 0) : y + tall, max(x, 0) : x + wide].mean() > COVERED:
        annotation["iscrowd"] = 1
    points = np.array(annotation["keypoints"]).reshape(-1, 3)
    for k, (px, py, seen) in enumerate(points):
        if seen and cover[min(int(py), len(cover) - 1), min(int(px), cover.shape[1] - 1)] > 0.5:
            points[k, 2] = 1
            annotation["trust"][k] *= DOUBT
    annotation["keypoints"] = points.ravel().tolist()


class Folder:
    """The pictures written so far, with their annotations."""

    def __init__(self, path: Path) -> None:
        path.mkdir(parents=True, exist_ok=True)
        self.path = path
        self.images: list[dict[str, Any]] = []
        self.annotations: list[dict[str, Any]] = []

    def add(self, picture: Pixels, annotations: list[dict[str, Any]]) -> None:
        """Write a picture."""
        number = len(self.images) + 1
        name = f"{number:05d}.jpg"
        cv2.imwrite(str(self.path / name), picture[..., :3])
        height, width = picture.shape[:2]
        self.images.append({"id": number, "file_name": name, "width": width, "height": height})
        for one in annotations:
            self.annotations.append({**one, "id": len(self.annotations) + 1, "image_id": number})

    def write(self) -> None:
        """The annotation file."""
        skeletons = find_skeletons(["person", *SURELY_ABSENT])
        categories = [
            {"id": i, "name": s.category, "keypoints": list(s.keypoints), "skeleton": []}
            for i, s in enumerate(skeletons, 1)
        ]
        content = {"images": self.images, "annotations": self.annotations, "categories": categories}
        (self.path / "annotations.json").write_text(json.dumps(content), encoding="utf-8")


def main(
    photos: Annotated[Path, typer.Option(help="Folder of photographs without persons.")],
    stamps: Annotated[Path, typer.Option(help="Folder of cut-outs.")],
    scenes: Annotated[list[str], typer.Option(help="FILE.json=FOLDER of photographs with labelled persons; repeat.")],
    out: Annotated[Path, typer.Option(help="Folder of the pictures and annotations.json.")],
    pasted: Annotated[int, typer.Option(help="Pictures with cut-outs.")] = 1200,
    seed: Annotated[int, typer.Option(help="Random seed.")] = 1,
) -> None:
    """Write the photographs as they are, then the pasted ones."""
    rng = np.random.default_rng(seed)
    folder = Folder(out)
    empty = [p for f in sorted(photos.iterdir()) if (p := read(f)) is not None]
    cut = [p for f in sorted(stamps.rglob("*.png")) if (p := read(f)) is not None and p.shape[2] == 4]
    people: list[tuple[Path, list[dict[str, Any]]]] = []
    for name in scenes:
        file, _, pictures = name.partition("=")
        content = json.loads(Path(file).read_text(encoding="utf-8"))
        own: dict[int, list[dict[str, Any]]] = {image["id"]: [] for image in content["images"]}
        for one in content["annotations"]:
            if one["category_id"] == 1:
                own[one["image_id"]].append(one)
        people += [(Path(pictures) / image["file_name"], own[image["id"]]) for image in content["images"]]
    for picture in empty:
        folder.add(picture, [])
    for i in range(pasted):
        if i % 2:
            place, annotations = people[int(rng.integers(len(people)))]
            scene = np.array(cv2.imread(str(place)))
        else:
            scene, annotations = empty[int(rng.integers(len(empty)))][..., :3].copy(), []
        annotations = [{**one, "trust": list(one["trust"])} for one in annotations]
        for _ in range(int(rng.integers(1, 4))):
            cover = paste(scene, cut[int(rng.integers(len(cut)))], rng)
            for one in annotations:
                cover_up(one, cover)
        folder.add(scene, annotations)
    folder.write()
    print(f"{len(empty)} photographs and {pasted} with {len(cut)} cut-outs: {out}/annotations.json")


if __name__ == "__main__":
    typer.run(main)
