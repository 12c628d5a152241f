from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from xpose_stream.training.world.body import Paint
from xpose_stream.training.world.draw import BANDS, Draw
from xpose_stream.training.world.figure import KEYPOINTS, PART, Build, Figure, Outfit
from xpose_stream.training.world.moment import compose
from xpose_stream.training.world.pose import Gait, rotations, walk
from xpose_stream.training.world.render import Renderer
from xpose_stream.training.world.scene import Camera, Scene
from xpose_stream.training.world.texture import FAMILIES
from xpose_stream.training.world.truth import truth

STILL = np.zeros((len(PART), 3))
NOWHERE = np.zeros(3)


@pytest.fixture(scope="module")
def world() -> Iterator[tuple[Scene, Renderer]]:
    scene = Scene(slices=8)
    with Renderer(scene, 160, 120) as renderer:
        scene.paint(Draw("train", 0))
        renderer.upload()
        yield scene, renderer


@pytest.fixture
def stage(world: tuple[Scene, Renderer]) -> tuple[Scene, Renderer]:
    """An empty, well lit world, seen from four metres along x."""
    scene, _ = world
    scene.clear()
    for wall in (0, 1):
        scene.wall(wall, False, NOWHERE, np.ones(3), 0)
    scene.light(np.array([-1.0, 0, -1]), np.array([-1.0, 1, -1]), np.full((2, 3), 0.3), 0.5)
    scene.look(Camera.looking(np.array([4.0, 0, 1.0]), np.array([0, 0, 0.9]), 0.6))
    return world


def stand(
    scene: Scene,
    pose: np.ndarray = STILL,
    at: tuple[float, float] = (0, 0),
    heading: float = 0,
    who: Figure | None = None,
) -> None:
    """One person alone in the world."""
    placed = (who or Figure()).body().put(rotations(pose), np.array(at), heading)
    if scene.placed:
        scene.move(0, placed)
    else:
        scene.add(placed)
    scene.settle()


def test_left_is_on_the_right_of_the_picture_when_a_person_faces_the_camera(stage: tuple[Scene, Renderer]) -> None:
    scene, renderer = stage
    for heading, side in ((0.0, 1), (np.pi, -1)):
        stand(scene, heading=heading)
        keypoints = truth(scene, renderer.shoot().depth).keypoints[0]
        x = dict(zip(KEYPOINTS, keypoints[:, 0], strict=True))
        for joint in ("eye", "ear", "shoulder", "elbow", "wrist", "hip", "knee", "ankle"):
            assert side * (x[f"left_{joint}"] - x[f"right_{joint}"]) > 0


def test_the_face_shows_from_the_front_only(stage: tuple[Scene, Renderer]) -> None:
    scene, renderer = stage
    for heading, face, body in ((0.0, 2, 2), (np.pi, 1, 2)):
        stand(scene, heading=heading)
        seen = truth(scene, renderer.shoot().depth).keypoints[0][:, 2]
        assert (seen[:3] == face).all()
        assert (seen[5:] == body).all()


def test_a_side_view_hides_the_far_shoulder_and_hip(stage: tuple[Scene, Renderer]) -> None:
    scene, renderer = stage
    stand(scene, heading=np.pi / 2)  # faces right in the picture; the left side is away from the camera
    seen = dict(zip(KEYPOINTS, truth(scene, renderer.shoot().depth).keypoints[0][:, 2], strict=True))
    assert seen["right_shoulder"] == seen["right_hip"] == seen["right_ear"] == 2
    assert seen["left_shoulder"] == seen["left_hip"] == seen["left_ear"] == 1


def test_what_stands_in_front_hides_but_does_not_move_the_truth(stage: tuple[Scene, Renderer]) -> None:
    scene, renderer = stage
    stand(scene)
    free = truth(scene, renderer.shoot().depth)
    scene.put("box", np.array([1.5, 0, 0.3]), np.array([0.1, 1.0, 0.35]), np.array([1.0, 0, 0, 0]), np.ones(3))
    scene.settle()
    covered = truth(scene, renderer.shoot().depth)
    np.testing.assert_array_equal(covered.box, free.box)
    np.testing.assert_array_equal(covered.keypoints[0][:, :2], free.keypoints[0][:, :2])
    assert (covered.keypoints[0][-2:, 2] == 1).all()  # ankles
    assert (covered.keypoints[0][:7, 2] == 2).all()  # face and shoulders
    scene.put("box", np.array([1.5, 0, 1.0]), np.array([0.1, 1.0, 1.0]), np.array([1.0, 0, 0, 0]), np.ones(3))
    scene.settle()
    assert truth(scene, renderer.shoot().depth).ignore.tolist() == [True]


def test_the_box_is_the_outline_of_the_drawn_person(stage: tuple[Scene, Renderer]) -> None:
    scene, renderer = stage
    empty = renderer.shoot().depth
    rng = np.random.default_rng(0)
    for phase in rng.random(4):
        x, y = rng.uniform(-0.3, 0.3, 2)
        stand(scene, walk(phase, Gait(), Build()), (x, y), rng.uniform(-3, 3))
        depth = renderer.shoot().depth
        rows, columns = np.nonzero(np.abs(depth - empty) > 0.02)
        outline = [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        np.testing.assert_allclose(truth(scene, depth).box[0], outline, atol=2.0)


def test_visible_keypoints_lie_on_their_person(stage: tuple[Scene, Renderer]) -> None:
    scene, renderer = stage
    red = Paint((0.9, 0.01, 0.01))
    outfit = Outfit(red, red, red, red, red, red)
    checked = 0
    for number in range(3):
        stand(scene, walk(number / 3, Gait(), Build()), heading=2.0 * number, who=Figure(Build(), outfit))
        shot = renderer.shoot()
        redness = shot.rgb[..., 0].astype(int) - shot.rgb[..., 1]
        for x, y, seen in truth(scene, shot.depth).keypoints[0]:
            if seen == 2:
                # eyes are not red; the skin around them is
                around = redness[max(int(y) - 1, 0) : int(y) + 2, max(int(x) - 1, 0) : int(x) + 2]
                assert around.max() > 60
                checked += 1
    assert checked > 30


def test_outside_the_picture_is_visibility_zero(stage: tuple[Scene, Renderer]) -> None:
    scene, renderer = stage
    stand(scene, at=(2.0, 0))  # too near for its feet
    seen = truth(scene, renderer.shoot().depth)
    x, y, v = seen.keypoints[0].T
    inside = (x >= 0) & (x < 160) & (y >= 0) & (y < 120)
    assert 0 < inside.sum() < 17
    np.testing.assert_array_equal(v == 0, ~inside)
    assert seen.box[0, 3] == 120


def test_walking_feet_stay_on_the_ground_and_where_they_are() -> None:
    build, gait = Build(), Gait()
    body = Figure(build).body()
    left, right = (KEYPOINTS.index(f"{side}_ankle") for side in ("left", "right"))
    ankles = []
    for phase in np.linspace(0.1, 0.3, 9):  # the left foot carries
        travelled = gait.speed(build) * phase * gait.period
        placed = body.put(rotations(walk(phase, gait, build)), np.array([travelled, 0]))
        ankles.append(placed.keypoints[left])
        assert placed.keypoints[left][2] < placed.keypoints[right][2]
    assert np.ptp([ankle[0] for ankle in ankles]) < 0.05
    assert np.ptp([ankle[2] for ankle in ankles]) < 0.02


@pytest.mark.parametrize("split", ["train", "test"])
def test_moments_have_one_to_three_bodies_of_useful_size(split: str, world: tuple[Scene, Renderer]) -> None:
    scene, renderer = world
    draw = Draw("test" if split == "test" else "train", 5)
    counts, sides = [], []
    for _ in range(24):
        compose(scene, draw)
        seen = truth(scene, renderer.shoot().depth)
        assert all(np.isfinite(points).all() for points in seen.keypoints)
        assert (seen.box[:, 2:] > seen.box[:, :2]).all()
        counts.append(len(seen.identity))
        sides += ((seen.box[:, 2:] - seen.box[:, :2]).max(axis=1) / 120).tolist()
    assert 1 <= min(counts) <= max(counts) <= 3
    assert np.mean(counts) > 1.1
    assert min(sides) > 0.38


def test_the_splits_share_no_body_hue_or_texture() -> None:
    bands = {
        split: {int(BANDS * (Build.random(draw).girth - 0.82) / (1.3 - 0.82)) for _ in range(200)}
        for split, draw in (("train", Draw("train", 1)), ("test", Draw("test", 1)))
    }
    assert bands == {"train": set(range(0, BANDS, 2)), "test": set(range(1, BANDS, 2))}
    assert not set(FAMILIES["train"]) & set(FAMILIES["test"])
    assert Draw("train", 3).rng.random() != Draw("test", 3).rng.random()
