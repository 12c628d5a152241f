"""A contact sheet of labels: what is trusted is green, what is not red, what is ignored grey.

    python -m xpose_stream.training.teachers.sheet --labels L.json --pictures data/real/ccp --out sheet.jpg
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import cv2
import numpy as np
import typer

SIDE, COLUMNS = 240, 8


def draw(bgr: Any, annotations: list[dict[str, Any]]) -> Any:
    """A picture with its labels, as a tile."""
    scale = SIDE / max(bgr.shape[:2])
    bgr = cv2.resize(bgr, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    for one in annotations:
        x, y, width, height = (round(v * scale) for v in one["bbox"])
        colour = (160, 160, 160) if one["iscrowd"] else (255, 160, 0)
        cv2.rectangle(bgr, (x, y), (x + width, y + height), colour, 1)
        points = np.array(one["keypoints"]).reshape(-1, 3)
        for (px, py, seen), trust in zip(points, one.get("trust", [1] * len(points)), strict=True):
            if seen and not one["iscrowd"]:
                colour = (0, int(255 * trust), int(255 * (1 - trust)))
                cv2.circle(bgr, (round(px * scale), round(py * scale)), 2, colour, -1 if seen == 2 else 1, cv2.LINE_AA)
    tall, wide = SIDE - bgr.shape[0], SIDE - bgr.shape[1]
    return cv2.copyMakeBorder(bgr, 0, tall, 0, wide, cv2.BORDER_CONSTANT)


def main(
    labels: Annotated[Path, typer.Option(help="File of the annotations.")],
    pictures: Annotated[Path, typer.Option(help="Folder of the photographs.")],
    out: Annotated[Path, typer.Option(help="The sheet.")],
    count: Annotated[int, typer.Option(help="Pictures on it.")] = 40,
    seed: Annotated[int, typer.Option(help="Which.")] = 0,
) -> None:
    """Draw a sheet of random pictures."""
    content = json.loads(labels.read_text(encoding="utf-8"))
    chosen = np.random.default_rng(seed).permutation(len(content["images"]))[:count]
    tiles = []
    for image in (content["images"][i] for i in chosen):
        own = [a for a in content["annotations"] if a["image_id"] == image["id"]]
        tiles.append(draw(cv2.imread(str(pictures / image["file_name"])), own))
    rows = [np.hstack(tiles[i : i + COLUMNS]) for i in range(0, len(tiles) - COLUMNS + 1, COLUMNS)]
    cv2.imwrite(str(out), np.vstack(rows), [cv2.IMWRITE_JPEG_QUALITY, 85])


if __name__ == "__main__":
    typer.run(main)
