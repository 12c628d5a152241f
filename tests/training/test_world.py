from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import av
import numpy as np
import pytest

from training.bank import WIDTH, Shard, read_shard, render_shard, write_shard
from training.world.draw import BANDS, Draw
from training.world.figure import KEYPOINTS, PART, Build, Figure, Outfit, Paint
from training.world.moment import compose
from training.world.pose import Gait, walk
from training.world.render import Renderer
from training.world.scene import Camera, Scene
from training.world.texture import FAMILIES
from training.world.truth import truth

CLIP = Path(__file__).parents[2] / "configs" / "demo" / "crossing.mp4"
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


def test_left_is_on_the_right_of_the_picture_when_a_person_faces_the_camera(stage: tuple[Scene, Renderer]) -> None:
    scene, renderer = stage
    scene.dress(0, Figure())
    for heading, side in ((0.0, 1), (np.pi, -1)):
        scene.place(0, STILL, np.zeros(2), heading)
        scene.settle()
        keypoints = truth(scene, renderer.shoot().depth).keypoints[0]
        x = dict(zip(KEYPOINTS, keypoints[:, 0], strict=True))
        for joint in ("eye", "ear", "shoulder", "elbow", "wrist", "hip", "knee", "ankle"):
            assert side * (x[f"left_{joint}"] - x[f"right_{joint}"]) > 0


def test_the_face_shows_from_the_front_only(stage: tuple[Scene, Renderer]) -> None:
    scene, renderer = stage
    scene.dress(0, Figure())
    for heading, face, body in ((0.0, 2, 2), (np.pi, 1, 2)):
        scene.place(0, STILL, np.zeros(2), heading)
        scene.settle()
        seen = truth(scene, renderer.shoot().depth).keypoints[0, :, 2]
        assert (seen[:3] == face).all()
        assert (seen[5:] == body).all()


def test_a_side_view_hides_the_far_shoulder_and_hip(stage: tuple[Scene, Renderer]) -> None:
    scene, renderer = stage
    scene.dress(0, Figure())
    scene.place(0, STILL, np.zeros(2), np.pi / 2)  # faces right in the picture; the left side is away from the camera
    scene.settle()
    seen = dict(zip(KEYPOINTS, truth(scene, renderer.shoot().depth).keypoints[0, :, 2], strict=True))
    assert seen["right_shoulder"] == seen["right_hip"] == seen["right_ear"] == 2
    assert seen["left_shoulder"] == seen["left_hip"] == seen["left_ear"] == 1


def test_what_stands_in_front_hides_but_does_not_move_the_truth(stage: tuple[Scene, Renderer]) -> None:
    scene, renderer = stage
    scene.dress(0, Figure())
    scene.place(0, STILL, np.zeros(2), 0.0)
    scene.settle()
    free = truth(scene, renderer.shoot().depth)
    scene.put("box", np.array([1.5, 0, 0.3]), np.array([0.1, 1.0, 0.35]), np.array([1.0, 0, 0, 0]), np.ones(3))
    scene.settle()
    covered = truth(scene, renderer.shoot().depth)
    np.testing.assert_array_equal(covered.box, free.box)
    np.testing.assert_array_equal(covered.keypoints[..., :2], free.keypoints[..., :2])
    assert (covered.keypoints[0, -2:, 2] == 1).all()  # ankles
    assert (covered.keypoints[0, :7, 2] == 2).all()  # face and shoulders
    scene.put("box", np.array([1.5, 0, 1.0]), np.array([0.1, 1.0, 1.0]), np.array([1.0, 0, 0, 0]), np.ones(3))
    scene.settle()
    assert truth(scene, renderer.shoot().depth).ignore.tolist() == [True]


def test_the_box_is_the_outline_of_the_drawn_person(stage: tuple[Scene, Renderer]) -> None:
    scene, renderer = stage
    empty = renderer.shoot().depth
    scene.dress(0, Figure())
    rng = np.random.default_rng(0)
    for phase in rng.random(4):
        scene.place(0, walk(phase, Gait(), Build()), rng.uniform(-0.3, 0.3, 2), rng.uniform(-3, 3))
        scene.settle()
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
        scene.dress(0, Figure(Build(), outfit))
        scene.place(0, walk(number / 3, Gait(), Build()), np.zeros(2), 2.0 * number)
        scene.settle()
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
    scene.dress(0, Figure())
    scene.place(0, STILL, np.array([2.0, 0]), 0.0)  # too near for its feet
    scene.settle()
    seen = truth(scene, renderer.shoot().depth)
    x, y, v = seen.keypoints[0].T
    inside = (x >= 0) & (x < 160) & (y >= 0) & (y < 120)
    assert 0 < inside.sum() < 17
    np.testing.assert_array_equal(v == 0, ~inside)
    assert seen.box[0, 3] == 120


def test_walking_feet_stay_on_the_ground_and_where_they_are() -> None:
    scene, build, gait = Scene(slices=4), Build(), Gait()
    scene.dress(0, Figure(build))
    left, right = (scene.bodies(0).start + PART[f"{side}_foot"] for side in ("left", "right"))
    ankles = []
    for phase in np.linspace(0.1, 0.3, 9):  # the left foot carries
        travelled = gait.speed(build) * phase * gait.period
        scene.place(0, walk(phase, gait, build), np.array([travelled, 0]), 0.0)
        scene.settle()
        ankles.append(scene.data.xpos[left].copy())
        assert scene.data.xpos[left][2] < scene.data.xpos[right][2]
    assert np.ptp([ankle[0] for ankle in ankles]) < 0.05
    assert np.ptp([ankle[2] for ankle in ankles]) < 0.02


@pytest.mark.parametrize("split", ["train", "test"])
def test_moments_have_one_to_five_persons_of_useful_size(split: str, world: tuple[Scene, Renderer]) -> None:
    scene, renderer = world
    draw = Draw("test" if split == "test" else "train", 5)
    counts, heights = [], []
    for _ in range(16):
        compose(scene, draw)
        seen = truth(scene, renderer.shoot().depth)
        assert np.isfinite(seen.keypoints).all()
        assert (seen.box[:, 2:] > seen.box[:, :2]).all()
        counts.append(len(seen.person))
        heights += ((seen.box[:, 3] - seen.box[:, 1]) / 120).tolist()
    assert max(counts) <= 5
    assert np.mean(counts) > 1.5
    assert np.mean(np.array(heights) > 0.35) > 0.7


def test_the_splits_share_no_body_hue_or_texture() -> None:
    bands = {
        split: {int(BANDS * (Build.random(draw).girth - 0.82) / (1.3 - 0.82)) for _ in range(200)}
        for split, draw in (("train", Draw("train", 1)), ("test", Draw("test", 1)))
    }
    assert bands == {"train": set(range(0, BANDS, 2)), "test": set(range(1, BANDS, 2))}
    assert not set(FAMILIES["train"]) & set(FAMILIES["test"])
    assert Draw("train", 3).rng.random() != Draw("test", 3).rng.random()


def test_a_shard_is_determined_by_its_seed_and_survives_its_file(tmp_path) -> None:
    shard, again, other = (render_shard(Draw("train", seed), 2) for seed in (1, 1, 2))
    path = tmp_path / "shard-00000.npz"
    write_shard(path, shard)
    read = read_shard(path)
    assert len(read) == 2
    for name in [field.name for field in fields(Shard)]:
        np.testing.assert_array_equal(getattr(read, name), getattr(shard, name))
        np.testing.assert_array_equal(getattr(again, name), getattr(shard, name))
    assert read.picture(1).shape == (192, WIDTH, 3)
    assert sum(read.instances(i).stop - read.instances(i).start for i in range(2)) == len(read.box)
    assert not np.array_equal(other.keypoints, shard.keypoints)


def test_what_is_no_shard_is_refused_by_name(tmp_path) -> None:
    np.savez(tmp_path / "shard-00000.npz", jpeg=np.zeros(3))
    with pytest.raises(ValueError, match="lacks offsets"):
        read_shard(tmp_path / "shard-00000.npz")


def test_the_demo_clip_is_what_its_truth_says() -> None:
    truths = json.loads(CLIP.with_suffix(".json").read_text())
    with av.open(str(CLIP)) as container:
        stream = container.streams.video[0]
        packets = [packet for packet in container.demux(stream) if packet.pts is not None]
        assert (stream.width, stream.height, stream.average_rate) == (
            truths["width"],
            truths["height"],
            truths["fps"],
        )
        assert stream.codec_context.profile == "High"
    assert CLIP.stat().st_size < 3_000_000
    assert len(packets) == len(truths["frames"]) >= 20 * truths["fps"]
    assert [packet.pts for packet in packets] == [packet.dts for packet in packets]  # no B-frames
    assert all(packet.is_keyframe for packet in packets[:: truths["fps"]])
    assert tuple(truths["keypoints"]) == KEYPOINTS


def test_walkers_of_the_demo_clip_stay_in_view_and_cross() -> None:
    frames = json.loads(CLIP.with_suffix(".json").read_text())["frames"]
    assert all({person["id"] for person in persons} == {0, 1, 2} for persons in frames)
    keypoints = np.array(
        [[person["keypoints"] for person in sorted(persons, key=lambda one: one["id"])] for persons in frames]
    )
    assert (keypoints[..., 2] > 0).mean() > 0.98
    # smooth: no keypoint jumps
    assert np.abs(np.diff(keypoints[..., :2], axis=0)).max() < 30
    middle = keypoints[..., 11:13, 0].mean(axis=-1)
    crossings = sum(
        int((np.diff(np.sign(middle[:, a] - middle[:, b])) != 0).sum()) for a, b in ((0, 1), (0, 2), (1, 2))
    )
    assert crossings >= 8
