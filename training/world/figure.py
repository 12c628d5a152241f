"""A person's body: proportions, clothes, and the solids it is drawn with; at rest it stands with hanging arms."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from xpose_stream.training.world.body import Body, Keypoint, Paint, Point, Solid, turn
from xpose_stream.training.world.draw import Draw
from xpose_stream.training.world.texture import colour

# name, parent; the first is the pelvis, which carries the person through the world
PARTS: tuple[tuple[str, str | None], ...] = (
    ("pelvis", None),
    ("abdomen", "pelvis"),
    ("chest", "abdomen"),
    ("head", "chest"),
    ("left_arm", "chest"),
    ("left_forearm", "left_arm"),
    ("left_hand", "left_forearm"),
    ("right_arm", "chest"),
    ("right_forearm", "right_arm"),
    ("right_hand", "right_forearm"),
    ("left_thigh", "pelvis"),
    ("left_shin", "left_thigh"),
    ("left_foot", "left_shin"),
    ("right_thigh", "pelvis"),
    ("right_shin", "right_thigh"),
    ("right_foot", "right_shin"),
)
_ACROSS, _AHEAD = turn("x", np.pi / 2), turn("y", np.pi / 2)
PART = {name: index for index, (name, _) in enumerate(PARTS)}

_SKIN, _HAIR, _SHIRT = Paint((0.8, 0.6, 0.5)), Paint((0.15, 0.1, 0.08)), Paint((0.2, 0.4, 0.8))
_TROUSERS, _SHOES, _EXTRA = Paint((0.15, 0.15, 0.2)), Paint((0.1, 0.1, 0.1)), Paint((0.8, 0.2, 0.1))

KEYPOINTS: tuple[str, ...] = (
    "nose",
    "left_eye",
    "right_eye",
    "left_ear",
    "right_ear",
    "left_shoulder",
    "right_shoulder",
    "left_elbow",
    "right_elbow",
    "left_wrist",
    "right_wrist",
    "left_hip",
    "right_hip",
    "left_knee",
    "right_knee",
    "left_ankle",
    "right_ankle",
)


@dataclass(frozen=True, slots=True)
class Build:
    """Proportions of a body: stature in metres, the rest as shares of it or as factors around 1."""

    stature: float = 1.72
    leg: float = 0.51
    thigh: float = 0.51
    arm: float = 0.31
    shoulder: float = 0.112
    hip: float = 0.052
    head: float = 0.068
    girth: float = 1.0
    belly: float = 1.0
    limb: float = 1.0

    @classmethod
    def random(cls, draw: Draw) -> Build:
        """A body of the draw's split; one in eight is a child."""
        child = draw.chance(0.12)
        return cls(
            stature=draw.held(1.0, 1.4) if child else draw.held(1.5, 1.98),
            leg=draw.held(0.47, 0.50) if child else draw.held(0.485, 0.535),
            thigh=draw.held(0.48, 0.53),
            arm=draw.held(0.285, 0.335),
            shoulder=draw.held(0.095, 0.13),
            hip=draw.held(0.045, 0.06),
            head=draw.held(0.076, 0.088) if child else draw.held(0.060, 0.075),
            girth=draw.held(0.82, 1.3),
            belly=draw.held(0.8, 1.35),
            limb=draw.held(0.8, 1.3),
        )

    @property
    def ankle(self) -> float:
        """Height of the ankle above the sole, m."""
        return 0.042 * self.stature

    @property
    def legs(self) -> tuple[float, float]:
        """Lengths of thigh and shin, m."""
        both = self.leg * self.stature - self.ankle
        return self.thigh * both, (1 - self.thigh) * both

    @property
    def arms(self) -> tuple[float, float]:
        """Lengths of upper arm and forearm, m."""
        return 0.53 * self.arm * self.stature, 0.47 * self.arm * self.stature

    @property
    def torso(self) -> float:
        """Height of the shoulders above the hips, m."""
        return (1 - 2 * self.head - 0.05 - self.leg) * self.stature


@dataclass(frozen=True, slots=True)
class Outfit:
    """What a person wears and which hair it has."""

    skin: Paint = _SKIN
    hair: Paint = _HAIR
    shirt: Paint = _SHIRT
    trousers: Paint = _TROUSERS
    shoes: Paint = _SHOES
    extra: Paint = _EXTRA
    sleeve: int = 1
    leggings: int = 2
    long_hair: bool = False
    bald: bool = False
    hat: bool = False
    skirt: bool = False
    rucksack: bool = False
    glasses: bool = False

    @classmethod
    def random(cls, draw: Draw) -> Outfit:
        """Clothes of the draw's split."""
        tone = draw.held(0, 1)
        skin = np.array([0.95, 0.78, 0.66]) * (1 - tone) + np.array([0.28, 0.17, 0.11]) * tone
        hairs = np.array(
            [[0.06, 0.05, 0.05], [0.25, 0.15, 0.08], [0.75, 0.6, 0.3], [0.6, 0.58, 0.56], [0.5, 0.2, 0.08]]
        )
        hair = hairs[draw.rng.integers(len(hairs))] * draw.uniform(0.6, 1.3)
        return cls(
            skin=Paint.of(skin * draw.rng.uniform(0.92, 1.08, 3)),
            hair=Paint.of(colour(draw) if draw.chance(0.08) else hair),
            shirt=Paint.random(draw, 0.45),
            trousers=Paint.random(draw, 0.25),
            shoes=Paint.random(draw, 0.1),
            extra=Paint.random(draw, 0.3),
            sleeve=int(draw.rng.choice(3, p=[0.15, 0.4, 0.45])),
            leggings=int(draw.rng.choice(3, p=[0.1, 0.2, 0.7])),
            long_hair=draw.chance(0.3),
            bald=draw.chance(0.08),
            hat=draw.chance(0.15),
            skirt=draw.chance(0.15),
            rucksack=draw.chance(0.15),
            glasses=draw.chance(0.15),
        )


@dataclass(frozen=True, slots=True)
class Figure:
    """A person's body and clothes."""

    build: Build = field(default_factory=Build)
    outfit: Outfit = field(default_factory=Outfit)

    @classmethod
    def random(cls, draw: Draw) -> Figure:
        """A person of the draw's split."""
        return cls(Build.random(draw), Outfit.random(draw))

    def body(self) -> Body:
        """The figure as a body of the world."""
        offsets = self._offsets()
        parts = {name: (parent, np.array(offsets[name], float)) for name, parent in PARTS}
        return Body("person", parts, self._solids(), self._keypoints())

    def _offsets(self) -> dict[str, Point]:
        """Where each part hangs on its parent, m."""
        b = self.build
        s, torso = b.stature, b.torso
        (arm, forearm), (thigh, shin) = b.arms, b.legs
        shoulder, hip = b.shoulder * s, b.hip * s
        offsets: dict[str, Point] = {
            "pelvis": (0, 0, 0),
            "abdomen": (0, 0, 0.15 * torso),
            "chest": (0, 0, 0.28 * torso),
            "head": (0.012 * s, 0, 0.57 * torso + 0.052 * s),
        }
        for side, sign in (("left", 1), ("right", -1)):
            offsets |= {
                f"{side}_arm": (0, sign * shoulder, 0.57 * torso),
                f"{side}_forearm": (0, 0, -arm),
                f"{side}_hand": (0, 0, -forearm),
                f"{side}_thigh": (0, sign * hip, 0),
                f"{side}_shin": (0, 0, -thigh),
                f"{side}_foot": (0, 0, -shin),
            }
        return offsets

    def _keypoints(self) -> list[Keypoint]:
        b = self.build
        s, h = b.stature, b.head * b.stature
        joints = {
            "shoulder": ("arm", 0.062 * b.limb + 0.01),
            "elbow": ("forearm", 0.055 * b.limb + 0.010),
            "wrist": ("hand", 0.040 * b.limb + 0.015),
            "hip": ("thigh", 0.078 * b.girth + 0.01),
            "knee": ("shin", 0.050 * b.limb + 0.010),
            "ankle": ("foot", 0.040 * b.limb + 0.020),
        }
        keypoints = []
        for name in KEYPOINTS:
            side, _, joint = name.rpartition("_")
            sign = -1 if side == "right" else 1
            if joint in joints:
                part, cover = joints[joint]
                keypoints.append(Keypoint(name, f"{side}_{part}", (0, 0, 0), cover * s))
                continue
            place: Point = {
                "nose": (0.98 * h, 0.0, 0.88 * h),
                "eye": (0.74 * h, 0.30 * h * sign, 1.12 * h),
                "ear": (-0.02 * h, 0.73 * h * sign, 0.98 * h),
            }[joint]
            keypoints.append(Keypoint(name, "head", place, 0.35 * h))
        return keypoints

    def _solids(self) -> list[Solid]:
        return [*self._torso(), *self._head(), *self._arm("left", 1), *self._arm("right", -1)] + [
            solid for side in ("left", "right") for solid in self._leg(side)
        ]

    def _torso(self) -> list[Solid]:
        b, o = self.build, self.outfit
        s, t, g = b.stature, b.torso, b.girth
        shoulder, hip = b.shoulder * s, b.hip * s
        waist = hip + 0.028 * g * s
        return [
            Solid("pelvis", "ellipsoid", (0, 0, 0.01 * s), (0.066 * g * s, hip + 0.048 * g * s, 0.072 * s), o.trousers),
            Solid("pelvis", "capsule", (0, 0, 0.05 * s), (0.058 * g * s, 0.6 * hip, 0), o.trousers, turn=_ACROSS),
            Solid(
                "pelvis",
                "ellipsoid",
                (0, 0, -0.06 * s),
                (0.09 * g * s, hip + 0.07 * g * s, 0.15 * s),
                o.trousers,
                o.skirt,
            ),
            Solid(
                "abdomen",
                "ellipsoid",
                (0.012 * b.belly * s, 0, 0.14 * t),
                (0.058 * g * b.belly * s, waist, 0.34 * t),
                o.shirt,
            ),
            Solid("chest", "ellipsoid", (0, 0, 0.24 * t), (0.068 * g * s, 0.95 * shoulder, 0.44 * t), o.shirt),
            Solid(
                "chest", "capsule", (-0.006 * s, 0, 0.50 * t), (0.044 * s, 0.72 * shoulder, 0), o.shirt, turn=_ACROSS
            ),
            Solid("chest", "capsule", (0.0, 0, 0.62 * t), (0.031 * s, 0.05 * s, 0), o.skin),
            Solid(
                "chest",
                "ellipsoid",
                (-0.095 * g * s, 0, 0.25 * t),
                (0.06 * s, 0.08 * s, 0.4 * t),
                o.extra,
                o.rucksack,
            ),
        ]

    def _head(self) -> list[Solid]:
        h, o = self.build.head * self.build.stature, self.outfit
        dark, white, lips = Paint((0.05, 0.04, 0.04)), Paint((0.93, 0.93, 0.92)), Paint((0.55, 0.2, 0.2))
        solids = [
            Solid("head", "ellipsoid", (0, 0, 1.05 * h), (0.85 * h, 0.70 * h, 0.95 * h), o.skin),
            Solid("head", "ellipsoid", (0.18 * h, 0, 0.62 * h), (0.60 * h, 0.52 * h, 0.62 * h), o.skin),
            Solid("head", "ellipsoid", (-0.17 * h, 0, 1.22 * h), (0.82 * h, 0.78 * h, 0.84 * h), o.hair, not o.bald),
            Solid("head", "ellipsoid", (-0.42 * h, 0, 0.55 * h), (0.48 * h, 0.74 * h, 1.15 * h), o.hair, o.long_hair),
            Solid("head", "ellipsoid", (-0.06 * h, 0, 1.55 * h), (0.93 * h, 0.83 * h, 0.62 * h), o.extra, o.hat),
            Solid("head", "ellipsoid", (0.62 * h, 0, 1.50 * h), (0.72 * h, 0.62 * h, 0.07 * h), o.extra, o.hat),
            Solid("head", "ellipsoid", (0.84 * h, 0, 0.92 * h), (0.17 * h, 0.12 * h, 0.22 * h), o.skin),
            Solid("head", "ellipsoid", (0.71 * h, 0, 0.52 * h), (0.10 * h, 0.24 * h, 0.06 * h), lips),
            Solid("head", "capsule", (0.76 * h, 0, 1.13 * h), (0.09 * h, 0.42 * h, 0), dark, o.glasses, _ACROSS),
        ]
        for sign in (1, -1):
            y = 0.30 * h * sign
            solids += [
                Solid("head", "ellipsoid", (0.68 * h, y, 1.12 * h), (0.10 * h, 0.16 * h, 0.11 * h), white),
                Solid("head", "ellipsoid", (0.75 * h, y, 1.12 * h), (0.06 * h, 0.08 * h, 0.08 * h), dark),
                Solid("head", "ellipsoid", (0.74 * h, y, 1.32 * h), (0.07 * h, 0.20 * h, 0.05 * h), o.hair),
                Solid(
                    "head", "ellipsoid", (-0.02 * h, 0.72 * h * sign, 0.98 * h), (0.15 * h, 0.08 * h, 0.25 * h), o.skin
                ),
            ]
        return solids

    def _arm(self, side: str, sign: int) -> list[Solid]:
        b, o = self.build, self.outfit
        s, k = b.stature, b.limb
        upper, fore = b.arms
        sleeve = o.shirt if o.sleeve >= 1 else o.skin
        cuff = o.shirt if o.sleeve == 2 else o.skin
        loose = (1.0, 1.12, 1.18)[o.sleeve]
        return [
            Solid(f"{side}_arm", "ellipsoid", (0, 0, -0.01 * s), (0.037 * k * s, 0.036 * k * s, 0.05 * s), o.shirt),
            Solid(f"{side}_arm", "capsule", (0, 0, -upper / 2), (0.026 * k * s, upper / 2, 0), o.skin),
            Solid(
                f"{side}_arm",
                "ellipsoid",
                (0, 0, -0.4 * upper),
                (0.034 * k * loose * s, 0.033 * k * loose * s, 0.52 * upper),
                sleeve,
            ),
            Solid(f"{side}_forearm", "capsule", (0, 0, -fore / 2), (0.020 * k * s, fore / 2, 0), o.skin),
            Solid(
                f"{side}_forearm",
                "ellipsoid",
                (0, 0, -0.38 * fore),
                (0.029 * k * s, 0.028 * k * s, 0.55 * fore),
                cuff,
            ),
            Solid(f"{side}_hand", "ellipsoid", (0, 0, -0.028 * s), (0.026 * s, 0.014 * s, 0.034 * s), o.skin),
            Solid(f"{side}_hand", "ellipsoid", (0.004 * s, 0, -0.066 * s), (0.018 * s, 0.010 * s, 0.030 * s), o.skin),
            Solid(
                f"{side}_hand", "capsule", (0.024 * s, -0.004 * sign * s, -0.035 * s), (0.007 * s, 0.014 * s, 0), o.skin
            ),
        ]

    def _leg(self, side: str) -> list[Solid]:
        b, o = self.build, self.outfit
        s, k, a = b.stature, b.limb, b.ankle
        thigh, shin = b.legs
        upper = o.trousers if o.leggings >= 1 else o.skin
        lower = o.trousers if o.leggings == 2 else o.skin
        loose = (1.0, 1.08, 1.12)[o.leggings]
        girth = 0.5 * (k + b.girth)
        return [
            Solid(
                f"{side}_thigh",
                "ellipsoid",
                (0, 0, -0.36 * thigh),
                (0.056 * girth * loose * s, 0.052 * girth * loose * s, 0.58 * thigh),
                upper,
            ),
            Solid(f"{side}_thigh", "capsule", (0, 0, -0.55 * thigh), (0.036 * k * loose * s, 0.45 * thigh, 0), upper),
            Solid(f"{side}_shin", "capsule", (0, 0, -shin / 2), (0.026 * k * loose * s, shin / 2, 0), lower),
            Solid(
                f"{side}_shin",
                "ellipsoid",
                (-0.008 * s, 0, -0.33 * shin),
                (0.038 * k * loose * s, 0.036 * k * loose * s, 0.5 * shin),
                lower,
            ),
            Solid(
                f"{side}_foot",
                "capsule",
                (0.03 * s, 0, 0.026 * s - a),
                (0.026 * s, 0.045 * s, 0),
                o.shoes,
                turn=_AHEAD,
            ),
            Solid(
                f"{side}_foot", "ellipsoid", (0.075 * s, 0, 0.018 * s - a), (0.052 * s, 0.031 * s, 0.018 * s), o.shoes
            ),
        ]
