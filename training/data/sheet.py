"""A contact sheet: moments of the world with their truth drawn.

    python -m xpose_stream.training.data.sheet

One picture for each category, of the held-out split: filled dots are visible keypoints, rings are hidden ones; a
left one is green, a right one red.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import typer

from xpose_stream.engines.prompts.bank import find_skeletons
from xpose_stream.engines.prompts.skeleton import Skeleton
from xpose_stream.training.data.bank import PLAIN
from xpose_stream.training.world.category import CATEGORIES, TRAINED, UNSEEN, Category
from xpose_stream.training.world.draw import Draw
from xpose_stream.training.world.lens import expose
from xpose_stream.training.world.moment import compose
from xpose_stream.training.world.render import Renderer
from xpose_stream.training.world.scene import Scene
from xpose_stream.training.world.truth import Truth, truth

WIDTH, HEIGHT, COLUMNS = 320, 240, 4
TRIES = 8  # moments to choose from


def pictures(draw: Draw, categories: tuple[Category, ...]) -> Iterator[np.ndarray]:
    """For each category the picture uint8 [240, 320, 3] BGR, of a few, that shows one best."""
    scene = Scene()
    skeletons = dict(zip(CATEGORIES, find_skeletons(CATEGORIES), strict=True))
    with Renderer(scene, WIDTH, HEIGHT, smooth=True) as renderer:
        for category in categories:
            scene.paint(draw, PLAIN)
            renderer.upload()
            found = []
            for _ in range(TRIES):
                compose(scene, draw, WIDTH / HEIGHT, [category], TRAINED if category in TRAINED else UNSEEN)
                shot = renderer.shoot(shadows=True)
                found.append((shot.rgb, truth(scene, shot.depth)))
            rgb, seen = max(found, key=lambda one: _worth(one[1], category.name))
            yield _drawn(expose(draw, rgb), seen, skeletons)


def _worth(seen: Truth, category: str) -> float:
    """How much of the keypoints of the best body of a category shows, a little more beside other bodies."""
    shares = [
        float((points[:, 2] == 2).mean()) * min(1.0, float((box[2:] - box[:2]).max()) / (0.6 * HEIGHT))
        for name, box, points in zip(seen.category, seen.box, seen.keypoints, strict=True)
        if name == category
    ]
    return max(shares, default=0.0) + 0.1 * min(len(set(seen.category)), 3)


def _drawn(rgb: np.ndarray, seen: Truth, skeletons: dict[str, Skeleton]) -> np.ndarray:
    picture = cv2.cvtColor(rgb, cv2.COLOR_RGB2BGR)
    for name, box, points in zip(seen.category, seen.box, seen.keypoints, strict=True):
        skeleton = skeletons[name]
        places = [(round(float(x) * 8), round(float(y) * 8)) for x, y, _ in points]
        for a, b in skeleton.edges:
            cv2.line(picture, places[a], places[b], (255, 255, 255), 1, cv2.LINE_AA, 3)
        for place, keypoint, (_, _, v) in zip(places, skeleton.keypoints, points, strict=True):
            side = (90, 220, 90) if "left" in keypoint else (70, 70, 250) if "right" in keypoint else (0, 215, 255)
            cv2.circle(picture, place, 22, side, -1 if v == 2 else 1, cv2.LINE_AA, 3)
        at = (max(int(box[0]), 2), max(int(box[1]) - 3, 11))
        cv2.putText(picture, name, at, cv2.FONT_HERSHEY_SIMPLEX, 0.42, (0, 0, 0), 3, cv2.LINE_AA)
        cv2.putText(picture, name, at, cv2.FONT_HERSHEY_SIMPLEX, 0.42, (255, 255, 255), 1, cv2.LINE_AA)
    return picture


def main(
    out: Annotated[Path, typer.Option(help="Picture to write.")] = Path("docs/world.jpg"),
    seed: Annotated[int, typer.Option(help="Random seed.", min=0)] = 1,
) -> None:
    """Draws the contact sheet of the world."""
    tiles = list(pictures(Draw("test", seed), (*TRAINED, *UNSEEN)))
    tiles += [np.full_like(tiles[0], 255)] * (-len(tiles) % COLUMNS)
    rows = [np.hstack(tiles[i : i + COLUMNS]) for i in range(0, len(tiles), COLUMNS)]
    cv2.imwrite(str(out), np.vstack(rows), [cv2.IMWRITE_JPEG_QUALITY, 72])


if __name__ == "__main__":
    typer.run(main)
