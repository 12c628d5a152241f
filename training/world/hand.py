"""Hands, left and right, bare or gloved, with 21 keypoints."""

from __future__ import annotations

import numpy as np

from xpose_stream.training.world.body import Body, Paint, Point, Sculptor, turn
from xpose_stream.training.world.draw import Draw

# name: root across the palm and along it (shares of the palm), lengths of the three bones (m)
FINGERS = {
    "index finger": (0.36, 1.0, (0.045, 0.027, 0.022)),
    "middle finger": (0.12, 1.04, (0.050, 0.031, 0.023)),
    "ring finger": (-0.12, 0.99, (0.046, 0.029, 0.023)),
    "little finger": (-0.36, 0.90, (0.036, 0.022, 0.020)),
}
BONES = ("lower", "middle", "upper")
JOINTS = ("root", "first joint", "second joint")


def sculpt(draw: Draw, side: int) -> Body:
    """A hand of the draw's split: fingers up, palm forward; `side` 1: thumb to y, a right hand, -1: a left hand."""
    made = Sculptor("hand")
    tone = draw.held(0, 1)
    skin = Paint.of(np.array([0.95, 0.78, 0.66]) * (1 - tone) + np.array([0.34, 0.21, 0.14]) * tone)
    if draw.chance(0.15):  # a glove
        skin = Paint.random(draw, 0.3)
    nail = Paint.of(np.clip(np.array(skin.rgb) * 1.1 + 0.1, 0, 1)) if draw.chance(0.7) else skin.mark(draw)
    sleeve = Paint.random(draw) if draw.chance(0.6) else skin
    wide, long = draw.held(0.075, 0.09), draw.held(0.085, 0.1)
    stretch, thick = draw.held(0.9, 1.15), draw.held(0.0075, 0.0095)
    made.part("forearm")
    made.part("palm", "forearm")
    made.rod("forearm", (0, 0, -0.015), (0, 0, -draw.uniform(0.05, 0.12)), 0.0265, sleeve)
    made.ellipsoid("forearm", (0, 0, 0), (0.019, 0.026, 0.03), skin)
    made.ellipsoid("palm", (0.002, 0, 0.52 * long), (0.014, 0.52 * wide, 0.56 * long), skin)
    made.ellipsoid("palm", (0.009, 0.26 * wide * side, 0.3 * long), (0.013, 0.2 * wide, 0.32 * long), skin)
    made.keypoint("wrist", "palm", (0, 0, 0), 0.034)
    lengths = tuple(stretch * length for length in (0.044, 0.034, 0.028))
    _finger(made, "thumb", (0.006, 0.30 * wide * side, 0.2 * long), lengths, 1.2 * thick, skin, nail)
    for name, (across, up, bones) in FINGERS.items():
        root = (0.0, across * wide * side, up * long)
        made.rod("palm", (0, 0.5 * root[1], 0.15 * long), root, 1.2 * thick, skin)
        lengths = tuple(stretch * bone for bone in bones)
        _finger(made, name, root, lengths, thick * (0.88 if name == "little finger" else 1.0), skin, nail)
    return made.body()


def _finger(
    made: Sculptor, name: str, root: Point, lengths: tuple[float, ...], thick: float, skin: Paint, nail: Paint
) -> None:
    parent, at = "palm", root
    for bone, joint, length, taper in zip(BONES, JOINTS, lengths, (1.0, 0.92, 0.84), strict=True):
        part = made.part(f"{name} {bone}", parent, at)
        made.rod(part, (0, 0, 0), (0, 0, length), taper * thick, skin)
        made.keypoint(f"{name} {joint}", part, (0, 0, 0), 2.2 * thick)
        parent, at = part, (0.0, 0.0, length)
    tip = lengths[-1]
    made.ellipsoid(parent, (-0.62 * thick, 0, tip), (0.3 * thick, 0.55 * thick, 0.8 * thick), nail)
    made.keypoint(f"{name} tip", parent, (0, 0, tip + 0.2 * thick), 1.8 * thick)


def hand(draw: Draw) -> tuple[Body, np.ndarray]:
    """A random hand in a random gesture, mostly upright."""
    side = 1 if draw.chance(0.5) else -1
    body = sculpt(draw, side)
    gesture = draw.pick({"open": 0.45, "relaxed": 0.3, "point": 0.08, "count": 0.14, "fist": 0.03})
    turns = {"palm": turn("x", draw.held(-0.3, 0.3)) @ turn("y", draw.held(-0.5, 0.5))}
    spread = draw.held(0.0, 0.16)
    for number, name in enumerate(FINGERS):
        curled = {
            "open": 0.0,
            "relaxed": 0.45,
            "point": float(number > 0),
            "count": float(draw.chance(0.5)),
            "fist": 1.0,
        }[gesture]
        bend = 0.85 * curled + draw.held(0, 0.2)
        aside = turn("x", side * spread * (number - 1.4))
        turns[f"{name} lower"] = aside @ turn("y", 1.45 * bend)
        turns[f"{name} middle"] = turn("y", 1.7 * bend + draw.held(0, 0.1))
        turns[f"{name} upper"] = turn("y", 1.0 * bend)
    folded = {"open": 0.0, "relaxed": 0.3, "fist": 1.0}.get(gesture, float(draw.chance(0.6)))
    inward = turn("x", -side * (draw.held(0.65, 1.0) - 0.45 * folded)) @ turn("y", 0.15 + 0.6 * folded)
    turns["thumb lower"] = inward
    turns["thumb middle"] = turn("x", side * (0.1 + 0.55 * folded)) @ turn("y", 0.35 * folded)
    turns["thumb upper"] = turn("x", side * (0.05 + 0.6 * folded))
    tilt = 0.45 if draw.chance(0.9) else 1.2
    turns["forearm"] = turn("x", draw.held(-tilt, tilt)) @ turn("y", draw.held(-tilt, tilt))
    return body, body.pose(turns)
