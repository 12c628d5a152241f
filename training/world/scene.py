"""One compiled MuJoCo model whose persons, clutter, light, textures and camera are changed in place."""

from __future__ import annotations

from dataclasses import dataclass

import mujoco
import numpy as np

from training.world.draw import Draw
from training.world.figure import PARTS, Figure
from training.world.pose import quaternions
from training.world.texture import texture

PERSONS = 5
CLUTTER = 26
PATTERNS = 24
PATTERN_SIZE = 32
GROUNDS = ("floor", "wall", "wall2")
GROUND_SIZE = 128
SKY_SIZE = 64
_HIDDEN = 5
_KINDS = {
    "sphere": mujoco.mjtGeom.mjGEOM_SPHERE,
    "capsule": mujoco.mjtGeom.mjGEOM_CAPSULE,
    "ellipsoid": mujoco.mjtGeom.mjGEOM_ELLIPSOID,
    "cylinder": mujoco.mjtGeom.mjGEOM_CYLINDER,
    "box": mujoco.mjtGeom.mjGEOM_BOX,
}
_TURNS = {"z": (1.0, 0.0, 0.0, 0.0), "y": (0.5**0.5, 0.5**0.5, 0.0, 0.0), "x": (0.5**0.5, 0.0, 0.5**0.5, 0.0)}


def _description(slices: int) -> str:
    """The model as MJCF."""
    textures = "".join(
        f'<texture name="pattern{i}" type="cube" builtin="flat" width="{PATTERN_SIZE}" height="{PATTERN_SIZE}"/>'
        for i in range(PATTERNS)
    ) + "".join(
        f'<texture name="{name}" type="2d" builtin="flat" width="{GROUND_SIZE}" height="{GROUND_SIZE}"/>'
        for name in GROUNDS
    )
    materials = "".join(
        f'<material name="pattern{i}" texture="pattern{i}" specular="0.1" shininess="0.2"/>' for i in range(PATTERNS)
    ) + "".join(
        f'<material name="{name}" texture="{name}" texuniform="true" texrepeat="{r} {r}" specular="0.1"/>'
        for name, r in zip(GROUNDS, (0.35, 0.25, 0.6), strict=True)
    )
    solids: dict[str, str] = {name: "" for name, _ in PARTS}
    for solid in Figure().solids():
        solids[solid.part] += f'<geom type="{solid.kind}" size="0.1 0.1 0.1"/>'
    children: dict[str | None, list[str]] = {}
    for name, parent in PARTS:
        children.setdefault(parent, []).append(name)

    def part(name: str, person: int) -> str:
        joint = "<freejoint/>" if name == "pelvis" else '<joint type="ball"/>'
        inner = "".join(part(child, person) for child in children.get(name, []))
        return f'<body name="{name}{person}">{joint}{solids[name]}{inner}</body>'

    clutter = "".join('<geom type="box" size="0.1 0.1 0.1"/>' for _ in range(CLUTTER))
    persons = "".join(part("pelvis", i) for i in range(PERSONS))
    return f"""<mujoco>
      <compiler angle="radian"/>
      <statistic center="0 0 0.8" extent="6"/>
      <visual>
        <map znear="0.02" zfar="20" shadowclip="0.8"/>
        <quality shadowsize="2048" offsamples="4" numslices="{slices}" numstacks="{slices * 2 // 3}"/>
        <global offwidth="1280" offheight="960"/>
      </visual>
      <default><geom contype="0" conaffinity="0" mass="0.1"/></default>
      <asset>
        <texture name="sky" type="skybox" builtin="gradient" width="{SKY_SIZE}" height="{SKY_SIZE * 6}"/>
        {textures}{materials}
      </asset>
      <worldbody>
        <light name="sun" type="directional" castshadow="true" pos="0 0 5" dir="0 0 -1"/>
        <light name="fill" type="directional" castshadow="false" pos="0 0 5" dir="0 0 -1"/>
        <camera name="camera" pos="4 0 1.5"/>
        <geom name="floor" type="plane" size="0 0 0.1" material="floor"/>
        <geom name="wall0" type="box" size="1 1 1" material="wall"/>
        <geom name="wall1" type="box" size="1 1 1" material="wall2"/>
        {clutter}{persons}
      </worldbody>
    </mujoco>"""


@dataclass(frozen=True, slots=True)
class Camera:
    """Where the camera stands (m), its axes right/up/back as columns [3, 3], and its vertical field of view (rad)."""

    position: np.ndarray
    axes: np.ndarray
    fov: float

    @classmethod
    def looking(cls, position: np.ndarray, target: np.ndarray, fov: float, roll: float = 0.0) -> Camera:
        """A camera at a position that looks at a target, rolled about its axis."""
        back = position - target
        back = back / np.linalg.norm(back)
        right = np.cross([0.0, 0.0, 1.0], back)
        right = right / np.linalg.norm(right)
        up = np.cross(back, right)
        c, s = np.cos(roll), np.sin(roll)
        return cls(position, np.stack([c * right + s * up, c * up - s * right, back], axis=1), fov)

    def project(self, points: np.ndarray, width: int, height: int) -> tuple[np.ndarray, np.ndarray]:
        """Pixels [..., 2] (origin: top-left corner of the picture) and depths [...] m of world points [..., 3]."""
        local = (points - self.position) @ self.axes
        depth = -local[..., 2]
        focal = 0.5 * height / np.tan(0.5 * self.fov)
        safe = np.maximum(depth, 1e-3)
        x = 0.5 * width + focal * local[..., 0] / safe
        y = 0.5 * height - focal * local[..., 1] / safe
        return np.stack([x, y], axis=-1), depth


class Scene:
    """The world as MuJoCo sees it. Sizes, colours and positions are written into the compiled model.

    `slices` is how finely round solids are drawn.
    """

    def __init__(self, slices: int = 14) -> None:
        self.model = mujoco.MjModel.from_xml_string(_description(slices))
        # the compiler marks solids that sit at their part's origin, and would not look at their position again
        self.model.geom_sameframe[:] = 0
        self.data = mujoco.MjData(self.model)
        self.camera = Camera.looking(np.array([4.0, 0, 1.5]), np.array([0, 0, 1.0]), 0.8)
        self.figures: list[Figure | None] = [None] * PERSONS
        self._names = [solid.part for solid in Figure().solids()]
        self._solids = len(self._names)
        self._first_solid = self.model.ngeom - PERSONS * self._solids
        self._first_clutter = self._first_solid - CLUTTER
        self._pattern = [self.model.material(f"pattern{i}").id for i in range(PATTERNS)]
        self._used = 0
        # MuJoCo numbers solids part by part
        by_part = sorted(range(self._solids), key=lambda i: [name for name, _ in PARTS].index(self._names[i]))
        self._order = np.array(by_part)
        self.clear()

    def clear(self) -> None:
        """Removes all persons and all clutter."""
        self.model.geom_group[self._first_clutter :] = _HIDDEN
        self.figures = [None] * PERSONS
        self._used = 0

    def bodies(self, person: int) -> slice:
        """The numbers of a person's parts in the model, in the order of `PARTS`."""
        first = 1 + person * len(PARTS)
        return slice(first, first + len(PARTS))

    def solids(self, person: int) -> slice:
        """The numbers of a person's solids in the model."""
        first = self._first_solid + person * self._solids
        return slice(first, first + self._solids)

    def dress(self, person: int, figure: Figure) -> None:
        """Puts a figure in a person's place."""
        m = self.model
        self.figures[person] = figure
        m.body_pos[self.bodies(person)] = figure.offsets()
        solids = figure.solids()
        ordered = [solids[i] for i in self._order]
        where = self.solids(person)
        m.geom_pos[where] = [solid.centre for solid in ordered]
        m.geom_size[where] = [solid.size for solid in ordered]
        m.geom_quat[where] = [_TURNS[solid.axis] for solid in ordered]
        m.geom_rgba[where] = [(*solid.paint.rgb, 1.0) for solid in ordered]
        m.geom_matid[where] = [self._pattern[p] if (p := solid.paint.pattern) >= 0 else -1 for solid in ordered]
        m.geom_group[where] = [0 if solid.shown else _HIDDEN for solid in ordered]

    def place(self, person: int, pose: np.ndarray, at: np.ndarray, heading: float, above: float = 0.0) -> None:
        """Poses a dressed person [16, 3] at a place [2] m of the floor, facing a heading (rad, 0 along x).

        Its lowest point ends `above` metres over the floor.
        """
        turns = quaternions(pose)
        root = np.empty(4)
        mujoco.mju_mulQuat(root, np.array([np.cos(heading / 2), 0, 0, np.sin(heading / 2)]), turns[0])
        size = 7 + 4 * (len(PARTS) - 1)
        qpos = self.data.qpos[person * size : (person + 1) * size]
        qpos[0:2], qpos[2], qpos[3:7] = at, 1.0, root
        qpos[7:] = turns[1:].ravel()
        mujoco.mj_kinematics(self.model, self.data)
        qpos[2] += above - self._lowest(person)

    def _lowest(self, person: int) -> float:
        where = self.solids(person)
        shown = self.model.geom_group[where] == 0
        axes = self.data.geom_xmat[where].reshape(-1, 3, 3)[:, 2]
        size = self.model.geom_size[where]
        capsule = self.model.geom_type[where] == mujoco.mjtGeom.mjGEOM_CAPSULE
        drop = np.where(capsule, np.abs(axes[:, 2]) * size[:, 1] + size[:, 0], np.linalg.norm(axes * size, axis=1))
        return float((self.data.geom_xpos[where, 2] - drop)[shown].min())

    def put(
        self, kind: str, at: np.ndarray, size: np.ndarray, turn: np.ndarray, rgb: np.ndarray, pattern: int = -1
    ) -> None:
        """Adds a piece of clutter: centre [3], size [3] as in MuJoCo, rotation [4], colour; too many are dropped."""
        if self._used == CLUTTER:
            return
        index, m = self._first_clutter + self._used, self.model
        self._used += 1
        m.geom_type[index] = _KINDS[kind]
        m.geom_pos[index], m.geom_size[index], m.geom_quat[index] = at, size, turn
        m.geom_rgba[index] = (*np.clip(rgb, 0.01, 1), 1.0)
        m.geom_matid[index] = self._pattern[pattern] if pattern >= 0 else -1
        m.geom_group[index] = 0

    def wall(self, number: int, shown: bool, at: np.ndarray, size: np.ndarray, heading: float) -> None:
        """Places wall 0 or 1, or hides it."""
        index = self.model.geom(f"wall{number}").id
        self.model.geom_group[index] = 0 if shown else _HIDDEN
        self.model.geom_pos[index], self.model.geom_size[index] = at, size
        self.model.geom_quat[index] = np.cos(heading / 2), 0, 0, np.sin(heading / 2)

    def light(self, sun: np.ndarray, fill: np.ndarray, colours: np.ndarray, ambient: float) -> None:
        """Sets the directions [3] of both lights, the diffuse colours [2, 3], and the ambient light from the camera."""
        m = self.model
        m.light_dir[:] = np.stack([sun, fill]) / np.linalg.norm([sun, fill], axis=1, keepdims=True)
        m.light_pos[:] = np.array([0, 0, 0.8]) - 12 * m.light_dir
        m.light_diffuse[:] = colours
        m.light_ambient[:] = 0
        m.light_specular[:] = 0.3 * colours
        m.vis.headlight.ambient[:] = ambient
        m.vis.headlight.diffuse[:] = 0.35 * ambient
        m.vis.headlight.specular[:] = 0

    def look(self, camera: Camera) -> None:
        """Moves the camera."""
        self.camera = camera
        camera_index = self.model.camera("camera").id
        self.model.cam_pos[camera_index] = camera.position
        self.model.cam_fovy[camera_index] = np.degrees(camera.fov)
        mujoco.mju_mat2Quat(self.model.cam_quat[camera_index], camera.axes.ravel())

    def paint(self, draw: Draw) -> None:
        """New pictures for all textures; a renderer has to upload them afterwards."""
        for name in (*GROUNDS, *(f"pattern{i}" for i in range(PATTERNS))):
            self._fill(name, draw)
        top = texture(draw, SKY_SIZE)
        sky = np.stack([texture(draw, SKY_SIZE) if draw.chance(0.7) else top for _ in range(6)])
        self._write("sky", sky)

    def _fill(self, name: str, draw: Draw) -> None:
        if name in GROUNDS:
            self.cover(name, texture(draw, GROUND_SIZE))
        else:
            self._write(name, np.broadcast_to(texture(draw, PATTERN_SIZE), (6, PATTERN_SIZE, PATTERN_SIZE, 3)))

    def cover(self, ground: str, picture: np.ndarray) -> None:
        """Gives the floor or a wall (`GROUNDS`) its picture uint8 [128, 128, 3]; upload it afterwards."""
        self._write(ground, picture)

    def _write(self, name: str, picture: np.ndarray) -> None:
        start = int(self.model.texture(name).adr[0])
        self.model.tex_data[start : start + picture.size] = picture.ravel()

    def settle(self) -> None:
        """Computes where everything is, after changes and before rendering or measuring."""
        mujoco.mj_kinematics(self.model, self.data)
        mujoco.mj_comPos(self.model, self.data)
        mujoco.mj_camlight(self.model, self.data)
