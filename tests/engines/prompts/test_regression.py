"""Rows fitted to examples: they tell a marked keypoint from all else, whichever way round the thing lies."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from xpose_stream.engines import load
from xpose_stream.engines.cache import EngineCache
from xpose_stream.engines.checkpoint import Checkpoint
from xpose_stream.engines.detect import detect
from xpose_stream.engines.engine import build_engine
from xpose_stream.engines.prompts.bank import PromptBank, embed_prompts
from xpose_stream.engines.prompts.example import Example, normalised
from xpose_stream.engines.prompts.prompt import Prompt
from xpose_stream.engines.prompts.regression import ALIGNED, RIDGE, angle_between, fit, show, turning
from xpose_stream.engines.prompts.regression import _ridge as ridge
from xpose_stream.engines.prompts.skeleton import Skeleton
from xpose_stream.engines.shipped import DEFAULT
from xpose_stream.engines.xpose import XPose
from xpose_stream.engines.xpose.likeness import PATCH, TURNS, seen
from xpose_stream.engines.xpose.looks import correlate, lay_out

POINTS = np.array(((100.0, 90.0), (150.0, 90.0), (100.0, 120.0)))


@pytest.fixture(scope="module")
def checkpoint() -> Checkpoint:
    return load(DEFAULT)


@pytest.fixture(scope="module")
def model(checkpoint: Checkpoint) -> XPose:
    return checkpoint.model.eval()


def picture(angle: float = 0.0, shift: tuple[float, float] = (0, 0)) -> tuple[NDArray[np.uint8], NDArray[np.float64]]:
    """A thing of three marks of one shape and three colours, on a ground of spots; turned counterclockwise."""
    rng = np.random.default_rng(0)
    ground: Any = cv2.resize(rng.integers(60, 190, (12, 16, 3), np.uint8), (256, 192), interpolation=cv2.INTER_CUBIC)
    centre = POINTS.mean(0)
    points = (POINTS - centre) @ turning(angle) + centre + shift
    for point, colour in zip(points, ((250, 20, 20), (20, 20, 250), (20, 240, 20)), strict=True):
        cv2.circle(ground, (int(point[0]), int(point[1])), 9, colour, -1, cv2.LINE_AA)
    return ground, points


def example(angle: float = 0.0, absent: int | None = None) -> Example:
    rgb, points = picture(angle)
    box = np.concatenate((points.min(0) - 15, points.max(0) + 15))
    if absent is not None:
        points[absent] = np.nan
    return Example(rgb, box, points)


@torch.no_grad()
def likest(model: XPose, rows: torch.Tensor, rgb: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Px [K, TURNS, 2] at which rows are highest."""
    assert model.guess is not None
    maps = lay_out(model.levels(torch.from_numpy(normalised(rgb))[None])[model.config.levels :], (192, 256))
    like = correlate(rows.flatten(0, 1)[None], seen(maps.looks, model.guess.metric), maps.size)[0]
    row, column = np.divmod(like.argmax(-1).numpy(), maps.size[1])
    return (np.stack((column, row), -1) * 4 + 2.0).reshape(len(rows), TURNS, 2)


@torch.inference_mode()
def found_in(model: XPose, bank: PromptBank, rgb: NDArray[np.uint8]) -> list[NDArray[np.float64]]:
    """Keypoints [K, 2] px of what is seen where a track begins."""
    output = model(torch.from_numpy(normalised(rgb))[None], bank.instances, bank.keypoints)
    (found,) = detect(output, bank.keypoint_mask.numpy(), 256, 192, threshold=0.44, overlap=model.config.overlap)
    return list(found.keypoints)


def test_a_keypoint_is_found_again_by_the_row_of_the_way_round_it_lies(model: XPose) -> None:
    rows = fit(model, show(model, [example()]))
    assert rows.shape == (3, TURNS, PATCH)
    for turn in (0, 3, 6):
        rgb, points = picture(45.0 * turn, (20, -10))
        assert np.hypot(*(likest(model, rows, rgb)[:, turn] - points).T).max() < 8


def test_of_two_things_each_is_taken_as_it_lies(checkpoint: Checkpoint) -> None:
    twice, first = picture(0.0, (-70, -40))
    turned, second = picture(180.0, (60, 40))
    twice[:, 128:] = turned[:, 128:]
    skeleton = Skeleton("thing", ("red", "blue", "green"), (), (), (0.05,) * 3)
    bank = embed_prompts([Prompt(skeleton, words=False, examples=(example(),))], checkpoint)
    found = found_in(checkpoint.model, bank, twice)
    for truth in (first, second):
        assert min(np.hypot(*(one - truth).T).max() for one in found) < 10


def test_a_compiled_engine_answers_to_an_example_what_eager_answers(checkpoint: Checkpoint, tmp_path: Path) -> None:
    skeleton = Skeleton("thing", ("red", "blue", "green"), (), (), (0.05,) * 3)
    bank = embed_prompts([Prompt(skeleton, words=False, examples=(example(),))], checkpoint)
    engine = build_engine(deepcopy(checkpoint.model), "cpu", "openvino", cache=EngineCache(tmp_path))
    images = torch.from_numpy(normalised(picture(120.0, (20, 10))[0]))[None]
    assert engine.prepare(images, engine.pin(bank.instances, bank.keypoints, bank.keypoint_mask)) == "openvino"


def test_examples_that_lie_another_way_round_are_turned_back(model: XPose) -> None:
    shown = show(model, [example(), example(90.0)])
    assert shown[1].turned == pytest.approx(90, abs=1)
    rgb, points = picture(0.0, (-20, 10))
    assert np.hypot(*(likest(model, fit(model, shown), rgb)[:, 0] - points).T).max() < 8


def test_a_keypoint_is_fitted_to_the_examples_that_show_it(model: XPose) -> None:
    rows = fit(model, show(model, [example(absent=1)]))
    assert rows[1].abs().max() == 0 and rows[0].abs().max() > 0
    both = fit(model, show(model, [example(absent=1), example()]))
    rgb, points = picture(0.0, (-20, 10))
    assert np.hypot(*(likest(model, both, rgb)[:, 0] - points).T).max() < 8


@given(st.floats(ALIGNED + 1, 175), st.booleans())
def test_an_angle_is_that_by_which_points_were_turned_and_small_ones_do_not_count(angle: float, back: bool) -> None:
    signed = -angle if back else angle
    assert angle_between(POINTS, POINTS @ turning(signed) + 7) == pytest.approx(signed, abs=1e-6)
    assert angle_between(POINTS, POINTS @ turning(signed / 180 * ALIGNED) + 7) == 0.0


def test_too_few_common_keypoints_tell_no_angle() -> None:
    other = POINTS @ turning(90)
    other[1:] = np.nan
    assert angle_between(POINTS, other) == 0.0


@pytest.mark.parametrize("count", (20, 80))
def test_both_systems_of_the_regression_have_the_same_answer(count: int) -> None:
    chance = torch.Generator().manual_seed(0)
    x, y = torch.randn(count, 50, generator=chance), torch.randn(count, 3, generator=chance)
    wanted = torch.linalg.solve(x.T @ x + RIDGE * torch.eye(50), x.T @ y)
    torch.testing.assert_close(ridge(x, y), wanted, atol=1e-5, rtol=1e-4)
