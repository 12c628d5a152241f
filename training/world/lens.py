"""What a camera does to a rendered picture: exposure, colour cast, blur, noise."""

from __future__ import annotations

import cv2
import numpy as np

from xpose_stream.training.world.draw import Draw


def expose(draw: Draw, rgb: np.ndarray) -> np.ndarray:
    """The picture uint8 [H, W, 3] as a random camera would have taken it."""
    light = rgb.astype(np.float32) / 255
    # an automatic exposure that is never quite right
    gain = (draw.uniform(0.28, 0.55) / max(float(light.mean()), 0.02)) ** draw.uniform(0.6, 1.0)
    light = np.clip(light * min(gain, 4.0) * draw.rng.uniform(0.92, 1.08, 3).astype(np.float32), 0, 1)
    light **= draw.uniform(0.8, 1.25)
    if draw.chance(0.25):
        light = cv2.GaussianBlur(light, (0, 0), draw.uniform(0.3, 0.9))
    if draw.chance(0.05):
        light = np.repeat(light.mean(axis=2, keepdims=True), 3, axis=2)
    noise = draw.rng.standard_normal(light.shape, dtype=np.float32)
    light += noise * (draw.uniform(0.0, 0.03) if draw.chance(0.6) else 0.0)
    return (np.clip(light, 0, 1) * 255 + 0.5).astype(np.uint8)
