"""From how much evidence on something looks like an example: more than there is in pictures that show nothing.

The pictures are dead leaves, which have much of the statistics of natural ones (Lee, Mumford and Huang, Occlusion
models for natural images, IJCV 2001; Baradad et al., Learning to see by looking at noise, NeurIPS 2021), but small
leaves lie on large ones, so that none is lost.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from xpose_stream.engines.prompts.example import normalised
from xpose_stream.engines.xpose import XPose
from xpose_stream.engines.xpose.likeness import VOTE, alike, split
from xpose_stream.engines.xpose.looks import lay_out

PICTURES = 16
RARE = 3.0  # deviations above the mean of their highest evidence: some 7 of 100 photographs without the thing have more
OWN = 0.7  # as much less than in the examples' own pictures is enough, whatever plain things there are elsewhere
LEAST = 0.0  # evidence below which nothing is taken for it, however little is found in these pictures
RADII = 0.02, 0.35  # of leaves, in the picture's longer side: small ones as much more frequent as they are smaller
LEAVES, GRAINS = (30, 160), 6  # of a picture
GREY, ROUGH = 255, 40.0


@torch.no_grad()
def least_evidence(model: XPose, instance: Tensor, keypoints: Tensor, shown: Sequence[NDArray[np.uint8]]) -> float:
    """That of a prompt [P + EXTRA], [K, P + EXTRA] whose own is 0, of examples in pictures as the model sees them."""
    guess, like = model.guess, next(model.parameters())
    _, _, looks = split(instance[None, None].to(like), keypoints[None, None].to(like), model.config.prompt_dim)
    assert guess is not None and looks is not None  # else nothing would look like anything
    size = int(shown[0].shape[0]), int(shown[0].shape[1])

    def most(picture: NDArray[np.uint8]) -> float:
        seen = model.levels(torch.from_numpy(normalised(picture))[None].to(like))[model.config.levels :]
        return float(alike(looks, lay_out(seen, picture.shape[:2]), guess.metric).centre.max()) / VOTE

    nothing = [most(picture) for picture in dead_leaves(PICTURES, size)]
    least = max(LEAST, float(np.mean(nothing) + RARE * np.std(nothing)))
    return min(least, min(map(most, shown)) - OWN)


@lru_cache(maxsize=2)  # the next prompt asks for the same
def dead_leaves(count: int, size: tuple[int, int]) -> tuple[NDArray[np.uint8], ...]:
    """The same pictures [height, width, 3] each time: ellipses and polygons of all sizes, of colours and grains."""
    pictures = tuple(_leaves(count, size))
    for picture in pictures:
        picture.flags.writeable = False
    return pictures


def _leaves(count: int, size: tuple[int, int]) -> Iterator[NDArray[np.uint8]]:
    rng = np.random.default_rng(0)
    radii = max(size) * np.geomspace(*RADII, 1000)
    for _ in range(count):
        grains = [_grain(rng, size) for _ in range(GRAINS)]
        picture = _paint(rng, grains)
        for radius in np.sort(rng.choice(radii, rng.integers(*LEAVES)))[::-1]:
            cover = _leaf(rng, size, radius)
            there = np.flatnonzero(cover)
            picture[there] += cover[there, None] / np.float32(GREY) * (_paint(rng, grains, there) - picture[there])
        blurred = cv2.GaussianBlur(picture.reshape(*size, 3), (0, 0), rng.uniform(0.4, 1.2))
        noisy = blurred + rng.normal(0, rng.uniform(0, 5), blurred.shape)
        yield noisy.clip(0, GREY).astype(np.uint8)


def _leaf(rng: np.random.Generator, size: tuple[int, int], radius: float) -> NDArray[np.uint8]:
    """What it covers, up to GREY: [h * w]."""
    cover = np.zeros(size, np.uint8)
    middle = rng.uniform((0, 0), size[::-1])
    if rng.random() < 0.5:
        axes = max(int(radius), 1), max(int(radius * rng.uniform(0.2, 1)), 1)
        cv2.ellipse(cover, middle.astype(int).tolist(), axes, rng.uniform(0, 360), 0, 360, (GREY,), -1, cv2.LINE_AA)
    else:
        angles = np.sort(rng.uniform(0, 2 * np.pi, rng.integers(3, 7)))
        away = radius * rng.uniform(0.4, 1, len(angles))
        corners = middle + np.stack((away * np.cos(angles), away * np.sin(angles)), -1)
        cv2.fillPoly(cover, [corners.astype(np.int32)], (GREY,), cv2.LINE_AA)
    return cover.ravel()


def _paint(rng: np.random.Generator, grains: list[NDArray[np.float32]], there: Any = ...) -> NDArray[np.float32]:
    """One colour with a grain, of some px or all: [n, 3]."""
    grain = grains[rng.integers(len(grains))][there, None] * np.float32(rng.uniform(0, ROUGH))
    return grain + rng.uniform(0, GREY, 3).astype(np.float32)


def _grain(rng: np.random.Generator, size: tuple[int, int]) -> NDArray[np.float32]:
    """Noise [h * w] of spread 1 whose spectrum falls by a power of the frequency."""
    height, width = size
    frequency = np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)) + 1 / max(size)
    noise = np.fft.irfft2(np.fft.rfft2(rng.normal(size=size)) * frequency ** -rng.uniform(0.3, 1.5), size)
    return ((noise - noise.mean()) / noise.std()).astype(np.float32).ravel()
