"""The categories of the world. Each has a skeleton of the same name in `configs/skeletons/`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from training.world.aircraft import aeroplane, drone
from training.world.arm import robot_arm
from training.world.bird import bird
from training.world.body import Body
from training.world.draw import Draw
from training.world.furniture import chair, desk_lamp, table
from training.world.hand import hand
from training.world.mug import mug
from training.world.pose import person
from training.world.quadruped import quadruped
from training.world.rope import rope
from training.world.vehicle import bicycle, car


@dataclass(frozen=True, slots=True)
class Category:
    """A kind of body. `random` makes one of the draw's split and a pose [N, 3, 3] of it.

    `share`: how often it is met, relative to the others; `aloft`: how often it is off the floor.
    """

    name: str
    random: Callable[[Draw], tuple[Body, np.ndarray]]
    share: float
    aloft: float = 0.0


TRAINED = (
    Category("person", person, 0.30, 0.05),
    Category("quadruped", quadruped, 0.12),
    Category("robot arm", robot_arm, 0.10),
    Category("hand", hand, 0.12, 0.8),
    Category("chair", chair, 0.07),
    Category("table", table, 0.06),
    Category("mug", mug, 0.06, 0.5),
    Category("drone", drone, 0.06, 0.85),
    Category("rope", rope, 0.06, 0.5),
    Category("aeroplane", aeroplane, 0.05, 0.8),
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
