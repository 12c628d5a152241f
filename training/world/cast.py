"""Who acts in the demo clips: persons who walk to and fro, a dog, a robot arm at work, a chair."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Protocol

import numpy as np

from xpose_stream.training.world.arm import reach, sculpt
from xpose_stream.training.world.body import Body, Paint, Placed
from xpose_stream.training.world.draw import Draw
from xpose_stream.training.world.figure import PART, Figure
from xpose_stream.training.world.furniture import chair
from xpose_stream.training.world.pose import Gait, rotations, walk, within_limits
from xpose_stream.training.world.quadruped import Animal, Trot, trot

DISTANCE = 4.5  # m, of the camera from the middle of the room
HALF_VIEW = np.tan(np.radians(18)) * 4 / 3  # half the width of what it sees, per metre ahead
LANES = (0.5, 0.0, -0.5)  # m, towards the camera
DOG_LANE = 0.6
ARM_STAND = np.array([1.0, -0.9]), 0.35  # m, its place on the floor and how high it is
CHAIR = np.array([0.9, 1.05])
PERIOD = 9.0  # s, of a walk to and fro


class Actor(Protocol):
    """Somebody or something that moves."""

    def at(self, time: float) -> Placed:
        """Its body at a time (s); the times must ascend."""


@dataclass(frozen=True, slots=True)
class Route:
    """A smooth closed path on the floor: amplitudes (m) and phases (rad) of x and y [2, 2]."""

    amplitude: np.ndarray
    phase: np.ndarray
    centre: np.ndarray

    @classmethod
    def across(cls, lane: float, phase: float, draw: Draw, margin: float = 0.5) -> Route:
        """To and fro across the view (y) in a lane (x), up to about a margin (m) from the edge of the view."""
        half = (DISTANCE - lane) * HALF_VIEW
        amplitude = np.array(
            [[0.12, draw.uniform(0, 0.03)], [half - draw.uniform(margin - 0.05, margin + 0.05), draw.uniform(0, 0.05)]]
        )
        # x a quarter of a walk ahead of y: an ellipse, on which nobody turns on the spot
        phases = np.array([[phase + 0.5 * np.pi, 0.0], [phase, 0.0]])
        return cls(amplitude, phases, np.array([lane, 0.0]))

    def way(self, time: float) -> tuple[np.ndarray, float, float]:
        """The place [2] m at a time (s), the heading (rad) and the speed (m/s)."""
        before, at, after = self._at(time + np.array([-0.05, 0.0, 0.05]))
        x, y = (after - before) / 0.1
        return at, float(np.arctan2(y, x)), float(np.hypot(x, y))

    def _at(self, time: np.ndarray) -> np.ndarray:
        angle = 2 * np.pi / PERIOD * time[:, None, None] * np.array([1, 2]) + self.phase
        return self.centre + (self.amplitude * np.sin(angle)).sum(-1)


@dataclass(frozen=True, slots=True)
class Gesture:
    """Something an arm does from a time to a time, s."""

    kind: str
    side: str
    begin: float
    end: float

    def blend(self, pose: np.ndarray, time: float) -> None:
        """Moves the arm of a pose as far as the gesture has got."""
        ramp = np.clip(min(time - self.begin, self.end - time) / 0.5, 0, 1)
        share = ramp * ramp * (3 - 2 * ramp)
        arm, bend = {
            "wave": ((0.2, 2.3, 0.2), 0.75 + 0.45 * np.sin(2 * np.pi * 1.6 * time)),
            "reach": ((1.55, 0.15, 0.1), 0.25),
            "phone": ((0.75, 0.35, 0.35), 2.25),
        }[self.kind]
        upper, fore = PART[f"{self.side}_arm"], PART[f"{self.side}_forearm"]
        pose[upper] += share * (np.array(arm) - pose[upper])
        pose[fore, 0] += share * (bend - pose[fore, 0])


@dataclass(slots=True)
class Walker:
    """A figure on its way: its style, its route, what it does, and how far its steps are (1 = two steps)."""

    figure: Figure
    gait: Gait
    route: Route
    gestures: tuple[Gesture, ...]
    phase: float = 0.0
    last: float = 0.0
    body: Body = field(init=False)

    def __post_init__(self) -> None:
        self.body = self.figure.body()

    def at(self, time: float) -> Placed:
        """The walker at a time."""
        place, heading, speed = self.route.way(time)
        gait = self._stride(speed)
        self.phase += (time - self.last) / gait.period
        self.last = time
        pose = walk(self.phase, gait, self.figure.build)
        for gesture in self.gestures:
            gesture.blend(pose, time)
        return self.body.put(rotations(within_limits(pose)), place, heading)

    def _stride(self, speed: float) -> Gait:
        """The gait at a speed (m/s): slower steps are shorter, lower and less frequent."""
        gait, leg = self.gait, sum(self.figure.build.legs)
        period = gait.period * float(np.clip(speed, 0.35, 1.6)) ** -0.4
        ease = min(1.0, speed / 0.9)
        return replace(
            gait,
            step=min(speed * gait.duty * period / leg, 1.1),
            period=period,
            lift=min(gait.lift, 0.14) * ease,
            swing=(0.25 + 0.5 * gait.swing) * ease,
            elbow=0.5 * gait.elbow,
            lean=0.6 * gait.lean,
        )


@dataclass(slots=True)
class Dog:
    """An animal that trots along its route."""

    animal: Animal
    gait: Trot
    body: Body
    route: Route
    phase: float = 0.0
    last: float = 0.0

    def at(self, time: float) -> Placed:
        """The dog at a time."""
        place, heading, speed = self.route.way(time)
        swing = self.gait.swing * min(1.0, 0.3 + speed)
        # in one stride each foot goes over the ground twice as far as it swings
        self.phase += (time - self.last) * speed / (4 * swing * self.animal.leg * self.animal.height)
        self.last = time
        turns = trot(self.phase, replace(self.gait, swing=swing, bend=min(self.gait.bend, 2 * swing)), self.animal)
        return self.body.put(self.body.pose(turns), place, heading)


@dataclass(frozen=True, slots=True)
class Robot:
    """An arm that reaches here and there, on a box of this height (m)."""

    body: Body
    place: np.ndarray
    height: float

    def at(self, time: float) -> Placed:
        """The arm at a time."""
        angle = 2 * np.pi * time
        yaw = 0.5 + 1.1 * np.sin(angle / 8)
        shoulder = 0.35 + 0.35 * np.sin(angle / 5)
        elbow = 1.15 + 0.45 * np.sin(angle / 6 + 1)
        pose = reach(self.body, yaw, shoulder, elbow, 0.4 * np.sin(angle / 4), 0.9 * np.sin(angle / 7))
        return self.body.put(pose, self.place, above=self.height)


@dataclass(frozen=True, slots=True)
class Still:
    """Something that stands where it stands."""

    placed: Placed

    def at(self, time: float) -> Placed:
        """The same at every time."""
        return self.placed


def walkers(draw: Draw) -> list[Actor]:
    """Three persons, each in a lane, evenly out of step: any two cross in mid-walk, when both are fast."""
    plans = (
        (Gesture("wave", "right", 2.5, 5.5), Gesture("reach", "left", 12.2, 14.7)),
        (Gesture("phone", "left", 6, 11),),
        (Gesture("reach", "right", 9, 11), Gesture("wave", "left", 18, 21.5)),
    )
    routes = [Route.across(lane, 2 * np.pi * i / len(LANES), draw) for i, lane in enumerate(LANES)]
    cast = [_walker(draw, route, gestures) for route, gestures in zip(routes, plans, strict=True)]
    for walker, phase in zip(cast, draw.rng.random(len(cast)), strict=True):
        walker.phase = float(phase)
    return list(cast)


def _walker(draw: Draw, route: Route, gestures: tuple[Gesture, ...]) -> Walker:
    figure = Figure.random(draw)
    # nobody goes out in underwear
    figure = replace(figure, outfit=replace(figure.outfit, leggings=max(1, figure.outfit.leggings)))
    return Walker(figure, Gait.random(draw), route, gestures)


def company(draw: Draw) -> list[Actor]:
    """A person who walks behind a dog, between a robot arm and a chair."""
    animal = replace(Animal.random(draw), height=0.62, leg=0.56, length=1.2, neck=0.3, carriage=0.8, snout=0.15)
    dog = Dog(
        animal,
        replace(Trot.random(draw, animal), swing=0.45, neck=0.8),
        animal.body(Paint((0.72, 0.45, 0.2)), Paint((0.25, 0.15, 0.1))),
        Route.across(DOG_LANE, 0.8, draw, margin=1.15),
    )
    seat, pose = chair(draw)
    return [
        _walker(draw, Route.across(LANES[-1], 0.0, draw, margin=1.0), ()),
        dog,
        Robot(sculpt(draw).scaled(1.2), *ARM_STAND),
        Still(seat.scaled(1.2).put(pose, CHAIR, 0.3)),
    ]
