"""One compiled MuJoCo model whose solids, light, textures and camera are changed in place."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import mujoco
import numpy as np

from xpose_stream.training.world.body import PATTERNS, Paint, Placed
from xpose_stream.training.world.draw import Draw
from xpose_stream.training.world.texture import texture

SOLIDS = 480
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
    solids = '<geom type="box" size="0.1 0.1 0.1"/>' * SOLIDS
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
        <geom name="floor" type="plane" size="60 60 60" material="floor"/>
        <geom name="wall0" type="box" size="1 1 1" material="wall"/>
        <geom name="wall1" type="box" size="1 1 1" material="wall2"/>
        {solids}
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

    `placed` are the bodies in it, and `solids` where each one's solids are in the model. `slices` is how finely round
    solids are drawn.
    """

    def __init__(self, slices: int = 14) -> None:
        self.model = mujoco.MjModel.from_xml_string(_description(slices))
        # the compiler marks solids that sit at their part's origin, and would not look at their position again
        self.model.geom_sameframe[:] = 0
        self.data = mujoco.MjData(self.model)
        self.camera = Camera.looking(np.array([4.0, 0, 1.5]), np.array([0, 0, 1.0]), 0.8)
        self.placed: list[Placed] = []
        self.solids: list[slice] = []
        self._first = self.model.ngeom - SOLIDS
        self._pattern = [self.model.material(f"pattern{i}").id for i in range(PATTERNS)]
        self._used = self._first
        self.clear()

    def clear(self) -> None:
        """Removes all bodies and all clutter."""
        self.model.geom_group[self._first :] = _HIDDEN
        self.placed, self.solids = [], []
        self._used = self._first

    def add(self, placed: Placed) -> None:
        """Adds a posed body. Raises ValueError when the world is full."""
        shown = placed.body.shown
        where = self._take(len(shown), placed.body.category)
        m = self.model
        m.geom_type[where] = [_KINDS[solid.kind] for solid in shown]
        self._paint(where, [solid.paint for solid in shown])
        self.placed.append(placed)
        self.solids.append(where)
        self._move(where, placed)

    def move(self, number: int, placed: Placed) -> None:
        """Gives body `number` another pose or place."""
        self.placed[number] = placed
        self._move(self.solids[number], placed)

    def _move(self, where: slice, placed: Placed) -> None:
        m = self.model
        m.geom_pos[where], m.geom_size[where] = placed.centre, placed.size
        for index, axes in zip(range(where.start, where.stop), placed.turn, strict=True):
            mujoco.mju_mat2Quat(m.geom_quat[index], axes.ravel())

    def put(
        self, kind: str, at: np.ndarray, size: np.ndarray, turn: np.ndarray, rgb: np.ndarray, pattern: int = -1
    ) -> None:
        """Adds a piece of clutter: centre [3], size [3] as in MuJoCo, rotation [4], colour.

        Raises ValueError when the world is full.
        """
        where, m = self._take(1, kind), self.model
        m.geom_type[where] = _KINDS[kind]
        m.geom_pos[where], m.geom_size[where], m.geom_quat[where] = at, size, turn
        r, g, b = np.clip(rgb, 0.01, 1).tolist()
        self._paint(where, [Paint((r, g, b), pattern)])

    def _take(self, count: int, what: str) -> slice:
        where = slice(self._used, self._used + count)
        if where.stop > self.model.ngeom:
            raise ValueError(f"no room for a {what} of {count} solids: the world holds {SOLIDS}")
        self._used = where.stop
        self.model.geom_group[where] = 0
        return where

    def _paint(self, where: slice, paints: Sequence[Paint]) -> None:
        self.model.geom_rgba[where] = [(*paint.rgb, 1.0) for paint in paints]
        self.model.geom_matid[where] = [self._pattern[p] if (p := paint.pattern) >= 0 else -1 for paint in paints]

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

    def paint(self, draw: Draw, plain: float = 0.5) -> None:
        """New pictures for all textures, `plain` as `texture` takes it; a renderer has to upload them afterwards."""
        for name in (*GROUNDS, *(f"pattern{i}" for i in range(PATTERNS))):
            self._fill(name, draw, plain)
        top = texture(draw, SKY_SIZE, plain)
        sky = np.stack([texture(draw, SKY_SIZE, plain) if draw.chance(0.7) else top for _ in range(6)])
        self._write("sky", sky)

    def _fill(self, name: str, draw: Draw, plain: float) -> None:
        if name in GROUNDS:
            self.cover(name, texture(draw, GROUND_SIZE, plain))
        else:
            self._write(name, np.broadcast_to(texture(draw, PATTERN_SIZE, plain), (6, PATTERN_SIZE, PATTERN_SIZE, 3)))

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
