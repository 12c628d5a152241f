"""Birds, on their legs or in the air."""

from __future__ import annotations

import numpy as np

from xpose_stream.training.world.body import Body, Paint, Sculptor, turn
from xpose_stream.training.world.draw import Draw

SIDES = (("left", 1), ("right", -1))


def bird(draw: Draw) -> tuple[Body, np.ndarray]:
    """A random bird with folded or spread wings."""
    made = Sculptor("bird")
    feathers, horn, dark = Paint.random(draw, 0.2), Paint((0.9, 0.6, 0.15)), Paint((0.04, 0.04, 0.05))
    wing = Paint.random(draw, 0.25) if draw.chance(0.6) else feathers
    long, thick, head = draw.held(0.12, 0.18), draw.held(0.06, 0.095), draw.held(0.042, 0.06)
    beak, tail, leg = draw.held(0.03, 0.08), draw.held(0.08, 0.18), draw.held(0.05, 0.16)
    arm, hand, neck = draw.held(0.12, 0.2), draw.held(0.12, 0.22), draw.held(0.04, 0.12)
    made.part("trunk")
    made.part("head", "trunk", (0.8 * long, 0, 0.4 * thick))
    made.part("tail", "trunk", (-0.85 * long, 0, 0.1 * thick))
    made.ellipsoid("trunk", (0, 0, 0), (long, 0.85 * thick, thick), feathers)
    made.ellipsoid("tail", (-0.5 * tail, 0, 0), (0.62 * tail, 0.3 * tail, 0.012), wing)
    at = (0.6 * neck, 0.0, neck)
    made.rod("head", (-0.02, 0, -0.02), at, 0.65 * head, feathers)
    made.ball("head", at, head, feathers)
    made.ellipsoid(
        "head", (at[0] + head + 0.4 * beak, 0, at[2] - 0.1 * head), (0.65 * beak, 0.3 * head, 0.25 * head), horn
    )
    made.keypoint("beak", "head", (at[0] + head + beak, 0, at[2] - 0.1 * head), 0.03)
    made.keypoint("crown", "head", (at[0], 0, at[2] + 0.95 * head), 0.03)
    for side, y in SIDES:
        eye = (at[0] + 0.5 * head, 0.8 * head * y, at[2] + 0.35 * head)
        made.ball("head", eye, 0.22 * head, dark)
        made.keypoint(f"{side} eye", "head", eye, 0.03)
    made.keypoint("breast", "trunk", (0.85 * long, 0, -0.35 * thick), 0.05)
    made.keypoint("tail", "tail", (-1.08 * tail, 0, 0), 0.03)
    for side, y in SIDES:
        made.part(f"{side} wing", "trunk", (0.45 * long, 0.7 * thick * y, 0.45 * thick))
        made.part(f"{side} wing tip", f"{side} wing", (0, arm * y, 0))
        made.ellipsoid(f"{side} wing", (-0.02, 0.5 * arm * y, 0), (0.06, 0.6 * arm, 0.016), wing)
        made.ellipsoid(f"{side} wing tip", (-0.02, 0.5 * hand * y, 0), (0.045, 0.56 * hand, 0.011), wing)
        made.part(f"{side} leg", "trunk", (-0.1 * long, 0.4 * thick * y, -0.8 * thick))
        made.rod(f"{side} leg", (0, 0, 0.02), (0, 0, -leg), 0.009, horn)
        made.ellipsoid(f"{side} leg", (0.02, 0, -leg), (0.04, 0.022, 0.008), horn)
    for side, _ in SIDES:
        made.keypoint(f"{side} wing root", f"{side} wing", (0, 0, 0), 0.06)
    for side, y in SIDES:
        made.keypoint(f"{side} wing tip", f"{side} wing tip", (-0.02, 1.04 * hand * y, 0), 0.03)
    for side, _ in SIDES:
        made.keypoint(f"{side} foot", f"{side} leg", (0.01, 0, -leg), 0.03)
    body = made.body()
    spread = draw.chance(0.5)
    flap, fold = draw.held(-0.6, 0.9), draw.held(0.0, 0.6)
    turns = {
        "trunk": turn("y", draw.held(-0.3, 0.1) if spread else -draw.held(0.1, 0.8)),
        "head": turn("z", draw.held(-0.6, 0.6)) @ turn("y", draw.held(0.0, 0.6)),
        "tail": turn("y", draw.held(-0.3, 0.3)),
    }
    for side, y in SIDES:
        if spread:
            turns[f"{side} wing"] = turn("z", 0.3 * y * fold) @ turn("x", y * flap)
            turns[f"{side} wing tip"] = turn("z", 0.6 * y * fold) @ turn("x", -0.5 * y * flap)
        else:  # along the flanks
            turns[f"{side} wing"] = turn("z", 1.35 * y) @ turn("x", -0.5 * y)
            turns[f"{side} wing tip"] = turn("z", 0.15 * y)
        turns[f"{side} leg"] = turn("y", draw.held(0.3, 1.2) if spread else draw.held(0.0, 0.6))
    return body, body.pose(turns)
