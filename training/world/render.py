"""Pictures and depth of a scene."""

from __future__ import annotations

from dataclasses import dataclass

import mujoco
import numpy as np

from xpose_stream.training.world.scene import Scene


@dataclass(frozen=True, slots=True)
class Shot:
    """A rendered picture uint8 [H, W, 3] RGB and the distance along the view axis float [H, W] in m."""

    rgb: np.ndarray
    depth: np.ndarray


class Renderer:
    """Renders a scene off screen. Context manager; one per thread. Size in px; `smooth` draws 4 samples per pixel."""

    def __init__(self, scene: Scene, width: int, height: int, smooth: bool = False) -> None:
        self.scene, self.width, self.height = scene, width, height
        scene.model.vis.quality.offsamples = 4 if smooth else 0
        self._gl = mujoco.GLContext(width, height)
        self._gl.make_current()
        self._context = mujoco.MjrContext(scene.model, mujoco.mjtFontScale.mjFONTSCALE_100)
        mujoco.mjr_setBuffer(mujoco.mjtFramebuffer.mjFB_OFFSCREEN, self._context)
        self._context.readDepthMap = mujoco.mjtDepthMap.mjDEPTH_ZEROFAR
        self._option = mujoco.MjvOption()
        self._option.geomgroup[:] = [1, 0, 0, 0, 0, 0]
        self._view = mujoco.MjvCamera()
        self._view.type = mujoco.mjtCamera.mjCAMERA_FIXED
        self._view.fixedcamid = scene.model.camera("camera").id
        self._drawn = mujoco.MjvScene(scene.model, maxgeom=scene.model.ngeom + 8)
        self._rect = mujoco.MjrRect(0, 0, width, height)

    def __enter__(self) -> Renderer:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Gives the drawing surface back."""
        self._context.free()
        self._gl.free()

    def upload(self) -> None:
        """Shows the scene's new textures."""
        self._gl.make_current()
        for texture in range(self.scene.model.ntex):
            mujoco.mjr_uploadTexture(self.scene.model, self._context, texture)

    def shoot(self, shadows: bool = False) -> Shot:
        """Renders the settled scene."""
        self._gl.make_current()
        model, data = self.scene.model, self.scene.data
        mujoco.mjv_updateScene(model, data, self._option, None, self._view, mujoco.mjtCatBit.mjCAT_ALL, self._drawn)
        self._drawn.flags[mujoco.mjtRndFlag.mjRND_SHADOW] = shadows
        self._drawn.flags[mujoco.mjtRndFlag.mjRND_HAZE] = 0
        self._drawn.flags[mujoco.mjtRndFlag.mjRND_REFLECTION] = 0
        mujoco.mjr_render(self._rect, self._drawn, self._context)
        rgb = np.empty((self.height, self.width, 3), np.uint8)
        raw = np.empty((self.height, self.width), np.float32)
        mujoco.mjr_readPixels(rgb, raw, self._rect, self._context)
        near = model.vis.map.znear * model.stat.extent
        far = model.vis.map.zfar * model.stat.extent
        # the buffer holds 1 at the near plane and 0 at the far one
        depth = near * far / (near + raw.astype(np.float64) * (far - near))
        return Shot(np.ascontiguousarray(rgb[::-1]), depth[::-1])
