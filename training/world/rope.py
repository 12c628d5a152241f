"""Ropes with a knot at one end: hanging, lying or in the air."""

from __future__ import annotations

import numpy as np

from xpose_stream.training.world.body import Body, Paint, Sculptor, turn
from xpose_stream.training.world.draw import Draw

LINKS = 20
MARKS = {0: "knot", 5: "first quarter", 10: "middle", 15: "last quarter", 20: "loose end"}


def sculpt(draw: Draw) -> Body:
    """A rope 1 m long; its links are parts, each along its own x."""
    made = Sculptor("rope")
    length, thick = 1.0 / LINKS, draw.held(0.02, 0.036)
    cord = Paint.random(draw, 0.25)
    second = cord.mark(draw) if draw.chance(0.35) else cord
    parent = None
    for i in range(LINKS + 1):
        part = made.part(f"link {i}", parent, (0.0 if i == 0 else length, 0, 0))
        if i < LINKS:
            made.rod(part, (0, 0, 0), (length, 0, 0), thick, second if i % 2 else cord)
        parent = part
    knot = cord.mark(draw) if draw.chance(0.5) else cord
    made.ball("link 0", (0, 0, 0), draw.held(2.0, 2.5) * thick, knot)
    made.ellipsoid("link 0", (0.5 * length, 0, 0), (1.2 * thick, 1.9 * thick, 1.9 * thick), knot)
    for i, name in MARKS.items():
        made.keypoint(name, f"link {i}", (0, 0, 0), 4.5 * thick if i == 0 else 2.2 * thick)
    return made.body()


def rope(draw: Draw) -> tuple[Body, np.ndarray]:
    """A random rope in a random, smooth curve."""
    body = sculpt(draw)
    along = np.linspace(0, 1, LINKS + 1)

    def bends(most: float) -> np.ndarray:
        """Angles between links: three slow waves."""
        waves = [draw.held(-1, 1) * np.cos(np.pi * n * along + draw.uniform(0, 2 * np.pi)) for n in (0.5, 1, 2)]
        return most * np.sum(waves, axis=0) / len(waves) / LINKS

    kind = draw.pick({"hanging": 0.3, "slack": 0.25, "lying": 0.25, "free": 0.2})
    if kind == "hanging":
        start, rise, side = turn("y", np.pi / 2 * (1 if draw.chance(0.8) else -1)), bends(5.0), bends(5.0)
    elif kind == "slack":  # both ends up
        start, rise, side = turn("y", draw.held(0.6, 1.4)), np.full(LINKS + 1, -draw.held(1.4, 2.9) / LINKS), bends(4.0)
    elif kind == "lying":
        start, rise, side = np.eye(3), np.zeros(LINKS + 1), bends(10.0)
    else:
        start, rise, side = turn("y", draw.held(-1, 1)), bends(8.0), bends(8.0)
    turns = {f"link {i}": turn("z", side[i]) @ turn("y", rise[i]) for i in range(1, LINKS)}
    turns["link 0"] = start
    return body, body.pose(turns)
