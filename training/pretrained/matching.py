"""The metric in which examples are compared, from pairs of views of photographs that nobody labelled.

    python -m xpose_stream.training.pretrained.matching --weights W.safetensors --pictures data/real/ccp \\
        --pictures PHOTOS --out OUT.safetensors

A picture and another view of it, turned, scaled, recoloured and degraded, give the same points twice. What differs then
is noise; directions are scaled by it and weighed by how much of what they tell is none. Source: Fisher's discriminant
(1936) with every point a class of its own, shrunk (Ledoit and Wolf, 2004) and weighed as Wiener's filter.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

import cv2
import numpy as np
import torch
import typer
from numpy.typing import NDArray
from rich.progress import track
from torch.nn import functional as F

from xpose_stream.engines.checkpoint import load, save
from xpose_stream.engines.prompts.example import normalised
from xpose_stream.engines.xpose import XPose
from xpose_stream.engines.xpose.looks import LOOKS
from xpose_stream.training.data.colour import degrade, recolour

TURN, SCALE = 25.0, 1.4  # degrees and times, either way
ASIDE = 0.12  # of the image, either way
POINTS, EDGE = 120, 4  # of a pair, and how many px from the edge
SHRINK = 0.1
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp")
Floats = NDArray[np.floating[Any]]


def views(
    rgb: NDArray[np.uint8], size: tuple[int, int], rng: np.random.Generator
) -> tuple[list[NDArray[np.uint8]], list[Floats]]:
    """Two views of a picture, of `size` (height, width), and where points of it are in each [N, 2] px."""
    (tall, wide), (height, width) = size, rgb.shape[:2]
    across = min(wide / width, tall / height) * rng.uniform(0.9, SCALE)
    points = rng.uniform(0, (width, height), (3 * POINTS, 2))
    images, places = [], []
    for loose in (0, 1):
        scale = across * SCALE ** (loose * rng.uniform(-1, 1))
        turn: Any = cv2.getRotationMatrix2D((width / 2, height / 2), loose * rng.uniform(-TURN, TURN), scale)
        turn[:, 2] += (np.array((wide, tall)) - (width, height)) / 2
        turn[:, 2] += loose * ASIDE * rng.uniform(-1, 1, 2) * (wide, tall)
        fill = rng.integers(0, 256, 3).tolist()
        image: Any = cv2.warpAffine(rgb, turn, (wide, tall), flags=cv2.INTER_AREA, borderValue=fill)
        images.append(degrade(recolour(image, rng), rng) if loose else image)
        places.append(points @ turn[:, :2].T + turn[:, 2])
    within = np.all([(p > EDGE) & (p < np.array((wide, tall)) - EDGE) for p in places], axis=(0, 2))
    return images, [p[within][:POINTS] for p in places]


@torch.inference_mode()
def pairs(model: XPose, pictures: Sequence[Path], seed: int = 0) -> list[tuple[Floats, Floats]]:
    """Of each level the features [N, c] of points, standardised over their picture, in one view and in the other."""
    rng, size = np.random.default_rng(seed), (model.config.short_side, model.config.long_side)
    found: list[list[list[Floats]]] = [[[], []] for _ in LOOKS]
    for path in track(pictures, "looking at pictures"):
        bgr = cv2.imread(str(path), cv2.IMREAD_COLOR)
        if bgr is None:
            continue
        images, places = views(np.asarray(cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB), np.uint8), size, rng)
        for view, (image, points) in enumerate(zip(images, places, strict=True)):
            dense = model.levels(torch.from_numpy(normalised(np.ascontiguousarray(image)))[None])[-len(LOOKS) :]
            grid = torch.from_numpy(2 * points / size[::-1] - 1).float()[None, None]
            for level, look in enumerate(dense):
                spread, mean = torch.std_mean(look, (2, 3), keepdim=True)
                seen = F.grid_sample((look - mean) / (spread + 1e-5), grid, align_corners=False)
                found[level][view].append(seen[0, :, 0].T.numpy())
    return [(np.concatenate(one), np.concatenate(other)) for one, other in found]


def metric(one: Floats, other: Floats) -> Floats:
    """The matrix [c, c] for features [N, c] of the same points in two views."""
    apart = (one - other) / np.sqrt(2)
    noise = apart.T @ apart / len(apart)
    told = np.cov(np.concatenate((one, other)).T) - noise
    noise = (1 - SHRINK) * noise + SHRINK * np.trace(noise) / len(noise) * np.eye(len(noise))
    values, vectors = np.linalg.eigh(noise)
    white = vectors @ np.diag(values**-0.5) @ vectors.T
    ratio, directions = np.linalg.eigh(white @ told @ white)
    ratio = ratio.clip(0)
    return directions @ np.diag(ratio / (1 + ratio)) @ directions.T @ white


def main(
    weights: Annotated[Path, typer.Option(help="Weights with a first guess.")],
    pictures: Annotated[list[Path], typer.Option(help="Folder of photographs; repeat.")],
    out: Annotated[Path, typer.Option(help="Weights to write.")],
    most: Annotated[int, typer.Option(help="So many pictures of a folder.")] = 300,
) -> None:
    """Give weights the metric."""
    torch.set_num_threads(1)
    checkpoint = load(weights)
    guess = checkpoint.model.guess
    if guess is None:
        raise typer.BadParameter(f"{weights} compares no looks: only weights with a first guess do")
    files = [file for folder in pictures for file in list(_pictures(folder))[:most]]
    if not files:
        raise typer.BadParameter(f"there is no picture in {', '.join(map(str, pictures))}")
    for level, (one, other) in enumerate(pairs(checkpoint.model.eval(), files)):
        guess.metric.get_buffer(f"level{level}").copy_(torch.from_numpy(metric(one, other)))
    save(out, checkpoint)


def _pictures(folder: Path) -> Iterator[Path]:
    return (file for file in sorted(folder.iterdir()) if file.suffix.lower() in SUFFIXES)


if __name__ == "__main__":
    typer.run(main)
