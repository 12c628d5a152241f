"""The demo clips show what their truth says."""

from __future__ import annotations

import json
from pathlib import Path

import av
import numpy as np

from xpose_stream.engines.prompts.bank import find_skeletons
from xpose_stream.training.world.cast import company
from xpose_stream.training.world.clip import RATE, film
from xpose_stream.training.world.figure import KEYPOINTS
from xpose_stream.training.world.scene import Scene

DEMO = Path(__file__).parents[3] / "configs" / "demo"
CLIP, COMPANY = DEMO / "crossing.mp4", DEMO / "company.mp4"


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
    assert {name: tuple(names) for name, names in truths["categories"].items()} == {"person": KEYPOINTS}


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


def test_filming_again_gives_the_truth_of_the_demo_clip() -> None:
    frames = json.loads(CLIP.with_suffix(".json").read_text())["frames"]
    for (_, again), persons in zip(film(Scene(slices=24), 3, np.arange(2) / RATE), frames, strict=False):
        for one, other in zip(again, persons, strict=True):
            assert one["id"] == other["id"]
            np.testing.assert_allclose(one["box"], other["box"], atol=0.11)
            np.testing.assert_allclose(
                np.array(one["keypoints"])[:, :2], np.array(other["keypoints"])[:, :2], atol=0.11
            )


def test_the_clip_of_company_has_whole_bodies_of_several_categories() -> None:
    truths = json.loads(COMPANY.with_suffix(".json").read_text())
    with av.open(str(COMPANY)) as container:
        stream = container.streams.video[0]
        packets = [packet for packet in container.demux(stream) if packet.pts is not None]
        assert (stream.width, stream.height, stream.average_rate) == (
            truths["width"],
            truths["height"],
            truths["fps"],
        )
    assert COMPANY.stat().st_size < 5_000_000
    assert len(packets) == len(truths["frames"]) >= 20 * truths["fps"]
    assert [packet.pts for packet in packets] == [packet.dts for packet in packets]  # no B-frames
    for skeleton in find_skeletons(list(truths["categories"])):
        assert truths["categories"][skeleton.category] == list(skeleton.keypoints)
    who = {one["id"]: one["category"] for one in truths["frames"][0]}
    assert sorted(who.values()) == ["chair", "person", "quadruped", "robot arm"]
    for frame in truths["frames"]:
        assert {one["id"]: one["category"] for one in frame} == who
    seen = np.array([point[2] for frame in truths["frames"] for one in frame for point in one["keypoints"]])
    assert (seen > 0).mean() > 0.97
    assert (seen == 2).mean() > 0.6


def test_filming_the_clip_of_company_again_gives_its_truth() -> None:
    frames = json.loads(COMPANY.with_suffix(".json").read_text())["frames"]
    for (_, again), wanted in zip(film(Scene(slices=24), 3, np.arange(2) / RATE, company), frames, strict=False):
        assert [(one["id"], one["category"]) for one in again] == [(one["id"], one["category"]) for one in wanted]
        for one, other in zip(again, wanted, strict=True):
            points, others = np.array(one["keypoints"]), np.array(other["keypoints"])
            np.testing.assert_allclose(points[:, :2], others[:, :2], atol=0.11)
