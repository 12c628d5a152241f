"""Hands in photographs by MediaPipe: a palm is found, turned upright, and 21 points are looked for in it, twice.

    python -m xpose_stream.training.teachers.hands --pictures data/real/hands --package PACKAGE \\
        --people data/labels/hands.json --out data/labels/hands21.json

PACKAGE is the unpacked folder of `@mediapipe/hands@0.4.1675469240` (Apache-2.0). Persons from the file `--people` are
kept beside the hands.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import cv2
import numpy as np
import typer
from numpy.typing import NDArray

from xpose_stream.engines.prompts.prompt import SKELETONS
from xpose_stream.engines.prompts.skeleton import Skeleton
from xpose_stream.training.teachers.people import Pixels, letterbox, sigmoid

ASSETS, PALM = "hands_solution_packed_assets", "palm_detection_full.tflite"
PALM_SIZE, HAND_SIZE = 192, 224
STRIDES = (8, 16, 16, 16)  # of the palm detector's cells, two anchors each
FOUND, SHOWN, DOUBTFUL, SAME = 0.5, 0.5, 0.8, 0.3  # scores of a palm and of a hand; IoU of two palms that are one
LARGER, HIGHER = 2.6, 0.5  # a hand in palms
ALIKE = 0.05  # of the hand's side: how far the mirror image may have a point that is to be trusted


@dataclass(frozen=True, slots=True)
class Hand:
    """A hand found: its score, points [21, 2] px and the trust in each [21]."""

    score: float
    points: NDArray[np.float64]
    trust: NDArray[np.float64]


class Teacher:
    """Finds hands in a picture, on one thread."""

    def __init__(self, package: Path) -> None:
        import openvino

        core, options = openvino.Core(), {"INFERENCE_NUM_THREADS": 1, "INFERENCE_PRECISION_HINT": "f32"}
        with TemporaryDirectory() as folder:  # OpenVINO takes this format from files alone
            (Path(folder) / PALM).write_bytes(unpack(package, PALM))
            self.palm = core.compile_model(core.read_model(Path(folder) / PALM), "CPU", options)
        self.hand = core.compile_model(core.read_model(package / "hand_landmark_full.tflite"), "CPU", options)
        self.anchors = anchors()

    def find(self, rgb: Pixels) -> list[Hand]:
        """Hands, best first."""
        seen, scale = letterbox(rgb, (PALM_SIZE, PALM_SIZE))
        out = sorted(self.palm(seen[None].astype(np.float32) / 255).values(), key=lambda part: -part.shape[-1])
        raw, score = out[0][0], sigmoid(out[1][0, :, 0])
        kept: list[NDArray[np.float64]] = []
        hands = []
        for i in np.argsort(-score):
            if score[i] < FOUND:
                break
            places = raw[i].astype(np.float64).reshape(9, 2)
            places[[0, *range(2, 9)]] += self.anchors[i] * PALM_SIZE
            box = np.concatenate((places[0] - places[1] / 2, places[0] + places[1] / 2)) / scale
            if all(_overlap(box, other) < SAME for other in kept):
                kept.append(box)
                hands.append(self._look(rgb, box, places[2] / scale, places[4] / scale))
        return [hand for hand in hands if hand.score > SHOWN]

    def _look(
        self, rgb: Pixels, box: NDArray[np.float64], wrist: NDArray[np.float64], middle: NDArray[np.float64]
    ) -> Hand:
        """The points of the hand whose palm is in a box, turned so that the middle finger's root is above the wrist."""
        up = (middle - wrist) / max(float(np.hypot(*(middle - wrist))), 1e-6)
        side = float((box[2:] - box[:2]).max())
        centre = (box[:2] + box[2:]) / 2 + up * HIGHER * side
        right = np.array((-up[1], up[0]))
        axes = np.stack((right, -up), 1) * (side * LARGER / HAND_SIZE)  # columns: a px of the view in the picture
        corner = centre - axes @ np.array((HAND_SIZE, HAND_SIZE)) / 2
        to_picture = np.column_stack((axes, corner))
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        view: Any = cv2.warpAffine(rgb, to_picture, (HAND_SIZE, HAND_SIZE), flags=flags)
        (plain, a), (turned, b) = (self._points(one) for one in (view, view[:, ::-1]))
        turned[:, 0] = HAND_SIZE - turned[:, 0]
        away = np.hypot(*(plain - turned).T) / max(float(np.ptp(plain, axis=0).max()), 1.0)
        points = (plain + turned) / 2 @ axes.T + corner
        return Hand(min(a, b), points, np.exp(-((away / ALIKE) ** 2) / 2))

    def _points(self, view: Pixels) -> tuple[NDArray[np.float64], float]:
        out = self.hand(np.ascontiguousarray(view[None]).astype(np.float32) / 255)
        parts = {port.get_any_name(): value for port, value in out.items()}
        points = parts["Identity"].reshape(21, 3)[:, :2].astype(np.float64)
        return points, float(parts["Identity_1"].ravel()[0])


def unpack(package: Path, name: str) -> bytes:
    """A file from the package's packed assets, whose places the loader's script tells."""
    script = (package / f"{ASSETS}_loader.js").read_text(encoding="utf-8")
    listed = script[script.index('"files"') :]
    entry = listed[listed.index(name) :]
    first, last = (int(entry.split(f'"{key}":')[1].split(",")[0].split("}")[0]) for key in ("start", "end"))
    return (package / f"{ASSETS}.data").read_bytes()[first:last]


def anchors() -> NDArray[np.float64]:
    """Centres [2016, 2] of the palm detector's cells as fractions; layers of one stride stand together."""
    rows = []
    for stride in sorted(set(STRIDES)):
        count, times = PALM_SIZE // stride, 2 * STRIDES.count(stride)
        y, x = np.divmod(np.arange(count * count), count)
        rows.append(np.repeat((np.stack((x, y), 1) + 0.5) / count, times, 0))
    return np.concatenate(rows)


def annotation(hand: Hand, size: tuple[int, ...]) -> dict[str, Any]:
    """COCO's fields of one hand."""
    inside = np.all((hand.points >= 0) & (hand.points < size[1::-1]), axis=1)
    low, high = hand.points.min(0), hand.points.max(0)
    margin = 0.08 * (high - low).max()
    low, high = (low - margin).clip(0, size[1::-1]), (high + margin).clip(0, size[1::-1])
    triples = np.column_stack((hand.points.round(1), np.full(21, 2))) * inside[:, None]
    return {
        "category_id": 2,
        "iscrowd": int(hand.score < DOUBTFUL or hand.trust.mean() < 0.3),
        "bbox": [round(float(x), 1) for x in (*low, *(high - low).clip(1))],
        "area": round(float((high - low).prod()), 1),
        "keypoints": [float(x) for x in triples.ravel()],
        "num_keypoints": int(inside.sum()),
        "trust": [round(float(x), 2) for x in hand.trust * inside],
    }


def _overlap(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    shared = float((np.minimum(a[2:], b[2:]) - np.maximum(a[:2], b[:2])).clip(0).prod())
    return shared / max(float((a[2:] - a[:2]).prod() + (b[2:] - b[:2]).prod()) - shared, 1e-9)


def main(
    pictures: Annotated[Path, typer.Option(help="Folder of the photographs.")],
    package: Annotated[Path, typer.Option(help="Unpacked folder of @mediapipe/hands.")],
    people: Annotated[Path, typer.Option(help="Labels of the persons in the same pictures.")],
    out: Annotated[Path, typer.Option(help="File of the annotations.")],
) -> None:
    """Add the hands to labels of persons."""
    cv2.setNumThreads(1)
    teacher, content = Teacher(package), json.loads(people.read_text(encoding="utf-8"))
    names = list(Skeleton.load(SKELETONS / "hand.yaml").keypoints)
    content["categories"].append({"id": 2, "name": "hand", "keypoints": names, "skeleton": []})
    for image in content["images"]:
        bgr = cv2.imread(str(pictures / image["file_name"]))
        assert bgr is not None  # the persons in it were labelled
        rgb = cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)
        for hand in teacher.find(rgb):
            number = len(content["annotations"]) + 1
            content["annotations"].append({"id": number, "image_id": image["id"], **annotation(hand, rgb.shape[:2])})
    out.write_text(json.dumps(content), encoding="utf-8")


if __name__ == "__main__":
    typer.run(main)
