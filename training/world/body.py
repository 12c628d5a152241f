"""What every thing of the world is made of: solids on a tree of parts, keypoints on them, and how it is posed.

Frame of a body: x forward, y to its own left, z up, metres. A part's frame is that of its parent, moved by an offset
and turned by the pose.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

import numpy as np

from xpose_stream.training.world.draw import Draw
from xpose_stream.training.world.texture import colour

PATTERNS = 24
UPRIGHT = np.eye(3)
_OCTANTS = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], float)

Point = tuple[float, float, float]


def turn(axis: str, angle: float) -> np.ndarray:
    """Rotation [3, 3] about "x", "y" or "z" by an angle (rad), right-handed."""
    c, s = np.cos(angle), np.sin(angle)
    if axis == "x":
        return np.array([[1, 0, 0], [0, c, -s], [0, s, c]])
    if axis == "y":
        return np.array([[c, 0, s], [0, 1, 0], [-s, 0, c]])
    return np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])


def along(way: np.ndarray) -> np.ndarray:
    """A rotation [3, 3] that takes z to a direction [3]."""
    x, y, z = (way / np.linalg.norm(way)).tolist()
    # the shortest one (Duff et al., Building an Orthonormal Basis, Revisited, 2017)
    sign = 1.0 if z >= 0 else -1.0
    a = -1.0 / (sign + z)
    b = x * y * a
    return np.array([[1 + sign * x * x * a, b, x], [sign * b, sign + y * y * a, y], [-sign * x, -y, z]])


@dataclass(frozen=True, slots=True)
class Paint:
    """Colour RGB 0..1, and the number of a pattern it tints (-1: plain)."""

    rgb: Point
    pattern: int = -1

    @classmethod
    def of(cls, rgb: np.ndarray) -> Paint:
        """A plain colour."""
        r, g, b = np.clip(rgb, 0.01, 1.0).tolist()
        return cls((r, g, b))

    @classmethod
    def random(cls, draw: Draw, patterned: float = 0.25) -> Paint:
        """A colour of the draw's split, or a pattern with the given probability."""
        if draw.chance(patterned):
            plain = cls.of(np.full(3, draw.uniform(0.7, 1.0)))
            return replace(plain, pattern=int(draw.rng.integers(PATTERNS)))
        return cls.of(colour(draw))

    def mark(self, draw: Draw, *others: Paint) -> Paint:
        """A plain colour that is well apart from this one and from others."""

        def apart(found: Paint) -> float:
            return min(float(np.abs(np.subtract(found.rgb, paint.rgb)).sum()) for paint in (self, *others))

        return max((Paint.of(colour(draw)) for _ in range(8)), key=apart)


@dataclass(frozen=True, slots=True)
class Solid:
    """One solid of a part: its centre m, its size m, its paint, its turn [3, 3] in the part's frame.

    Size: the semi-axes of an ellipsoid or a box; radius and half length of a capsule or a cylinder, which lie along z.
    """

    part: str
    kind: str
    centre: Point
    size: Point
    paint: Paint
    shown: bool = True
    turn: np.ndarray = field(default_factory=lambda: UPRIGHT)


@dataclass(frozen=True, slots=True)
class Keypoint:
    """A keypoint: name, part, place there (m), and how much (m) of its own body may cover it and it still shows."""

    name: str
    part: str
    place: Point
    cover: float


@dataclass(frozen=True)
class Body:
    """A thing of a category: parts (name: parent and offset [3] m; the first is the root), solids and keypoints.

    A pose is the rotations [N, 3, 3] of the N parts against their parents.
    """

    category: str
    parts: Mapping[str, tuple[str | None, np.ndarray]]
    solids: Sequence[Solid]
    keypoints: Sequence[Keypoint]
    scale: float = 1.0

    def pose(self, turns: Mapping[str, np.ndarray]) -> np.ndarray:
        """The pose [N, 3, 3] with these turned parts, the others at rest."""
        pose = np.tile(np.eye(3), (len(self.parts), 1, 1))
        for name, value in turns.items():
            pose[self._number[name]] = value
        return pose

    def scaled(self, factor: float) -> Body:
        """The same body, larger or smaller."""
        return replace(self, scale=self.scale * factor)

    def put(self, pose: np.ndarray, at: np.ndarray, heading: float = 0.0, above: float = 0.0) -> Placed:
        """The body in a pose at a place [2] m of the floor, facing a heading (rad, 0 along x).

        Its lowest point is `above` metres over the floor.
        """
        world = np.empty((len(self.parts), 3, 3))
        origin = np.empty((len(self.parts), 3))
        for i, parent in enumerate(self._parents):
            if parent < 0:
                world[i] = turn("z", heading) @ pose[i]
                origin[i] = *at, 0.0
            else:
                world[i] = world[parent] @ pose[i]
                origin[i] = origin[parent] + world[parent] @ (self.scale * self._offsets[i])
        part, centre, size, turns = self._solid_arrays
        carrier = world[part]
        spot, place, cover = self._keypoint_arrays
        placed = Placed(
            self,
            origin[part] + self.scale * np.einsum("sij,sj->si", carrier, centre),
            carrier @ turns,
            self.scale * size,
            origin[spot] + self.scale * np.einsum("kij,kj->ki", world[spot], place),
            self.scale * cover,
        )
        return placed.raised(above - placed.lowest)

    @cached_property
    def shown(self) -> list[Solid]:
        """The solids that are drawn."""
        return [solid for solid in self.solids if solid.shown]

    @cached_property
    def _number(self) -> dict[str, int]:
        return {name: i for i, name in enumerate(self.parts)}

    @cached_property
    def _parents(self) -> list[int]:
        return [-1 if parent is None else self._number[parent] for parent, _ in self.parts.values()]

    @cached_property
    def _offsets(self) -> np.ndarray:
        return np.array([offset for _, offset in self.parts.values()], float)

    @cached_property
    def _solid_arrays(self) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
        return (
            np.array([self._number[solid.part] for solid in self.shown]),
            np.array([solid.centre for solid in self.shown], float),
            np.array([solid.size for solid in self.shown], float),
            np.stack([solid.turn for solid in self.shown]),
        )

    @cached_property
    def _keypoint_arrays(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        return (
            np.array([self._number[keypoint.part] for keypoint in self.keypoints]),
            np.array([keypoint.place for keypoint in self.keypoints], float),
            np.array([keypoint.cover for keypoint in self.keypoints], float),
        )


@dataclass(frozen=True)
class Placed:
    """A posed body in the world, metres.

    Its S shown solids: centre [S, 3], turn [S, 3, 3], size [S, 3]; its keypoints [K, 3] and what may cover them [K].
    """

    body: Body
    centre: np.ndarray
    turn: np.ndarray
    size: np.ndarray
    keypoints: np.ndarray
    cover: np.ndarray

    def raised(self, height: float) -> Placed:
        """The same, so much higher (m)."""
        up = np.array([0.0, 0.0, height])
        return replace(self, centre=self.centre + up, keypoints=self.keypoints + up)

    @cached_property
    def hull(self) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Ellipsoids with the same convex hull: centres [E, 3], turns [E, 3, 3], semi-axes [E, 3] m, which may be 0.

        A capsule is the balls at its ends, a cylinder the discs at its ends, a box its corners.
        """
        kinds = np.array([solid.kind for solid in self.body.shown])
        parts = []
        for kind in np.unique(kinds):
            which = kinds == kind
            centre, axes, size = self.centre[which], self.turn[which], self.size[which]
            if kind == "ellipsoid":
                parts.append((centre, axes, size))
                continue
            if kind == "box":
                corners = _OCTANTS[:, None] * size
                for corner in corners:
                    parts.append((centre + np.einsum("sij,sj->si", axes, corner), axes, np.zeros_like(size)))
                continue
            reach = axes[:, :, 2] * size[:, 1:2]
            ball = np.repeat(size[:, :1], 3, axis=1)
            if kind == "cylinder":
                ball[:, 2] = 0.0
            parts += [(centre + reach, axes, ball), (centre - reach, axes, ball)]
        centres, turns, semis = zip(*parts, strict=True)
        return np.concatenate(centres), np.concatenate(turns), np.concatenate(semis)

    @property
    def lowest(self) -> float:
        """Height of the lowest point, m."""
        return self.bounds[0][2]

    @cached_property
    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """Lowest and highest coordinates [3] m."""
        centre, turns, semis = self.hull
        reach = np.linalg.norm(turns * semis[:, None, :], axis=2)
        return (centre - reach).min(axis=0), (centre + reach).max(axis=0)


class Sculptor:
    """Makes a body part by part; keypoints in the order of the category's skeleton."""

    def __init__(self, category: str) -> None:
        self._category = category
        self._parts: dict[str, tuple[str | None, np.ndarray]] = {}
        self._solids: list[Solid] = []
        self._keypoints: list[Keypoint] = []

    def part(self, name: str, parent: str | None = None, at: Point = (0, 0, 0)) -> str:
        """A part that hangs on its parent at a place there."""
        self._parts[name] = (parent, np.array(at, float))
        return name

    def ellipsoid(self, part: str, at: Point, semis: Point, paint: Paint, tilt: np.ndarray = UPRIGHT) -> None:
        """An ellipsoid."""
        self._solids.append(Solid(part, "ellipsoid", at, semis, paint, turn=tilt))

    def ball(self, part: str, at: Point, radius: float, paint: Paint) -> None:
        """A ball."""
        self.ellipsoid(part, at, (radius, radius, radius), paint)

    def box(self, part: str, at: Point, half: Point, paint: Paint, tilt: np.ndarray = UPRIGHT) -> None:
        """A box of these half sides."""
        self._solids.append(Solid(part, "box", at, half, paint, turn=tilt))

    def rod(self, part: str, a: Point, b: Point, radius: float, paint: Paint, kind: str = "capsule") -> None:
        """A capsule, or a cylinder, from a to b."""
        way = np.subtract(b, a)
        x, y, z = (np.add(a, b) / 2).tolist()
        size = (radius, float(np.linalg.norm(way)) / 2, 0.0)
        self._solids.append(Solid(part, kind, (x, y, z), size, paint, turn=along(way)))

    def keypoint(self, name: str, part: str, at: Point, cover: float) -> None:
        """The next keypoint."""
        self._keypoints.append(Keypoint(name, part, at, cover))

    def body(self) -> Body:
        """The finished body."""
        return Body(self._category, self._parts, self._solids, self._keypoints)
