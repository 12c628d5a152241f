"""Mugs."""

from __future__ import annotations

import numpy as np

from xpose_stream.training.world.body import Body, Paint, Sculptor, turn
from xpose_stream.training.world.draw import Draw


def mug(draw: Draw) -> tuple[Body, np.ndarray]:
    """A random mug, mostly standing; its handle points forward."""
    made = Sculptor("mug")
    outside, inside = Paint.random(draw, 0.45), Paint.of(np.full(3, draw.uniform(0.02, 0.25)))
    handle = Paint.random(draw, 0.1) if draw.chance(0.4) else outside
    r, h = draw.held(0.03, 0.05), draw.held(0.075, 0.13)
    made.part("mug")
    made.rod("mug", (0, 0, 0), (0, 0, h), r, outside, "cylinder")
    made.rod("mug", (0, 0, 0.9 * h), (0, 0, h + 0.0006), 0.88 * r, inside, "cylinder")
    if draw.chance(0.4):  # a band around it
        at, wide = draw.uniform(0.2, 0.8) * h, draw.uniform(0.03, 0.12) * h
        made.rod("mug", (0, 0, at - wide), (0, 0, at + wide), 1.012 * r, outside.mark(draw), "cylinder")
    out, low, high = draw.held(0.02, 0.04), draw.held(0.12, 0.3) * h, draw.held(0.7, 0.88) * h
    angles = np.linspace(-np.pi / 2, np.pi / 2, 7)
    x, z = 0.96 * r + out * np.cos(angles), 0.5 * (low + high) + 0.5 * (high - low) * np.sin(angles)
    thick = draw.held(0.0045, 0.008)
    for i in range(len(angles) - 1):
        made.rod("mug", (x[i], 0, z[i]), (x[i + 1], 0, z[i + 1]), thick, handle)
    made.keypoint("rim at the handle", "mug", (r, 0, h), 0.02)
    made.keypoint("rim opposite the handle", "mug", (-r, 0, h), 0.02)
    made.keypoint("bottom at the handle", "mug", (r, 0, 0), 0.02)
    made.keypoint("bottom opposite the handle", "mug", (-r, 0, 0), 0.02)
    made.keypoint("upper end of the handle", "mug", (x[-1], 0, high), 0.02)
    made.keypoint("middle of the handle", "mug", (x[3], 0, z[3]), 0.016)
    made.keypoint("lower end of the handle", "mug", (x[0], 0, low), 0.02)
    body = made.body()
    tilt = draw.held(-0.3, 0.3) if draw.chance(0.8) else draw.held(-1.7, 1.7)
    return body, body.pose({"mug": turn("x", tilt) @ turn("y", 0.5 * tilt)})
