"""What makes views of one point alike."""

from pathlib import Path

import cv2
import numpy as np

from xpose_stream.engines import DEFAULT, load
from xpose_stream.engines.xpose.looks import LOOKS
from xpose_stream.training.pretrained.matching import metric, pairs, views


def test_directions_that_tell_points_apart_count_and_those_that_tell_views_apart_do_not() -> None:
    rng = np.random.default_rng(0)
    points = rng.normal(size=(4000, 3)) * (1.0, 1.0, 0.0)
    one, other = (points + rng.normal(size=points.shape) * (0.1, 1.0, 3.0) for _ in range(2))
    scales = np.linalg.norm(metric(one, other), axis=0)
    assert scales[0] > 2 * scales[1] > 4 * scales[2]

    def right(matrix: np.ndarray) -> float:
        seen, sought = (x[:400] @ matrix.T for x in (one, other))
        seen, sought = (x / np.linalg.norm(x, axis=1, keepdims=True) for x in (seen, sought))
        return float(((seen @ sought.T).argmax(1) == np.arange(400)).mean())

    assert right(metric(one, other)) > 3 * right(np.eye(3))


def test_a_point_shows_the_same_in_both_views() -> None:
    rng = np.random.default_rng(1)
    y, x = np.mgrid[:120, :160]
    picture = np.dstack((x, y, np.full_like(x, 90))).astype(np.uint8)  # whose colours tell where they are
    for _ in range(5):
        (image, _), (places, again) = views(picture, (96, 128), rng)
        assert len(places) == len(again) > 20
        column, row = places.round().astype(int).T
        colours = image[row.clip(0, 95), column.clip(0, 127), :2].astype(float)
        spots = np.round(places).clip(0, (127, 95))
        shift = np.linalg.lstsq(np.column_stack((spots, np.ones(len(spots)))), colours, rcond=None)
        assert np.sqrt(shift[1] / len(spots)).max() < 2.5  # colours are linear in place, as in the picture


def test_features_are_those_of_the_trunks_levels_at_the_same_points(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).integers(0, 255, (30, 40, 3), np.uint8)
    cv2.imwrite(str(tmp_path / "a.png"), cv2.resize(noise, (320, 240)))
    found = pairs(load(DEFAULT).model.eval(), [tmp_path / "a.png"])
    assert [one.shape[1] for one, _ in found] == list(LOOKS)
    for one, other in found:
        assert len(one) == len(other) > 10
        alike = (one * other).sum(1) / np.linalg.norm(one, axis=1) / np.linalg.norm(other, axis=1)
        assert alike.mean() > 0.3
