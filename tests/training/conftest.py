"""A small bank of stick figures, in the format of the rendered one but made in a moment."""

from pathlib import Path

import cv2
import numpy as np
import pytest

import xpose_stream.training.world  # noqa: F401  it says how MuJoCo renders, before a test imports that
from xpose_stream.training.data.shard import Shard, write_shard

POSE = np.array(
    (
        *((0, -9), (-1, -10), (1, -10), (-2, -9), (2, -9), (-3, -6), (3, -6), (-4, -3), (4, -3), (-4, 0), (4, 0)),
        *((-2, 0), (2, 0), (-2, 4), (2, 4), (-2, 8), (2, 8)),
    ),
    np.float32,
)
BONES = [(5, 6), (5, 7), (7, 9), (6, 8), (8, 10), (5, 11), (6, 12), (11, 12), (11, 13), (13, 15), (12, 14), (14, 16)]


def stick_figures(pictures: int, seed: int = 0) -> Shard:
    """One or two upright figures per picture."""
    rng = np.random.default_rng(seed)
    jpegs, image, boxes, keypoints = [], [], [], []
    for index in range(pictures):
        rgb = np.full((192, 256, 3), rng.integers(60, 200), np.uint8)
        for _ in range(rng.integers(1, 3)):
            points = POSE * rng.uniform(4, 8) + rng.uniform((60, 80), (196, 112))
            for a, b in BONES:
                cv2.line(rgb, points[a].astype(int).tolist(), points[b].astype(int).tolist(), (250, 20, 20), 3)
            cv2.circle(rgb, points[0].astype(int).tolist(), 8, (20, 20, 250), -1)
            inside = ((points >= 0) & (points < (256, 192))).all(1)
            keypoints.append(np.column_stack((points, 2 * inside)))
            boxes.append(np.concatenate((points.min(0) - 4, points.max(0) + 4)).clip(0, (256, 192, 256, 192)))
            image.append(index)
        jpegs.append(cv2.imencode(".jpg", rgb)[1])
    count = len(image)
    return Shard(
        jpeg=np.concatenate(jpegs),
        offsets=np.cumsum([0] + [len(jpeg) for jpeg in jpegs]),
        categories=np.array(["person"]),
        image=np.array(image, np.int32),
        category=np.zeros(count, np.int16),
        identity=np.arange(count, dtype=np.int32),
        box=np.array(boxes, np.float32),
        keypoints=np.array(keypoints, np.float32),
        ignore=np.zeros(count, bool),
    )


@pytest.fixture(scope="session")
def stick_bank(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bank")
    for number in range(2):
        write_shard(folder / f"shard-{number:05d}.npz", stick_figures(20, seed=number))
    return folder
