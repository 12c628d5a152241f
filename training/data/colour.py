"""Random changes of a picture's pixels that leave everything in its place: light, colour, blur, noise, compression."""

from __future__ import annotations

from functools import cache
from typing import Any, cast

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[Any]  # uint8 [H, W, 3]


def recolour(rgb: Pixels, rng: np.random.Generator) -> Pixels:
    """Exposure, contrast, gamma and white balance as one table per channel; at times grey."""
    level = np.linspace(0, 1, 256, dtype=np.float32)[:, None]
    gamma, contrast = np.exp(rng.uniform(-0.3, 0.3)), np.exp(rng.uniform(-0.4, 0.4))
    balance = np.exp(rng.uniform(-0.12, 0.12, 3))
    table = ((level**gamma - 0.5) * contrast + 0.5 + rng.uniform(-0.12, 0.12)) * balance
    table = (table.clip(0, 1) * 255).astype(np.uint8)[None]
    rgb = cv2.LUT(np.ascontiguousarray(rgb), table)
    if rng.random() < 0.05:
        rgb = cv2.cvtColor(cv2.cvtColor(rgb, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    return rgb


def degrade(rgb: Pixels, rng: np.random.Generator) -> Pixels:
    """At times out of focus or moved, noisy, badly compressed: what cameras and their encoders do."""
    if rng.random() < 0.1:
        rgb = cv2.GaussianBlur(rgb, (0, 0), rng.uniform(0.4, 1.1))
    elif rng.random() < 0.1:
        rgb = cv2.filter2D(rgb, -1, _streak(rng.uniform(0, np.pi), rng.uniform(1.5, 4)))
    if rng.random() < 0.2:
        count = rgb.size
        start = int(rng.integers(len(_noise()) - count))
        grain = _noise()[start : start + count].reshape(rgb.shape)
        rgb = cv2.addWeighted(rgb, 1.0, grain, rng.uniform(0.02, 0.12), 0, dtype=cv2.CV_8U)
    if rng.random() < 0.15:
        quality = [cv2.IMWRITE_JPEG_QUALITY, int(rng.integers(20, 70))]
        coded = cv2.imencode(".jpg", rgb, quality)[1]
        rgb = cast(Pixels, cv2.imdecode(coded, cv2.IMREAD_COLOR))  # it was encoded just now
    return rgb


def _streak(angle: float, length: float) -> NDArray[np.float32]:
    kernel = np.zeros((9, 9), np.float32)
    step = np.array((np.cos(angle), np.sin(angle))) * length / 2
    first, last = ((4.5 + sign * step - 0.5) * 16 for sign in (-1, 1))
    cv2.line(kernel, first.astype(int).tolist(), last.astype(int).tolist(), 1.0, 1, cv2.LINE_AA, 4)
    return kernel / max(float(kernel.sum()), 1e-6)


@cache
def _noise() -> NDArray[np.int16]:
    """Normal noise of spread 100, made once: drawing it anew costs as much as decoding the picture."""
    drawn = np.random.default_rng(0).standard_normal(1_000_000) * 100
    return drawn.astype(np.int16)
