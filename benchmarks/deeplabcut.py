"""Labels of DeepLabCut as COCO's, beside the frames, for `benchmarks/real.py --reach`.

    python -m benchmarks.deeplabcut DeepLabCut/examples/openfield-Pranav-2018-10-30/labeled-data/m4s1

A box reaches MARGIN px beyond the keypoints, as in the frames of the reaching mouse.
"""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Annotated, Any

import cv2
import typer

MARGIN = 25.0  # px


def content(folder: Path) -> dict[str, Any]:
    """COCO's content of a folder with frames and one `CollectedData_*.csv` of a single animal."""
    with next(folder.glob("CollectedData_*.csv")).open(encoding="utf-8", newline="") as file:
        _, parts, _, *rows = csv.reader(file)
    names = parts[1::2]
    images, annotations = [], []
    for number, (path, *values) in enumerate(rows):
        name = Path(path).name
        frame: Any = cv2.imread(str(folder / name))
        images.append({"id": number, "file_name": name, "width": frame.shape[1], "height": frame.shape[0]})
        pairs = zip(values[::2], values[1::2], strict=True)
        points = [(float(x), float(y), 2) if x and y else (0, 0, 0) for x, y in pairs]
        shown = [point for point in points if point[2]]
        if len(shown) < 2:
            continue
        low, high = (tuple(end(point[axis] for point in shown) for axis in (0, 1)) for end in (min, max))
        width, height = (h - w + 2 * MARGIN for w, h in zip(low, high, strict=True))
        box = [low[0] - MARGIN, low[1] - MARGIN, width, height]
        one = {"id": number + 1, "image_id": number, "category_id": 1, "iscrowd": 0, "num_keypoints": len(shown)}
        marked = [value for point in points for value in point]
        annotations.append(one | {"bbox": box, "area": width * height, "keypoints": marked})
    category = {"id": 1, "name": "animal", "keypoints": names, "skeleton": []}
    return {"images": images, "categories": [category], "annotations": annotations}


def main(folder: Annotated[Path, typer.Argument(help="Frames and their CollectedData file.")]) -> None:
    """Write annotations.json into the folder."""
    found = content(folder)
    (folder / "annotations.json").write_text(json.dumps(found), encoding="utf-8")
    print(f"{len(found['annotations'])} of {len(found['images'])} frames")


if __name__ == "__main__":
    typer.run(main)
