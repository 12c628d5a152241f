"""One marked frame of things of categories that no training has seen, in the other frames of the same rendered clip.

    python -m benchmarks.unseen_clips [--weights W] [--clips 5]

In each clip a car, a bicycle, a bird or a lamp of the test split moves and turns for four seconds, before a camera that
drifts. The first frame that shows it is the example; words count for nothing. PCK is of the best detection, of
keypoints that can be seen in both frames, in longer sides of the box.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from benchmarks.real import Eyes
from xpose_stream.engines import DEFAULT
from xpose_stream.engines.checkpoint import Checkpoint, load
from xpose_stream.engines.prompts.bank import embed_prompts
from xpose_stream.engines.prompts.example import Example
from xpose_stream.engines.prompts.prompt import Prompt, find_skeletons
from xpose_stream.training.world.body import Body, Placed
from xpose_stream.training.world.category import UNSEEN, Category
from xpose_stream.training.world.clip import film
from xpose_stream.training.world.draw import Draw
from xpose_stream.training.world.scene import Scene

TIMES = np.linspace(0, 4, 13)  # s
LARGE = 1.5  # m, the longest side of a thing
LIMITS = (0.05, 0.1, 0.2)  # of the longer side of the box


@dataclass(frozen=True)
class Mover:
    """A thing that goes aside and turns, and changes its pose somewhat.

    Attributes:
        poses: two of it, rotations [P, 3, 3] of its parts.
    """

    body: Body
    poses: tuple[NDArray[np.float64], NDArray[np.float64]]
    heading: float
    turn: float  # rad in all
    aside: float  # m in all

    def at(self, time: float) -> Placed:
        """Where it is, and how."""
        share = time / TIMES[-1]
        between = self.poses[0] + 0.3 * share * (self.poses[1] - self.poses[0])
        left, _, right = np.linalg.svd(between)
        pose = left @ right  # the nearest rotations
        place = np.array([0.0, self.aside * (share - 0.5)])
        return self.body.put(pose, place, self.heading + self.turn * share)


def mover(category: Category) -> Callable[[Draw], list[Any]]:
    """How the stage gets one of a category."""

    def act(draw: Draw) -> list[Any]:
        body, pose = category.random(draw)
        low, high = body.put(pose, np.zeros(2)).bounds
        _, other = category.random(draw)
        poses = pose, other if other.shape == pose.shape else pose
        heading, turn = draw.uniform(-np.pi, np.pi), draw.uniform(0.3, 0.6) * (1 if draw.chance(0.5) else -1)
        body = body.scaled(LARGE / float((high - low).max()))
        return [Mover(body, poses, heading, turn, draw.uniform(-1.0, 1.0))]

    return act


def measure(checkpoint: Checkpoint, category: Category, seed: int) -> list[float]:
    """How far off keypoints are, in longer sides of the box; infinite where nothing is found."""
    skeleton = find_skeletons([category.name])[0]
    scene, eyes, known, off = Scene(slices=24), None, np.zeros(0, bool), []
    for rgb, rows in film(scene, seed, TIMES, mover(category)):
        row: Any = next((row for row in rows if row["category"] == category.name), None)
        if row is None:
            continue
        points, box = np.array(row["keypoints"], np.float64), np.array(row["box"], np.float64)
        seen = points[:, 2] == 2
        if eyes is None:
            shown = np.where(seen[:, None], points[:, :2], np.nan)
            prompt = Prompt(skeleton, words=False, examples=(Example(rgb, box, shown),))
            eyes, known = Eyes(checkpoint, embed_prompts([prompt], checkpoint)), seen
            continue
        found, side = eyes(rgb), float((box[2:] - box[:2]).max())
        away = np.full(len(points), np.inf)
        if found:
            away = np.hypot(*(found[0].points[:, :2] - points[:, :2]).T) / side
        off.extend(away[seen & known].tolist())
    return off


def main() -> None:
    """Print a row for each category."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--weights", type=Path, default=DEFAULT)
    parser.add_argument("--clips", type=int, default=5)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    cv2.setNumThreads(1)
    checkpoint = load(asked.weights)
    table = Table("category", "keypoints", "found", *(f"PCK@{limit}" for limit in LIMITS))
    means = []
    for category in UNSEEN:
        off = np.array([each for seed in range(asked.clips) for each in measure(checkpoint, category, 100 + seed)])
        shares = [float((off < limit).mean()) for limit in LIMITS]
        means.append(shares)
        table.add_row(category.name, str(len(off)), f"{np.isfinite(off).mean():.2f}", *(f"{s:.3f}" for s in shares))
    table.add_row("mean", "", "", *(f"{share:.3f}" for share in np.mean(means, 0)))
    Console().print(table)


if __name__ == "__main__":
    main()
