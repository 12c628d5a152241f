"""Robot arms: a base, a turret, two links, a wrist and a gripper of one long and one short finger."""

from __future__ import annotations

import numpy as np

from xpose_stream.training.world.body import Body, Paint, Point, Sculptor, turn
from xpose_stream.training.world.draw import Draw


def sculpt(draw: Draw) -> Body:
    """An arm of the draw's split, about 1 m long."""
    made = Sculptor("robot arm")
    link, joint, foot = Paint.random(draw, 0.1), Paint.random(draw, 0.1), Paint.random(draw, 0.2)
    upper, fore, hand = draw.held(0.32, 0.5), draw.held(0.28, 0.45), draw.held(0.08, 0.14)
    stand, thick = draw.held(0.1, 0.3), draw.held(0.035, 0.06)
    kind = draw.pick({"capsule": 0.5, "cylinder": 0.25, "box": 0.25})
    made.part("base")
    made.part("turret", "base", (0, 0, 0.08))
    made.part("upper arm", "turret", (0, 0, stand))
    made.part("forearm", "upper arm", (0, 0, upper))
    made.part("wrist", "forearm", (0, 0, fore))
    made.part("gripper", "wrist", (0, 0, hand))

    def bar(part: str, length: float, radius: float, paint: Paint) -> None:
        if kind == "box":
            made.box(part, (0, 0, length / 2), (radius, 0.8 * radius, length / 2), paint)
        else:
            made.rod(part, (0, 0, 0), (0, 0, length), radius, paint, kind)

    wide = draw.held(0.12, 0.2)
    if draw.chance(0.5):
        made.box("base", (0, 0, 0.03), (wide, wide, 0.05), foot)
    else:
        made.rod("base", (0, 0, -0.02), (0, 0, 0.08), wide, foot, "cylinder")
    made.rod("turret", (0, 0, 0), (0, 0, stand), 1.5 * thick, link, "cylinder")
    bar("upper arm", upper, 0.95 * thick, link)
    bar("forearm", fore, 0.75 * thick, link)
    bar("wrist", hand, 0.5 * thick, link)
    for part, size in (("upper arm", 1.5), ("forearm", 1.3), ("wrist", 1.05)):
        made.rod(part, (0, -size * thick, 0), (0, size * thick, 0), 1.1 * size * thick, joint, "cylinder")
    palm, gap = 0.9 * thick, draw.held(0.03, 0.07)
    long, short = draw.held(0.13, 0.18), draw.held(0.05, 0.08)
    made.box("gripper", (0, 0, 0.02), (palm, palm + gap, 0.025), joint)
    tips: list[tuple[str, Point]] = []
    for name, y, reach in (("long", gap, long), ("short", -gap, short)):
        made.box("gripper", (0, y, 0.03 + reach / 2), (0.45 * thick, 0.014, reach / 2), link)
        tips.append((f"{name} finger tip", (0, y, 0.025 + reach)))
    made.keypoint("base", "base", (0, 0, 0.03), 1.5 * wide)
    made.keypoint("shoulder", "upper arm", (0, 0, 0), 2.4 * thick)
    made.keypoint("elbow", "forearm", (0, 0, 0), 2.1 * thick)
    made.keypoint("wrist", "wrist", (0, 0, 0), 1.8 * thick)
    made.keypoint("gripper", "gripper", (0, 0, 0.02), palm + gap + 0.01)
    for name, place in tips:
        made.keypoint(name, "gripper", place, 0.8 * thick)
    return made.body()


def reach(body: Body, yaw: float, shoulder: float, elbow: float, wrist: float, roll: float) -> np.ndarray:
    """The pose at these joint angles, rad; all 0: straight up."""
    return body.pose(
        {
            "turret": turn("z", yaw),
            "upper arm": turn("y", shoulder),
            "forearm": turn("y", elbow),
            "wrist": turn("y", wrist),
            "gripper": turn("z", roll),
        }
    )


def robot_arm(draw: Draw) -> tuple[Body, np.ndarray]:
    """A random arm in a random pose that stays above its floor."""
    body = sculpt(draw)
    for _ in range(8):
        angles = draw.held(-3.1, 3.1), draw.held(-0.9, 1.3), draw.held(-0.3, 2.3), draw.held(-1.4, 1.4)
        pose = reach(body, *angles, draw.held(-3.1, 3.1))
        placed = body.put(pose, np.zeros(2))
        if placed.keypoints[0, 2] < 0.1:  # the base rests on the floor: nothing else reached lower
            break
    return body, pose
