"""An example is cut out so that its marks stay on what they mark."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from xpose_stream.engines.prompts.example import Example, normalised
from xpose_stream.engines.xpose.text import PromptError


def dots(width: int, height: int, points: np.ndarray, radius: int) -> np.ndarray:
    """White dots on black at px with (0, 0) the corner of the picture."""
    picture = np.zeros((height, width, 3), np.uint8)
    for x, y in points:
        cv2.circle(
            picture, (round((x - 0.5) * 16), round((y - 0.5) * 16)), radius * 16, (255, 255, 255), -1, cv2.LINE_AA, 4
        )
    return picture


@pytest.mark.parametrize(("scale", "radius"), [(1, 3), (12, 30)])
def test_marks_stay_on_what_they_mark_when_the_picture_is_enlarged_or_shrunk(scale: int, radius: int) -> None:
    points = np.array([[30.0, 20], [70, 25], [40, 60]]) * scale
    box = np.array([20.0, 10, 80, 70]) * scale
    view = Example(dots(160 * scale, 120 * scale, points, radius), box, points).view(192, 144)
    assert view.rgb.shape == (144, 192, 3)
    assert (view.box[:2] >= 0).all() and (view.box[2:] <= (192, 144)).all()
    assert view.box[3] - view.box[1] == pytest.approx(144 / 1.5)  # a margin of a quarter on each side
    bright = (view.rgb[..., 0] > 127).astype(np.uint8)
    count, _, _, centres = cv2.connectedComponentsWithStats(bright)
    assert count == 4
    found = centres[1:] + 0.5
    for point in view.keypoints:
        assert np.linalg.norm(found - point, axis=1).min() < 0.35


def test_absent_keypoints_stay_absent() -> None:
    view = Example(np.zeros((50, 60, 3), np.uint8), np.array([5, 5, 40, 40]), np.array([[10, 10], [np.nan, 3]])).view(
        96, 96
    )
    assert view.present.tolist() == [True, False]


@pytest.mark.parametrize("box", [(10, 10, 10, 40), (70, 5, 90, 20), (40, 5, 5, 40)])
def test_an_empty_box_or_one_outside_the_picture_is_refused(box: tuple[int, ...]) -> None:
    with pytest.raises(PromptError, match="not within its picture of 60 x 50"):
        Example(np.zeros((50, 60, 3), np.uint8), np.array(box), np.ones((1, 2)))


def test_a_box_in_shares_of_the_picture_is_refused() -> None:
    with pytest.raises(PromptError, match="below 2 px; write it in px"):
        Example(np.zeros((50, 60, 3), np.uint8), np.array([0.1, 0.1, 0.5, 0.6]), np.ones((1, 2)))


def test_an_example_without_keypoints_is_refused() -> None:
    with pytest.raises(PromptError, match="at least one keypoint"):
        Example(np.zeros((50, 60, 3), np.uint8), np.array([5, 5, 40, 40]), np.full((2, 2), np.nan))


def test_pictures_are_normalised_as_imagenet_is() -> None:
    white = normalised(np.full((1, 1, 3), 255, np.uint8))
    assert white[:, 0, 0] == pytest.approx([(1 - 0.485) / 0.229, (1 - 0.456) / 0.224, (1 - 0.406) / 0.225])
