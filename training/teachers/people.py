"""Persons in photographs by MoveNet: MultiPose finds them, Thunder looks at each again, and at its mirror image."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional as F

from xpose_stream.training.pretrained.movenet import MoveNet, read_movenet

Pixels = NDArray[Any]  # uint8 [H, W, 3] RGB
Points = NDArray[np.float64]  # [17, 3] x, y px and confidence
SIGMAS = np.array((26, 25, 25, 35, 35, 79, 79, 72, 72, 62, 62, 107, 107, 87, 87, 89, 89)) / 1000  # COCO's
MIRRORED = np.array((0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15))
STRIDE, CROP = 4, 256
LEAST, SAME = 0.1, 0.6  # score of a person; similarity from which two are one
REACH = 0.08  # of the person: how far from where regression has it a keypoint is looked for
AROUND = 1.3  # side of a crop in sides of the person
Maps = dict[str, NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class Person:
    """A person found: its score, box [4] x0, y0, x1, y1 px and keypoints."""

    score: float
    box: NDArray[np.float64]
    points: Points


class Heads(nn.Module):
    """The maps of all heads of a MoveNet, one after the other: [B, n, h, w]."""

    def __init__(self, net: MoveNet) -> None:
        super().__init__()
        self.body, self.rows = net.body, list(net.rows.values())

    def forward(self, images: Tensor) -> Tensor:
        """Images in -1..1."""
        hidden = self.body.deepen(self.body.around(self.body(images).pyramid[-1]))
        parts = zip(hidden, self.rows, strict=True)
        return torch.cat([F.conv2d(h, weight[:, :, None, None], bias) for h, (weight, bias) in parts], 1)


class Runner:
    """Runs a MoveNet with OpenVINO on one thread, compiled for every size it meets."""

    def __init__(self, path: Path) -> None:
        self.net = read_movenet(path)
        self._compiled: dict[tuple[int, ...], Callable[..., Any]] = {}

    def __call__(self, pictures: NDArray[np.uint8]) -> list[Maps]:
        """Maps of the heads of each of the pictures [B, H, W, 3]."""
        images = (torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 127.5 - 1).contiguous()
        if images.shape not in self._compiled:
            self._compiled[images.shape] = self._compile(images)
        found = next(iter(self._compiled[images.shape](images.numpy()).values()))
        edges = np.cumsum([len(bias) for _, bias in self.net.rows.values()])[:-1]
        return [dict(zip(self.net.rows, np.split(one, edges), strict=True)) for one in found]

    def _compile(self, images: Tensor) -> Callable[..., Any]:
        import openvino

        network = openvino.convert_model(Heads(self.net).eval(), example_input=images, input=[list(images.shape)])
        options = {"INFERENCE_NUM_THREADS": 1, "INFERENCE_PRECISION_HINT": "f32"}
        compiled: Callable[..., Any] = openvino.Core().compile_model(network, "CPU", options)
        return compiled


class Teacher:
    """Finds the persons in a picture; `folder` holds the graphs of MoveNet."""

    def __init__(self, folder: Path, size: tuple[int, int] = (320, 256)) -> None:
        self.multipose, self.thunder = (Runner(folder / f"movenet-{name}.json") for name in ("multipose", "thunder"))
        self.long, self.short = size

    def find(self, rgb: Pixels) -> list[Person]:
        """Persons by MultiPose alone, best first."""
        height, width = rgb.shape[:2]
        sides = [self.long if side == max(height, width) else self.short for side in (height, width)]
        if min(height, width) > 0.9 * max(height, width):
            sides = [self.long, self.long]
        seen, scale = letterbox(rgb, (sides[0], sides[1]))
        found = decode(self.multipose(seen[None])[0])
        extent = np.tile(rgb.shape[1::-1], 2)
        return [Person(p.score, (p.box / scale).clip(0, extent), p.points / (scale, scale, 1)) for p in found]

    def look_again(self, rgb: Pixels, box: NDArray[np.float64]) -> tuple[Points, NDArray[np.float64]]:
        """Keypoints of the person in a box (x0, y0, x1, y1) by Thunder, and how far the mirror image's are [17] px."""
        side = max((box[2:] - box[:2]).max() * AROUND, 8.0)
        low = (box[:2] + box[2:]) / 2 - side / 2
        matrix = np.array(((CROP / side, 0, -low[0] * CROP / side), (0, CROP / side, -low[1] * CROP / side)))
        view: Any = cv2.warpAffine(rgb, matrix, (CROP, CROP), flags=cv2.INTER_LINEAR)
        plain, turned = (decode_single(maps) for maps in self.thunder(np.stack((view, view[:, ::-1]))))
        turned = turned[MIRRORED]
        turned[:, 0] = CROP - turned[:, 0]
        apart = np.hypot(*(plain - turned)[:, :2].T) * side / CROP
        weight = np.stack((plain[:, 2], turned[:, 2]))[..., None] + 1e-6
        both = (np.stack((plain, turned)) * weight).sum(0) / weight.sum(0)
        both[:, 2] = np.minimum(plain[:, 2], turned[:, 2])
        both[:, :2] = both[:, :2] * side / CROP + low
        return both, apart


def decode(maps: Maps, most: int = 20, least: float = LEAST) -> list[Person]:
    """Persons in the maps of MultiPose, in px of its input: peaks of the centre, best first, each different."""
    centre, heat = (sigmoid(maps[name]) for name in ("center", "kpt_heatmap"))
    peak = centre[0] * (cv2.dilate(centre[0], np.ones((3, 3))) == centre[0])
    found: list[Person] = []
    for cell in np.argsort(-peak, axis=None)[:most]:
        y, x = divmod(int(cell), peak.shape[1])
        if peak[y, x] < least:
            break
        person = Person(float(peak[y, x]), _box(maps, y, x), _points(maps, heat, y, x))
        if all(similar(person.points, other.points) < SAME for other in found):
            found.append(person)
    return found


def decode_single(maps: Maps) -> Points:
    """The person in the middle of the maps of Thunder, in px of its input."""
    centre, heat = (sigmoid(maps[name]) for name in ("center", "kpt_heatmap"))
    rows, columns = np.indices(centre[0].shape)
    middle = (np.array(centre[0].shape) - 1) / 2
    near = centre[0] / (np.hypot(rows - middle[0], columns - middle[1]) + 1.8)
    y, x = np.unravel_index(int(near.argmax()), near.shape)
    return _points(maps, heat, int(y), int(x))


def _box(maps: Maps, y: int, x: int) -> NDArray[np.float64]:
    centre = (maps["box_offset"][:, y, x] + (y, x))[::-1].astype(np.float64) * STRIDE
    half = maps["box_scale"][:, y, x][::-1].astype(np.float64) * STRIDE / 2
    return np.concatenate((centre - half, centre + half))


def _points(maps: Maps, heat: NDArray[np.float32], y: int, x: int) -> Points:
    """Of the person with its centre in a cell: where heat is highest near where regression has the keypoints."""
    first = maps["kpt_regress"][:, y, x].reshape(-1, 2) + np.array((y, x))
    sigma = max(float(np.ptp(first, axis=0).max()), 4.0) * REACH + 1
    rows, columns = np.indices(heat.shape[1:])
    away = (rows - first[:, :1, None]) ** 2 + (columns - first[:, 1:, None]) ** 2
    cell = (heat * np.exp(-away / (2 * sigma**2))).reshape(len(heat), -1).argmax(1)
    y_best, x_best = np.divmod(cell, heat.shape[2])
    each = np.arange(len(heat))
    offset = maps["kpt_offset"].reshape(-1, 2, *heat.shape[1:])[each, :, y_best, x_best]
    place = (np.stack((x_best, y_best), 1) + offset[:, ::-1]) * STRIDE
    return np.concatenate((place, heat[each, y_best, x_best][:, None]), 1).astype(np.float64)


def similar(a: Points, b: Points) -> float:
    """COCO's similarity of two persons, with the extent of the first's points as its area."""
    area = max(float(np.ptp(a[:, :2], axis=0).prod()) * 0.6, 1.0)
    away = ((a - b)[:, :2] ** 2).sum(1)
    return float(np.exp(-away / (2 * area * (2 * SIGMAS) ** 2)).mean())


def letterbox(rgb: Pixels, size: tuple[int, int]) -> tuple[Pixels, float]:
    """The picture as large as it can be in (height, width), top left, and the scale."""
    scale = min(size[0] / rgb.shape[0], size[1] / rgb.shape[1])
    tall, wide = round(rgb.shape[0] * scale), round(rgb.shape[1] * scale)
    out: Pixels = np.zeros((*size, 3), np.uint8)
    out[:tall, :wide] = cv2.resize(rgb, (wide, tall), interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR)
    return out, scale


def sigmoid(x: NDArray[np.float32]) -> NDArray[np.float32]:
    """1 / (1 + exp(-x))."""
    return np.asarray(1 / (1 + np.exp(-x.clip(-30, 30))), np.float32)

