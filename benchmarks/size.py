"""How large a thing must be to be found: pictures with people, shrunk into the middle of an empty one.

python -m benchmarks.size [--weights FILE] [--photographs FOLDER]

The people are those of the demo clip, or of photographs: a folder with annotations.json as COCO has them, whose whole
people (five keypoints or more) count.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from itertools import islice, pairwise
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from xpose_stream.engines import DEFAULT, build_engine, load, prompts_for
from xpose_stream.engines.resize import target_size
from xpose_stream.stream.detector import Detector
from xpose_stream.stream.prepare import CLIP
from xpose_stream.stream.preprocess import Preprocessor
from xpose_stream.stream.sources.frame import Frame
from xpose_stream.trackers import TrackerConfig
from xpose_stream.training.exam.truth import Truth

SHARES = (1.0, 0.8, 0.6, 0.5, 0.4, 0.3, 0.25, 0.2, 0.15, 0.1)
EDGES = (4, 8, 12, 16, 20, 24, 32, 40, 56, 80, 120, 200)  # px in the model's picture
EVERY, COUNT = 24, 30  # frames of the clip


def main() -> None:
    """Print the share of people found at a score from which a track begins, by their height in what the model sees."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, default=DEFAULT)
    parser.add_argument("--photographs", type=Path)
    asked = parser.parse_args()
    torch.set_num_threads(1)  # on a busy machine they wait for each other
    checkpoint = load(asked.weights)
    engine = build_engine(checkpoint.model, backend="eager")
    detector = Detector(engine, prompts_for(checkpoint, "person"))
    needed = TrackerConfig(**checkpoint.tracker).high_score
    sides = engine.config.short_side, engine.config.long_side
    preprocess = Preprocessor(*sides, engine.device)
    heights, found = [], []
    for picture, people in of_photographs(asked.photographs) if asked.photographs else of_clip():
        height, width = picture.shape[:2]
        scale = target_size(width, height, *sides)[1] / height
        for share in SHARES:
            frame = Frame.still(av.VideoFrame.from_ndarray(shrunk(picture, share), "rgb24"))
            (seen,) = detector([preprocess(frame)], [frame])
            boxes = seen.boxes[seen.scores >= needed]
            for person in people:
                box = person * share + np.tile([width, height], 2) * (1 - share) / 2
                heights.append((box[3] - box[1]) * scale)
                found.append(any(iou(box, other) > 0.5 for other in boxes))
    title = f"{asked.weights.name}, sides {sides[0]} to {sides[1]}, score {needed:g}"
    table = Table("height in the model's picture, px", "people", "found", title=title)
    place = np.digitize(heights, EDGES)
    for bin_, (low, high) in enumerate(pairwise(EDGES), start=1):
        here = place == bin_
        if here.any():
            table.add_row(f"{low} to {high}", str(int(here.sum())), f"{np.array(found)[here].mean():.0%}")
    Console().print(table)


def of_clip() -> Iterator[tuple[np.ndarray, list[np.ndarray]]]:
    """Frames of the demo clip, uint8 [H, W, 3], and the boxes of their people."""
    people = Truth.load(CLIP.with_suffix(".json")).frames["person"]
    with av.open(str(CLIP)) as container:
        for place, frame in enumerate(islice(container.decode(video=0), 0, EVERY * COUNT, EVERY)):
            yield frame.to_ndarray(format="rgb24"), [person.box for person in people[place * EVERY]]


def of_photographs(folder: Path) -> Iterator[tuple[np.ndarray, list[np.ndarray]]]:
    """The same of photographs with people."""
    content = json.loads((folder / "annotations.json").read_text(encoding="utf-8"))
    for image in content["images"]:
        whole = [each for each in content["annotations"] if each["image_id"] == image["id"] and _whole(each)]
        if whole:
            picture: Any = cv2.imread(str(folder / image["file_name"]))
            corners = [np.array(each["bbox"], float) for each in whole]
            yield picture[..., ::-1].copy(), [np.concatenate((box[:2], box[:2] + box[2:])) for box in corners]


def _whole(person: dict[str, Any]) -> bool:
    return not person["iscrowd"] and person["num_keypoints"] >= 5


def shrunk(picture: np.ndarray, share: float) -> np.ndarray:
    """The picture in the middle of one of its mean colour."""
    height, width = picture.shape[:2]
    size = round(width * share), round(height * share)
    canvas = np.full_like(picture, picture.mean((0, 1)).astype(np.uint8))
    left, top = (width - size[0]) // 2, (height - size[1]) // 2
    canvas[top : top + size[1], left : left + size[0]] = cv2.resize(picture, size, interpolation=cv2.INTER_AREA)
    return canvas


def iou(a: np.ndarray, b: np.ndarray) -> float:
    """Of two boxes."""
    shared = np.prod((np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])).clip(0))
    return float(shared / (np.prod(a[2:] - a[:2]) + np.prod(b[2:] - b[:2]) - shared))


if __name__ == "__main__":
    main()
