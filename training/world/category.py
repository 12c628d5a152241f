"""The categories of the world. Each has a skeleton of the same name in `configs/skeletons/`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from xpose_stream.training.world.aircraft import aeroplane, drone
from xpose_stream.training.world.arm import robot_arm
from xpose_stream.training.world.bird import bird
from xpose_stream.training.world.body import Body
from xpose_stream.training.world.draw import Draw
from xpose_stream.training.world.furniture import chair, desk_lamp, table
from xpose_stream.training.world.hand import hand
from xpose_stream.training.world.mug import mug
from xpose_stream.training.world.pose import person
from xpose_stream.training.world.quadruped import quadruped
from xpose_stream.training.world.rope import rope
from xpose_stream.training.world.vehicle import bicycle, car


@dataclass(frozen=True, slots=True)
class Category:
    """A kind of body. `random` makes one of the draw's split and a pose [N, 3, 3] of it.

    `share`: how often it is met, relative to the others; `aloft`: how often it is off the floor; `turned`: how far its
    front may be turned away from the camera, rad.
    """

    name: str
    random: Callable[[Draw], tuple[Body, np.ndarray]]
    share: float
    aloft: float = 0.0
    turned: float = np.pi


TRAINED = (
    # people are mostly filmed from the front or the side
    Category("person", person, 0.30, 0.05, turned=0.7 * np.pi),
    Category("quadruped", quadruped, 0.10),
    Category("robot arm", robot_arm, 0.08),
    Category("hand", hand, 0.10, 0.8, turned=0.35 * np.pi),
    # what only a detail tells the front of shows it; the front of a table is the side that faces who looks at it
    Category("chair", chair, 0.08, turned=0.35 * np.pi),
    Category("table", table, 0.08, turned=0.25 * np.pi),
    Category("mug", mug, 0.08, 0.5, turned=0.6 * np.pi),
    Category("drone", drone, 0.08, 0.85, turned=0.3 * np.pi),
    Category("rope", rope, 0.08, 0.5),
    Category("aeroplane", aeroplane, 0.08, 0.8, turned=0.4 * np.pi),
)
# kept for the test of prompts by example: in no picture that a model is trained on
UNSEEN = (
    Category("car", car, 0.25),
    Category("bicycle", bicycle, 0.25),
    Category("bird", bird, 0.25, 0.4),
    Category("desk lamp", desk_lamp, 0.25),
)
CATEGORIES = tuple(category.name for category in TRAINED + UNSEEN)
LONGEST = 21  # keypoints, of a hand
