"""Every category of the world: its skeleton, its keypoints, what is said to be visible of them."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import mujoco
import numpy as np
import pytest

from xpose_stream.engines.prompts.bank import find_skeletons
from xpose_stream.training.world.category import CATEGORIES, LONGEST, TRAINED, UNSEEN, Category
from xpose_stream.training.world.draw import BANDS, Draw
from xpose_stream.training.world.moment import compose
from xpose_stream.training.world.render import Renderer
from xpose_stream.training.world.scene import Camera, Scene
from xpose_stream.training.world.truth import truth

ALL = pytest.mark.parametrize("category", TRAINED + UNSEEN, ids=lambda category: category.name)


@pytest.fixture(scope="module")
def world() -> Iterator[tuple[Scene, Renderer]]:
    scene = Scene(slices=16)
    with Renderer(scene, 256, 192) as renderer:
        scene.paint(Draw("train", 0))
        renderer.upload()
        yield scene, renderer


def owners(scene: Scene, renderer: Renderer) -> np.ndarray:
    """Number of the body that each pixel shows [192, 256], -1 for none, by MuJoCo's own segmentation."""
    drawn = renderer._drawn
    drawn.flags[mujoco.mjtRndFlag.mjRND_SEGMENT] = drawn.flags[mujoco.mjtRndFlag.mjRND_IDCOLOR] = 1
    rgb = renderer.shoot().rgb.astype(int)
    drawn.flags[mujoco.mjtRndFlag.mjRND_SEGMENT] = drawn.flags[mujoco.mjtRndFlag.mjRND_IDCOLOR] = 0
    index = rgb[..., 0] + 256 * rgb[..., 1] + 65536 * rgb[..., 2] - 1
    body = np.full(scene.model.ngeom + 1, -1)
    for number, where in enumerate(scene.solids):
        body[where] = number
    solid = np.array([drawn.geoms[i].objid for i in range(drawn.ngeom)] + [-1])
    return body[solid[index]]


def near(mask: np.ndarray, pixels: float) -> np.ndarray:
    """The mask grown by so many px."""
    return cv2.distanceTransform((~mask).astype(np.uint8), cv2.DIST_L2, 5) <= pixels


def alone(scene: Scene, category: Category, draw: Draw) -> None:
    """A random body, 1.6 m large, in the middle of an otherwise empty world."""
    scene.clear()
    for wall in (0, 1):
        scene.wall(wall, False, np.zeros(3), np.ones(3), 0)
    body, pose = category.random(draw)
    low, high = body.put(pose, np.zeros(2)).bounds
    placed = body.scaled(1.6 / (high - low).max()).put(pose, np.zeros(2), draw.uniform(-3, 3))
    scene.add(placed)
    scene.look(Camera.looking(np.array([4.5, 0, draw.uniform(0.5, 2.5)]), np.mean(placed.bounds, axis=0), 0.6))
    scene.settle()


@ALL
def test_the_keypoints_are_those_of_the_skeleton_file(category: Category) -> None:
    (skeleton,) = find_skeletons([category.name])
    for split in ("train", "test"):
        body, _ = category.random(Draw("test" if split == "test" else "train", 1))
        assert tuple(keypoint.name for keypoint in body.keypoints) == skeleton.keypoints
    assert len(skeleton.keypoints) <= LONGEST


@ALL
def test_keypoints_lie_within_their_body_and_its_box_is_its_outline(
    category: Category, world: tuple[Scene, Renderer]
) -> None:
    scene, renderer = world
    draw = Draw("train", 2)
    for _ in range(4):
        alone(scene, category, draw)
        mask = owners(scene, renderer) == 0
        seen = truth(scene, renderer.shoot().depth)
        rows, columns = np.nonzero(mask)
        outline = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        np.testing.assert_allclose(seen.box[0], outline, atol=3.0)
        x, y = seen.keypoints[0][:, :2].astype(int).T
        assert near(mask, 2.5)[y, x].all()
        assert (seen.keypoints[0][:, 2] == 2).any()


def test_what_is_visible_agrees_with_the_segmentation(world: tuple[Scene, Renderer]) -> None:
    scene, renderer = world
    draw = Draw("test", 3)
    agreed: list[bool] = []
    hidden = 0
    for _ in range(20):
        compose(scene, draw)
        owner = owners(scene, renderer)
        seen = truth(scene, renderer.shoot().depth)
        for number, points in zip(seen.identity, seen.keypoints, strict=True):
            shown = near(owner == number, 2.5)
            here = [bool(shown[int(y), int(x)]) for x, y, v in points if v == 2]
            agreed += here
            hidden += sum(not shown[int(y), int(x)] for x, y, v in points if v == 1)
    # what touches a keypoint from the front counts as its flesh, which is rare
    assert len(agreed) > 100
    assert np.mean(agreed) > 0.985
    assert hidden > 5  # behind others; those behind their own body are not counted


@ALL
def test_bodies_and_poses_of_the_splits_differ(category: Category, monkeypatch: pytest.MonkeyPatch) -> None:
    held = Draw.held
    bands: dict[str, list[int]] = {"train": [], "test": []}

    def recorded(draw: Draw, low: float, high: float) -> float:
        value = held(draw, low, high)
        bands[draw.split].append(int((value - low) / (high - low) * BANDS))
        return value

    monkeypatch.setattr(Draw, "held", recorded)
    for seed in range(3):
        for split in (Draw("train", seed), Draw("test", seed)):
            category.random(split)
    assert min(len(numbers) for numbers in bands.values()) >= 3 * 6
    assert {band % 2 for band in bands["train"]} == {0}
    assert {band % 2 for band in bands["test"]} == {1}


def test_names_are_unique_and_unseen_ones_are_not_trained() -> None:
    assert len(set(CATEGORIES)) == len(TRAINED) + len(UNSEEN)
    assert len(TRAINED) >= 9
    assert len(UNSEEN) >= 3
