"""Drones and aeroplanes."""

from __future__ import annotations

import numpy as np

from xpose_stream.training.world.body import Body, Paint, Sculptor, turn
from xpose_stream.training.world.draw import Draw

SIDES = (("left", 1), ("right", -1))


def _attitude(draw: Draw, root: str, most: float) -> dict[str, np.ndarray]:
    return {root: turn("y", draw.held(-most, most)) @ turn("x", draw.held(-1.3 * most, 1.3 * most))}


def drone(draw: Draw) -> tuple[Body, np.ndarray]:
    """A random drone of four motors, whose front is of another colour."""
    made = Sculptor("drone")
    hull, arm, blade = Paint.random(draw, 0.15), Paint.random(draw, 0.1), Paint.random(draw, 0.0)
    mark = arm.mark(draw, hull)
    long, wide, tall = draw.held(0.1, 0.16), draw.held(0.06, 0.1), draw.held(0.03, 0.055)
    ahead, aside, high = draw.held(0.15, 0.22), draw.held(0.17, 0.25), draw.held(0.0, 0.04)
    thick, blades = draw.held(0.011, 0.018), draw.held(0.07, 0.12)
    made.part("hull")
    if draw.chance(0.5):
        made.box("hull", (0, 0, 0), (long, 0.8 * wide, 0.8 * tall), hull)
    else:
        made.ellipsoid("hull", (0, 0, 0), (1.1 * long, wide, tall), hull)
    made.ellipsoid("hull", (0.85 * long, 0, 0), (0.35 * long, 0.75 * wide, 0.8 * tall), mark)
    made.ball("hull", (1.15 * long, 0, -0.3 * tall), 0.9 * tall, Paint((0.04, 0.04, 0.05)))
    spread = draw.chance(0.7)
    foot = -tall - draw.held(0.05, 0.11)
    motors = {}
    for name, x in (("front", 1), ("rear", -1)):
        for side, y in SIDES:
            at = (x * ahead, y * aside, high)
            paint = mark if x > 0 else arm
            made.rod("hull", (0.5 * x * long, 0.5 * y * wide, 0), at, thick, paint)
            made.rod("hull", (at[0], at[1], high - 0.015), (at[0], at[1], high + 0.025), 1.7 * thick, paint, "cylinder")
            motors[f"{side} {name} motor"] = (at[0], at[1], high + 0.01)
            if spread:
                twist = turn("z", draw.uniform(0, np.pi))
                made.ellipsoid("hull", (at[0], at[1], high + 0.032), (blades, 0.011, 0.004), blade, twist)
    for _, y in SIDES:
        for x in (1, -1):
            made.rod("hull", (0.5 * x * long, 0.5 * y * wide, 0), (0.55 * x * long, y * wide, foot), 0.008, arm)
        made.rod("hull", (-long, y * wide, foot), (long, y * wide, foot), 0.010, arm)
    made.keypoint("nose", "hull", (1.15 * long, 0, 0), 0.05)
    made.keypoint("tail", "hull", (-long, 0, 0), 0.04)
    for name, place in motors.items():
        made.keypoint(name, "hull", place, 0.05)
    for side, y in SIDES:
        made.keypoint(f"{side} landing foot", "hull", (0, y * wide, foot), 0.035)
    body = made.body()
    return body, body.pose(_attitude(draw, "hull", 0.3))


def aeroplane(draw: Draw) -> tuple[Body, np.ndarray]:
    """A random aeroplane with one pair of wings."""
    made = Sculptor("aeroplane")
    hull, wing, extra = Paint.random(draw, 0.2), Paint.random(draw, 0.2), Paint.random(draw, 0.1)
    thick, span, chord = draw.held(0.06, 0.1), draw.held(0.4, 0.65), draw.held(0.07, 0.12)
    sweep, rise, at = draw.held(-0.05, 0.35), draw.held(-0.05, 0.2), draw.held(-0.05, 0.14)
    tail, fin = draw.held(0.14, 0.24), draw.held(0.12, 0.22)
    set_wing = draw.pick({"low": 0.5, "high": 0.5})
    made.part("hull")
    made.ellipsoid("hull", (0.1, 0, 0), (0.42, thick, thick), hull)
    made.rod("hull", (0.1, 0, 0), (-0.5, 0, 0.15 * thick), 0.55 * thick, hull)
    glass = Paint((0.1, 0.13, 0.18)) if draw.chance(0.6) else Paint((0.75, 0.88, 0.95))
    made.ellipsoid("hull", (0.28, 0, 0.6 * thick), (0.11, 0.62 * thick, 0.6 * thick), glass)
    height = 0.5 * thick * (1 if set_wing == "high" else -1)
    tips = {}
    for side, y in SIDES:
        swept = turn("z", y * sweep) @ turn("x", y * rise)
        tip = swept @ np.array([0, y * span, 0.0])
        middle = (at + tip[0] / 2, tip[1] / 2, height + tip[2] / 2)
        made.ellipsoid("hull", middle, (chord, 0.54 * span, 0.014), wing, swept)
        made.box(
            "hull",
            (at + 0.44 * tip[0], 0.44 * tip[1], height + 0.44 * tip[2]),
            (0.75 * chord, 0.46 * span, 0.009),
            wing,
            swept,
        )
        tips[side] = (at + 0.99 * tip[0], 0.99 * tip[1], height + 0.99 * tip[2])
        if draw.chance(0.35):
            under = (at + 0.35 * tip[0] + 0.5 * chord, 0.35 * tip[1], height + 0.35 * tip[2] - 0.02)
            made.rod("hull", under, (under[0] - 0.1, under[1], under[2]), 0.03, extra)
    for _, y in SIDES:
        made.box("hull", (-0.5, y * tail / 2, 0.3 * thick), (0.05, tail / 2, 0.008), wing, turn("z", 0.2 * y))
    made.box("hull", (-0.52, 0, 0.3 * thick + fin / 2), (0.055, 0.008, fin / 2), extra, turn("y", -0.25))
    if draw.chance(0.4):  # a propeller
        made.ellipsoid("hull", (0.53, 0, 0), (0.006, 0.16, 0.014), extra, turn("x", draw.uniform(0, np.pi)))
    made.keypoint("nose", "hull", (0.51, 0, 0), 0.06)
    made.keypoint("cockpit", "hull", (0.28, 0, 1.1 * thick), 0.05)
    for side, _ in SIDES:
        made.keypoint(f"{side} wing tip", "hull", tips[side], 0.05)
    for side, y in SIDES:
        made.keypoint(f"{side} tailplane tip", "hull", (-0.5 - 0.2 * tail, 0.94 * y * tail, 0.3 * thick), 0.045)
    made.keypoint("top of the fin", "hull", (-0.52 - 0.12 * fin, 0, 0.3 * thick + 0.95 * fin), 0.045)
    made.keypoint("tail", "hull", (-0.5 - 0.4 * thick, 0, 0.15 * thick), 0.05)
    body = made.body()
    return body, body.pose(_attitude(draw, "hull", 0.4))
