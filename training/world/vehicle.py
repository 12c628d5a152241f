"""Cars and bicycles."""

from __future__ import annotations

import numpy as np

from xpose_stream.training.world.body import Body, Paint, Sculptor, turn
from xpose_stream.training.world.draw import Draw

SIDES = (("left", 1), ("right", -1))
DARK = Paint((0.05, 0.05, 0.06))


def car(draw: Draw) -> tuple[Body, np.ndarray]:
    """A random car on its wheels."""
    made = Sculptor("car")
    paint, glass, rim = Paint.random(draw, 0.15), Paint((0.12, 0.15, 0.2)), Paint((0.7, 0.7, 0.72))
    long, wide, tall = draw.held(1.7, 2.3), draw.held(0.75, 0.95), draw.held(0.28, 0.42)
    wheel, axle = draw.held(0.3, 0.4), draw.held(0.55, 0.68) * long
    front, rear, high = draw.held(0.1, 0.45) * long, draw.held(-0.9, -0.45) * long, draw.held(0.4, 0.65)
    floor = 0.6 * wheel + tall
    made.part("car")
    made.box("car", (0, 0, floor), (long, wide, tall), paint)
    middle, half = 0.5 * (front + rear), 0.5 * (front - rear)
    made.box("car", (middle, 0, floor + tall + 0.45 * high), (half + 0.12, 0.9 * wide, 0.45 * high), glass)
    made.box("car", (middle, 0, floor + tall + 0.95 * high), (half, 0.88 * wide, 0.08), paint)
    for name, x in (("front", axle), ("rear", -axle)):
        for side, y in SIDES:
            outer = y * (wide + 0.03)
            made.rod("car", (x, y * (wide - 0.2), wheel), (x, outer, wheel), wheel, DARK, "cylinder")
            made.rod("car", (x, y * (wide - 0.1), wheel), (x, outer + 0.01 * y, wheel), 0.55 * wheel, rim, "cylinder")
            made.keypoint(f"{side} {name} wheel", "car", (x, outer, wheel), 0.3)
    for name, x, rgb in (("headlight", long, (1.0, 0.97, 0.8)), ("tail light", -long, (0.85, 0.06, 0.05))):
        for side, y in SIDES:
            at = (x, 0.72 * y * wide, floor + 0.25 * tall)
            made.ellipsoid("car", at, (0.05, 0.16, 0.1), Paint(rgb))
            made.keypoint(f"{side} {name}", "car", at, 0.2)
    for name, x in (("front", front), ("rear", rear)):
        made.keypoint(f"{name} of the roof", "car", (x, 0, floor + tall + high), 0.15)
    body = made.body()
    return body, body.pose({})


def bicycle(draw: Draw) -> tuple[Body, np.ndarray]:
    """A random bicycle, upright or a little inclined."""
    made = Sculptor("bicycle")
    frame, tyre, extra = Paint.random(draw, 0.05), DARK, Paint.random(draw, 0.1)
    r, base = draw.held(0.27, 0.37), draw.held(0.45, 0.56)
    tube, seat, bar = draw.held(0.016, 0.028), draw.held(0.3, 0.5), draw.held(0.2, 0.3)
    steer, crank = draw.held(-0.5, 0.5), draw.uniform(0, 2 * np.pi)
    made.part("frame")
    made.part("fork", "frame", (base - 0.14, 0, r + 0.42))
    hub = (0.14, 0.0, -0.42)
    front, rear, axle = "fork", "frame", (-0.05, 0.0, r - 0.05)
    saddle, head = (-0.2, 0.0, r + seat + 0.1), (base - 0.15, 0.0, r + 0.38)
    for part, centre in ((front, hub), (rear, (-base, 0.0, r))):
        ring = np.linspace(0, 2 * np.pi, 15)
        x, z = centre[0] + r * np.cos(ring), centre[2] + r * np.sin(ring)
        for i in range(len(ring) - 1):
            made.rod(part, (x[i], 0, z[i]), (x[i + 1], 0, z[i + 1]), 0.7 * tube, tyre)
        for i in range(0, 7, 2):
            made.rod(part, (x[i], 0, z[i]), (x[i + 7], 0, z[i + 7]), 0.004, Paint((0.7, 0.7, 0.7)))
        made.rod(part, (centre[0], -0.05, centre[2]), (centre[0], 0.05, centre[2]), 1.3 * tube, extra)
    for a, b in (
        (axle, saddle),
        (axle, head),
        (head, (-0.17, 0, r + 0.8 * seat)),
        (axle, (-base, 0, r)),
        ((-base, 0, r), (-0.17, 0, r + 0.8 * seat)),
    ):
        made.rod("frame", a, b, tube, frame)
    made.rod("fork", (0, 0, 0.12), hub, tube, frame)
    made.rod("fork", (-0.03, -bar, 0.16), (-0.03, bar, 0.16), 0.8 * tube, extra)
    made.ellipsoid("frame", (saddle[0] + 0.03, 0, saddle[2]), (0.14, 0.06, 0.035), extra)
    made.rod("frame", (axle[0], -0.03, axle[2]), (axle[0], 0.03, axle[2]), 0.09, DARK, "cylinder")
    made.keypoint("front wheel", front, hub, 0.09)
    made.keypoint("rear wheel", rear, (-base, 0, r), 0.09)
    made.keypoint("saddle", "frame", (saddle[0] + 0.03, 0, saddle[2]), 0.1)
    made.keypoint("cranks", "frame", axle, 0.14)
    for side, y in SIDES:
        made.ball("fork", (-0.03, y * bar, 0.16), 1.4 * tube, DARK)
        made.keypoint(f"{side} handlebar grip", "fork", (-0.03, y * bar, 0.16), 0.06)
    for side, y in SIDES:
        way = crank if y > 0 else crank + np.pi
        foot = (axle[0] + 0.17 * np.cos(way), 0.08 * y, axle[2] + 0.17 * np.sin(way))
        made.rod("frame", (axle[0], 0.06 * y, axle[2]), foot, 0.012, extra)
        made.box("frame", (foot[0], 0.12 * y, foot[2]), (0.05, 0.04, 0.015), DARK)
        made.keypoint(f"{side} pedal", "frame", (foot[0], 0.12 * y, foot[2]), 0.08)
    body = made.body()
    return body, body.pose({"frame": turn("x", draw.held(-0.25, 0.25)), "fork": turn("z", steer)})
