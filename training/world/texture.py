"""Textures made of numbers; the families of the test split differ from those of training."""

from __future__ import annotations

import colorsys
from collections.abc import Callable

import cv2
import numpy as np

from xpose_stream.training.world.draw import Draw

Weave = Callable[[Draw, int], np.ndarray]


def colour(draw: Draw) -> np.ndarray:
    """An RGB colour [3] of 0..1 whose hue belongs to the split; a third of them greyish."""
    saturation = draw.uniform(0, 0.2) if draw.chance(0.35) else draw.uniform(0.2, 0.95)
    return np.array(colorsys.hsv_to_rgb(draw.held(0, 1), saturation, draw.uniform(0.2, 1.0)))


def _grid(size: int) -> tuple[np.ndarray, np.ndarray]:
    y, x = np.mgrid[:size, :size] / size
    return x, y


def _noise(draw: Draw, size: int) -> np.ndarray:
    total = np.zeros((size, size))
    for cells in (3, 6, 12, 24):
        coarse = draw.rng.random((cells, cells)).astype(np.float32)
        fine: np.ndarray = cv2.resize(coarse, (size, size), interpolation=cv2.INTER_CUBIC)
        total += fine / cells**0.7
    return (total - total.min()) / np.ptp(total)


def _stripes(draw: Draw, size: int) -> np.ndarray:
    x, y = _grid(size)
    across = x if draw.chance(0.5) else y
    return ((across * int(draw.uniform(2, 11))) % 1 < draw.uniform(0.2, 0.8)).astype(float)


def _checker(draw: Draw, size: int) -> np.ndarray:
    x, y = _grid(size)
    n = int(draw.uniform(2, 9))
    return ((np.floor(x * n) + np.floor(y * n)) % 2).astype(float)


def _gradient(draw: Draw, size: int) -> np.ndarray:
    x, y = _grid(size)
    angle = draw.uniform(0, 2 * np.pi)
    slope = np.cos(angle) * x + np.sin(angle) * y
    return (slope - slope.min()) / np.ptp(slope)


def _rectangles(draw: Draw, size: int) -> np.ndarray:
    field = np.full((size, size), 0.5)
    for _ in range(int(draw.uniform(4, 25))):
        x, y, w, h = (draw.rng.random(4) * size).astype(int)
        field[y : y + h // 2 + 1, x : x + w // 2 + 1] = draw.rng.random()
    return field


def _plaid(draw: Draw, size: int) -> np.ndarray:
    x, y = _grid(size)
    a, b = draw.uniform(2, 8), draw.uniform(2, 8)
    return 0.5 + 0.25 * (np.sin(2 * np.pi * a * x) + np.sin(2 * np.pi * b * y))


def _dots(draw: Draw, size: int) -> np.ndarray:
    x, y = _grid(size)
    n = int(draw.uniform(3, 9))
    return (np.hypot((x * n) % 1 - 0.5, (y * n) % 1 - 0.5) < draw.uniform(0.2, 0.4)).astype(float)


def _cells(draw: Draw, size: int) -> np.ndarray:
    x, y = _grid(size)
    seeds = draw.rng.random((int(draw.uniform(6, 30)), 2))
    nearest = np.argmin((x[..., None] - seeds[:, 0]) ** 2 + (y[..., None] - seeds[:, 1]) ** 2, axis=-1)
    return draw.rng.random(len(seeds))[nearest]


def _diagonal(draw: Draw, size: int) -> np.ndarray:
    x, y = _grid(size)
    n, m = int(draw.uniform(2, 7)), int(draw.uniform(2, 7))
    return 0.5 + 0.5 * np.sin(2 * np.pi * (n * x + m * y))


FAMILIES: dict[str, tuple[Weave, ...]] = {
    "train": (_noise, _stripes, _checker, _gradient, _rectangles),
    "test": (_plaid, _dots, _cells, _diagonal),
}


def texture(draw: Draw, size: int, plain: float = 0.5) -> np.ndarray:
    """A square picture uint8 [size, size, 3] RGB of a random family of the split, in two colours and fine grain.

    `plain` is how often both are of one tone, as on most surfaces.
    """
    families = FAMILIES[draw.split]
    weave = families[draw.rng.integers(len(families))](draw, size)[..., None]
    ground = colour(draw)
    figure = np.clip(ground + draw.rng.normal(0, 0.12, 3), 0, 1) if draw.chance(plain) else colour(draw)
    picture = figure * weave + ground * (1 - weave)
    picture = picture + draw.rng.normal(0, draw.uniform(0, 0.06), picture.shape)
    return (np.clip(picture, 0, 1) * 255).astype(np.uint8)
