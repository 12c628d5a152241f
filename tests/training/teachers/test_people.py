"""How the maps of MoveNet become persons, and persons labels."""

from __future__ import annotations

import numpy as np

from xpose_stream.training.teachers.label import annotation
from xpose_stream.training.teachers.people import STRIDE, decode


def maps(height: int = 24, width: int = 32) -> dict[str, np.ndarray]:
    named = {"center": 1, "kpt_heatmap": 17, "kpt_regress": 34, "kpt_offset": 34, "box_scale": 2, "box_offset": 2}
    made = {name: np.zeros((count, height, width), np.float32) for name, count in named.items()}
    made["center"] -= 9
    made["kpt_heatmap"] -= 9
    return made


def test_a_person_is_where_the_centre_and_the_heat_are() -> None:
    given = maps()
    given["center"][0, 10, 12] = 3.0
    given["box_scale"][:, 10, 12] = 12, 6
    for k in range(17):
        y, x = 5 + k % 5, 9 + k // 5
        given["kpt_regress"].reshape(17, 2, 24, 32)[k, :, 10, 12] = y - 10, x - 12
        given["kpt_heatmap"][k, y, x] = 3.0
    (person,) = decode(given)
    assert person.score > 0.9
    np.testing.assert_allclose(person.box, np.array((9, 4, 15, 16)) * STRIDE)
    np.testing.assert_allclose(person.points[6, :2], np.array((10, 6)) * STRIDE)


def test_a_label_tells_what_is_hidden_and_how_far_it_is_trusted() -> None:
    points = np.column_stack((np.linspace(5, 90, 17), np.linspace(5, 90, 17), np.full(17, 0.9)))
    points[0, 2], points[1, 2], points[2, 0] = 0.2, 0.05, -3
    made = annotation(points, np.full(17, 0.5), np.array((0, 0, 100, 100.0)), False, (100, 100))
    seen = made["keypoints"][2::3]
    assert seen[:4] == [1.0, 0.0, 0.0, 2.0]
    assert made["trust"][:4] == [0.5, 0.0, 0.0, 0.5]
    assert made["iscrowd"] == 0
