"""Chairs, tables and desk lamps."""

from __future__ import annotations

import numpy as np

from xpose_stream.training.world.body import Body, Paint, Sculptor, turn
from xpose_stream.training.world.draw import Draw

LEGS = (("left front", 1, 1), ("right front", 1, -1), ("left rear", -1, 1), ("right rear", -1, -1))


def _leg(made: Sculptor, kind: str, x: float, y: float, top: float, thick: float, paint: Paint) -> None:
    if kind == "box":
        made.box("frame", (x, y, top / 2), (thick, thick, top / 2), paint)
    else:
        made.rod("frame", (x, y, thick if kind == "capsule" else 0), (x, y, top), thick, paint, kind)


def chair(draw: Draw) -> tuple[Body, np.ndarray]:
    """A random chair with four legs, mostly on its feet."""
    made = Sculptor("chair")
    wood, cushion = Paint.random(draw, 0.15), Paint.random(draw, 0.3)
    deep, wide, seat = draw.held(0.18, 0.26), draw.held(0.18, 0.28), draw.held(0.38, 0.55)
    back, thick = draw.held(0.35, 0.65), draw.held(0.014, 0.028)
    made.part("frame")
    made.part("back", "frame", (-deep + thick, 0, seat))
    board = draw.held(0.012, 0.035)
    made.box("frame", (0, 0, seat), (deep, wide, board), cushion)
    kind = draw.pick({"box": 0.5, "capsule": 0.3, "cylinder": 0.2})
    for _, x, y in LEGS:
        _leg(made, kind, x * (deep - thick), y * (wide - thick), seat, thick, wood)
    for y in (1, -1):
        made.box("back", (0, y * (wide - thick), back / 2), (thick, thick, back / 2), wood)
    if draw.chance(0.45):  # one panel, else slats
        low = draw.uniform(0.05, 0.5) * back
        made.box("back", (0, 0, (low + back) / 2), (0.7 * thick, wide, (back - low) / 2), cushion)
    elif draw.chance(0.5):
        for z in np.linspace(back, draw.uniform(0.2, 0.5) * back, int(draw.rng.integers(2, 5))):
            made.box("back", (0, 0, z - thick), (0.6 * thick, wide, 1.2 * thick), wood)
    else:
        made.box("back", (0, 0, back - thick), (0.8 * thick, wide, 1.3 * thick), wood)
        for y in np.linspace(-0.7, 0.7, int(draw.rng.integers(2, 6))):
            made.box("back", (0, y * wide, back / 2), (0.5 * thick, 0.6 * thick, back / 2), wood)
    if draw.chance(0.25):  # arm rests
        for y in (1, -1):
            made.box("frame", (-0.1 * deep, y * wide, seat + 0.22), (0.85 * deep, 1.2 * thick, thick), wood)
            made.box("frame", (0.6 * deep, y * wide, seat + 0.11), (thick, thick, 0.11), wood)
    for name, x, y in LEGS:
        at = (x * (deep - 0.01), y * (wide - 0.01), seat + board)
        made.keypoint(f"{name} seat corner", "frame", at, 0.05)
    for name, x, y in LEGS:
        made.keypoint(f"{name} foot", "frame", (x * (deep - thick), y * (wide - thick), 0.01), 0.06)
    for side, y in (("left", 1), ("right", -1)):
        made.keypoint(f"{side} top of the back", "back", (0, y * (wide - thick), back - 0.01), 0.06)
    body = made.body()
    turns = {"back": turn("y", -draw.held(0, 0.25))}
    if draw.chance(0.03):  # it fell over
        turns["frame"] = turn("x", draw.held(-1.6, 1.6)) @ turn("y", draw.held(-1.6, 1.6))
    return body, body.pose(turns)


def table(draw: Draw) -> tuple[Body, np.ndarray]:
    """A random table with four legs, on its feet."""
    made = Sculptor("table")
    top, leg = Paint.random(draw, 0.35), Paint.random(draw, 0.1)
    deep, wide, height = draw.held(0.25, 0.5), draw.held(0.35, 0.8), draw.held(0.4, 0.9)
    thick, board = draw.held(0.02, 0.045), draw.held(0.012, 0.035)
    made.part("frame")
    made.box("frame", (0, 0, height), (deep, wide, board), top)
    kind = draw.pick({"box": 0.5, "capsule": 0.25, "cylinder": 0.25})
    for _, x, y in LEGS:
        _leg(made, kind, x * (deep - thick), y * (wide - thick), height, thick, leg)
    if draw.chance(0.4):  # boards under the top
        made.box("frame", (deep - thick, 0, height - 0.08), (0.6 * thick, wide - thick, 0.06), leg)
        made.box("frame", (thick - deep, 0, height - 0.08), (0.6 * thick, wide - thick, 0.06), leg)
    for name, x, y in LEGS:
        made.keypoint(f"{name} corner", "frame", (x * (deep - 0.01), y * (wide - 0.01), height + board), 0.06)
    for name, x, y in LEGS:
        made.keypoint(f"{name} foot", "frame", (x * (deep - thick), y * (wide - thick), 0.01), 0.09)
    body = made.body()
    return body, body.pose({})


def desk_lamp(draw: Draw) -> tuple[Body, np.ndarray]:
    """A random lamp of two arms, standing."""
    made = Sculptor("desk lamp")
    metal, shade, bulb = Paint.random(draw, 0.1), Paint.random(draw, 0.2), Paint((1.0, 0.95, 0.75))
    lower, upper, thick = draw.held(0.25, 0.4), draw.held(0.2, 0.36), draw.held(0.008, 0.014)
    foot, wide, deep = draw.held(0.07, 0.12), draw.held(0.05, 0.085), draw.held(0.09, 0.14)
    made.part("base")
    made.part("lower arm", "base", (0, 0, 0.06))
    made.part("upper arm", "lower arm", (0, 0, lower))
    made.part("shade", "upper arm", (0, 0, upper))
    made.rod("base", (0, 0, 0), (0, 0, 0.025), foot, metal, "cylinder")
    made.rod("base", (0, 0, 0.02), (0, 0, 0.06), 1.5 * thick, metal)
    made.rod("lower arm", (0, 0, 0), (0, 0, lower), thick, metal)
    made.rod("upper arm", (0, 0, 0), (0, 0, upper), thick, metal)
    for part in ("lower arm", "upper arm", "shade"):
        made.ball(part, (0, 0, 0), 1.9 * thick, metal)
    for share in (0.35, 0.55, 0.75, 1.0):  # the shade widens downward
        made.rod("shade", (0, 0, (share - 0.3) * deep), (0, 0, share * deep), share * wide, shade, "cylinder")
    made.ball("shade", (0, 0, 0.95 * deep), 0.45 * wide, bulb)
    made.keypoint("base", "base", (0, 0, 0.015), 1.4 * foot)
    made.keypoint("lower joint", "lower arm", (0, 0, 0), 0.05)
    made.keypoint("middle joint", "upper arm", (0, 0, 0), 0.05)
    made.keypoint("upper joint", "shade", (0, 0, 0), 0.05)
    made.keypoint("top of the shade", "shade", (0, 0, 0.1 * deep), 0.6 * wide)
    made.keypoint("mouth of the shade", "shade", (0, 0, deep), 1.3 * wide)
    body = made.body()
    lean, bend = draw.held(-0.6, 0.3), draw.held(0.5, 1.8)
    turns = {
        "lower arm": turn("y", lean),
        "upper arm": turn("y", bend),
        "shade": turn("z", draw.held(-0.4, 0.4)) @ turn("y", draw.held(1.9, 3.0) - lean - bend),
    }
    return body, body.pose(turns)
