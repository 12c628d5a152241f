"""Four-legged animals, between cat, dog, pig and horse in their proportions; keypoints as in AP-10K."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from xpose_stream.training.world.body import Body, Paint, Sculptor, turn
from xpose_stream.training.world.draw import Draw

SIDES = (("left", 1), ("right", -1))


@dataclass(frozen=True, slots=True)
class Animal:
    """Proportions: height of the back m, the rest as shares of it; angles in rad."""

    height: float = 0.6
    leg: float = 0.58
    length: float = 1.15
    girth: float = 0.17
    neck: float = 0.32
    carriage: float = 0.7
    head: float = 0.16
    snout: float = 0.16
    ear: float = 0.12
    tail: float = 0.45
    limb: float = 0.05
    floppy: bool = False

    @classmethod
    def random(cls, draw: Draw) -> Animal:
        """An animal of the draw's split."""
        kind = draw.pick({"dog": 0.4, "cat": 0.2, "horse": 0.25, "pig": 0.15})
        leg = {"dog": (0.5, 0.62), "cat": (0.45, 0.58), "horse": (0.52, 0.62), "pig": (0.38, 0.48)}[kind]
        neck = {"dog": (0.22, 0.38), "cat": (0.16, 0.26), "horse": (0.42, 0.62), "pig": (0.12, 0.2)}[kind]
        snout = {"dog": (0.1, 0.22), "cat": (0.04, 0.08), "horse": (0.18, 0.26), "pig": (0.12, 0.2)}[kind]
        return cls(
            height=draw.held(0.4, 0.9),
            leg=draw.held(*leg),
            length=draw.held(0.95, 1.45),
            girth=draw.held(0.19, 0.25) if kind == "pig" else draw.held(0.13, 0.21),
            neck=draw.held(*neck),
            carriage=draw.held(0.1, 0.6) if kind == "pig" else draw.held(0.45, 1.15),
            head=draw.held(0.1, 0.14) if kind == "horse" else draw.held(0.12, 0.19),
            snout=draw.held(*snout),
            ear=draw.held(0.08, 0.2),
            tail=draw.held(0.12, 0.25) if kind == "pig" else draw.held(0.25, 0.75),
            limb=draw.held(0.035, 0.06),
            floppy=draw.chance(0.4 if kind == "dog" else 0.1),
        )

    def body(self, coat: Paint, patch: Paint) -> Body:
        """The animal in a coat, with patches of another paint."""
        made, h = Sculptor("quadruped"), self.height
        long, thick, up = 0.5 * self.length * h, self.girth * h, self.leg * h
        made.part("trunk")
        made.part("neck", "trunk", (0.92 * long, 0, 0.45 * thick))
        made.part("head", "neck", (self.neck * h, 0, 0))
        made.part("tail", "trunk", (-1.02 * long, 0, 0.5 * thick))
        made.ellipsoid("trunk", (0.1 * long, 0, 0), (0.95 * long, 0.86 * thick, thick), coat)
        made.ellipsoid("trunk", (0.55 * long, 0, -0.02 * h), (0.5 * long, 0.9 * thick, 1.05 * thick), coat)
        made.ellipsoid("trunk", (-0.6 * long, 0, 0), (0.48 * long, 0.88 * thick, thick), patch)
        made.rod("neck", (-0.04 * h, 0, -0.03 * h), (self.neck * h, 0, 0), 0.62 * thick, coat)
        made.rod("tail", (0, 0, 0), (-self.tail * h, 0, 0), 0.028 * h, patch)
        self._head(made, coat, patch)
        for side, sign in SIDES:
            self._legs(made, side, sign, coat, patch, up)
        self._keypoints(made)
        return made.body()

    def _head(self, made: Sculptor, coat: Paint, patch: Paint) -> None:
        h, r, dark = self.height, self.head * self.height, Paint((0.04, 0.04, 0.05))
        muzzle = 0.7 * r + self.snout * h
        made.ellipsoid("head", (0.2 * r, 0, 0.1 * r), (1.05 * r, 0.82 * r, 0.86 * r), coat)
        made.rod("head", (0.5 * r, 0, -0.2 * r), (muzzle, 0, -0.3 * r), 0.42 * r, patch)
        made.ellipsoid("head", (muzzle + 0.36 * r, 0, -0.2 * r), (0.16 * r, 0.24 * r, 0.18 * r), dark)
        for _, sign in SIDES:
            made.ball("head", (0.86 * r, 0.48 * r * sign, 0.36 * r), 0.17 * r, Paint((0.95, 0.95, 0.92)))
            made.ball("head", (0.95 * r, 0.53 * r * sign, 0.38 * r), 0.12 * r, dark)
            ear = self.ear * h
            if self.floppy:
                made.ellipsoid("head", (-0.1 * r, 0.8 * r * sign, 0.3 * r - 0.4 * ear), (0.5 * r, 0.14 * r, ear), patch)
            else:
                made.ellipsoid("head", (-0.2 * r, 0.5 * r * sign, 0.7 * r + 0.3 * ear), (0.2 * r, 0.3 * r, ear), patch)

    def _legs(self, made: Sculptor, side: str, sign: int, coat: Paint, patch: Paint, up: float) -> None:
        h, r = self.height, self.limb * self.height
        x, y, z = 0.4 * self.length * h, 0.62 * self.girth * h * sign, -0.25 * self.girth * h
        front, back = up + z + 0.5 * r, up + z + 0.5 * r
        made.part(f"{side} upper arm", "trunk", (x, y, z))
        made.part(f"{side} forearm", f"{side} upper arm", (0, 0, -0.46 * front))
        made.part(f"{side} front paw", f"{side} forearm", (0, 0, -0.56 * front))
        made.ellipsoid(f"{side} upper arm", (0, 0, -0.18 * front), (1.9 * r, 1.3 * r, 0.36 * front), coat)
        made.rod(f"{side} forearm", (0, 0, 0), (0, 0, -0.54 * front), r, coat)
        made.ellipsoid(f"{side} front paw", (0.5 * r, 0, 0), (1.7 * r, 1.15 * r, 0.8 * r), patch)
        made.part(f"{side} thigh", "trunk", (-x, y, z))
        made.part(f"{side} shin", f"{side} thigh", (0, 0, -0.42 * back))
        made.part(f"{side} hock", f"{side} shin", (0, 0, -0.4 * back))
        made.part(f"{side} back paw", f"{side} hock", (0, 0, -0.28 * back))
        made.ellipsoid(f"{side} thigh", (0, 0, -0.16 * back), (2.2 * r, 1.4 * r, 0.34 * back), patch)
        made.rod(f"{side} shin", (0, 0, 0), (0, 0, -0.4 * back), 1.1 * r, coat)
        made.rod(f"{side} hock", (0, 0, 0), (0, 0, -0.27 * back), 0.85 * r, coat)
        made.ellipsoid(f"{side} back paw", (0.5 * r, 0, 0), (1.7 * r, 1.15 * r, 0.8 * r), patch)

    def _keypoints(self, made: Sculptor) -> None:
        h, r, limb = self.height, self.head * self.height, self.limb * self.height
        for side, sign in SIDES:
            made.keypoint(f"{side} eye", "head", (0.98 * r, 0.55 * r * sign, 0.38 * r), 0.3 * r)
        made.keypoint("nose", "head", (1.1 * r + self.snout * h, 0, -0.2 * r), 0.3 * r)
        made.keypoint("neck", "neck", (0.1 * self.neck * h, 0, 0), 0.85 * self.girth * h)
        made.keypoint("root of tail", "tail", (0, 0, 0), 0.06 * h)
        for side, _ in SIDES:
            made.keypoint(f"{side} shoulder", f"{side} upper arm", (0, 0, 0), 0.5 * self.girth * h + limb)
            made.keypoint(f"{side} elbow", f"{side} forearm", (0, 0, 0), 2.2 * limb)
            made.keypoint(f"{side} front paw", f"{side} front paw", (0.4 * limb, 0, 0), 2.2 * limb)
        for side, _ in SIDES:
            made.keypoint(f"{side} hip", f"{side} thigh", (0, 0, 0), 0.5 * self.girth * h + limb)
            made.keypoint(f"{side} knee", f"{side} shin", (0, 0, 0), 2.2 * limb)
            made.keypoint(f"{side} back paw", f"{side} back paw", (0.4 * limb, 0, 0), 2.2 * limb)


def _posture(
    animal: Animal,
    fore: Mapping[str, tuple[float, float]],
    hind: Mapping[str, tuple[float, float]],
    pitch: float,
    neck: float,
    look: tuple[float, float],
    tail: tuple[float, float],
) -> dict[str, np.ndarray]:
    """Turns of all parts: bends of each leg (forward positive; first joint, second joint), rad; paws stay flat."""
    turns = {
        "trunk": turn("y", -pitch),
        "neck": turn("z", look[0]) @ turn("y", pitch - neck),
        "head": turn("z", look[0]) @ turn("y", neck + look[1]),
        "tail": turn("z", tail[0]) @ turn("y", tail[1]),
    }
    for side, _ in SIDES:
        first, second = fore[side]
        turns[f"{side} upper arm"] = turn("y", 0.35 - first + pitch)
        turns[f"{side} forearm"] = turn("y", -0.35 - second)
        turns[f"{side} front paw"] = turn("y", first + second)
        first, second = hind[side]
        turns[f"{side} thigh"] = turn("y", -0.35 - first + pitch)
        turns[f"{side} shin"] = turn("y", 0.9 + second)
        turns[f"{side} hock"] = turn("y", -0.7 - 0.8 * second)
        turns[f"{side} back paw"] = turn("y", 0.15 + first - 0.2 * second)
    return turns


@dataclass(frozen=True, slots=True)
class Trot:
    """A gait: swing of the legs and their bend (rad), period s, pitch of the neck and carriage of the tail (rad)."""

    swing: float = 0.45
    bend: float = 0.6
    period: float = 0.7
    neck: float = 0.7
    tail: float = -0.3

    @classmethod
    def random(cls, draw: Draw, animal: Animal) -> Trot:
        """A gait of the draw's split, for an animal."""
        return cls(
            swing=draw.held(0.2, 0.6),
            bend=draw.held(0.3, 0.9),
            period=draw.held(0.55, 1.0),
            neck=animal.carriage + draw.held(-0.3, 0.2),
            tail=draw.held(-1.2, 0.5),
        )


def trot(phase: float, gait: Trot, animal: Animal) -> dict[str, np.ndarray]:
    """Turns of the parts at a phase (1 = one stride): diagonal legs together."""
    fore: dict[str, tuple[float, float]] = {}
    hind: dict[str, tuple[float, float]] = {}
    for legs, shift in ((fore, 0.0), (hind, 0.5)):
        for side, sign in SIDES:
            angle = 2 * np.pi * (phase + shift + (0.25 - 0.25 * sign))
            lift = gait.bend * max(0.0, np.cos(angle))
            legs[side] = gait.swing * np.sin(angle) + (0.3 * lift), -lift if legs is fore else lift
    nod = 0.05 * np.sin(4 * np.pi * phase)
    wag = 0.3 * np.sin(2 * np.pi * phase)
    return _posture(animal, fore, hind, 0.0, gait.neck + nod, (0.0, 0.25), (wag, gait.tail))


def _still(draw: Draw, animal: Animal, kind: str) -> dict[str, np.ndarray]:
    def legs(first: tuple[float, float], second: tuple[float, float]) -> dict[str, tuple[float, float]]:
        return {side: (draw.held(*first), draw.held(*second)) for side, _ in SIDES}

    pitch, neck = draw.held(-0.08, 0.08), animal.carriage + draw.held(-0.4, 0.4)
    fore, hind = legs((-0.15, 0.15), (-0.12, 0.05)), legs((-0.15, 0.15), (-0.1, 0.2))
    if kind == "sit":
        pitch = draw.held(0.5, 0.85)
        fore, hind = legs((0.0, 0.2), (-0.1, 0.05)), legs((1.1, 1.4), (0.9, 1.2))
    elif kind == "lie":
        fore, hind = legs((0.9, 1.3), (-0.3, 0.4)), legs((0.9, 1.2), (0.9, 1.3))
    elif kind == "graze":
        neck = -draw.held(0.5, 1.0)
    look = draw.held(-0.6, 0.6), draw.held(-0.1, 0.6)
    return _posture(animal, fore, hind, pitch, neck, look, (draw.held(-0.7, 0.7), draw.held(-1.3, 0.6)))


def quadruped(draw: Draw) -> tuple[Body, np.ndarray]:
    """A random animal in a random pose."""
    animal = Animal.random(draw)
    coat = Paint.random(draw)
    body = animal.body(coat, Paint.random(draw) if draw.chance(0.5) else coat)
    kind = draw.pick({"trot": 0.4, "stand": 0.3, "sit": 0.12, "lie": 0.06, "graze": 0.12})
    if kind == "trot":
        return body, body.pose(trot(draw.held(0, 1), Trot.random(draw, animal), animal))
    return body, body.pose(_still(draw, animal, kind))
