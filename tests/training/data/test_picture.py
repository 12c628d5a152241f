import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xpose_stream.training.data.batches import tiling
from xpose_stream.training.data.picture import Picture, crop, join, mirror

MIRRORED = np.array([[0, 2, 1, 4, 3]])  # of one class


def picture(seed: int = 0, people: int = 3) -> Picture:
    rng = np.random.default_rng(seed)
    low = rng.uniform(0, (150, 100), (people, 2))
    boxes = np.concatenate((low, low + rng.uniform(20, 90, (people, 2))), 1).clip(0, (256, 192, 256, 192))
    keypoints = np.concatenate(
        (rng.uniform(boxes[:, None, :2], boxes[:, None, 2:], (people, 5, 2)), rng.integers(0, 3, (people, 5, 1))), -1
    )
    return Picture(
        rng.integers(0, 256, (192, 256, 3), np.uint8),
        boxes.astype(np.float32),
        keypoints.astype(np.float32),
        np.zeros(people, np.int64),
        np.zeros(people, bool),
    )


@settings(deadline=None)  # a busy machine is no failure
@given(st.integers(0, 10_000), st.integers(0, 6))
def test_mirrored_twice_is_the_picture_itself(seed, people):
    before = picture(seed, people)
    after = mirror(mirror(before, MIRRORED), MIRRORED)
    assert np.array_equal(after.rgb, before.rgb)
    assert np.allclose(after.boxes, before.boxes, atol=1e-4)
    assert np.allclose(after.keypoints, before.keypoints, atol=1e-4)


def test_a_mirror_exchanges_left_and_right():
    before = picture()
    after = mirror(before, MIRRORED)
    assert np.allclose(after.keypoints[:, 1, 0], 256 - before.keypoints[:, 2, 0])
    assert np.allclose(after.keypoints[:, 0, 0], 256 - before.keypoints[:, 0, 0])
    assert np.array_equal(after.keypoints[:, 3, 1:], before.keypoints[:, 4, 1:])
    assert (after.boxes[:, 2] > after.boxes[:, 0]).all()


@pytest.mark.parametrize("window", [(0, 0, 256, 192), (40, 30, 200, 150), (-30, -20, 270, 205), (100, 60, 180, 120)])
def test_keypoints_stay_on_their_pixels(window):
    dot = np.array((140.0, 90.0))
    rgb = np.zeros((192, 256, 3), np.uint8)
    rgb[86:94, 136:144] = 255  # its middle is the dot
    keypoints = np.array([[(*dot, 2)] * 5], np.float32)
    boxes = np.array([(136, 86, 144, 94)], np.float32)
    seen = crop(Picture(rgb, boxes, keypoints, np.zeros(1, np.int64), np.zeros(1, bool)), window, (144, 192), (0, 0, 0))
    weight = seen.rgb[..., 0].astype(float)
    y, x = np.indices(weight.shape) + 0.5
    middle = (x * weight).sum() / weight.sum(), (y * weight).sum() / weight.sum()
    assert np.allclose(seen.keypoints[0, 0, :2], middle, atol=0.1)
    assert np.allclose((seen.boxes[0, :2] + seen.boxes[0, 2:]) / 2, middle, atol=0.1)


def test_what_a_crop_leaves_of_a_person_decides_whether_it_is_demanded():
    keypoints = np.zeros((3, 5, 3), np.float32)
    keypoints[0] = [(50, 50, 2)] * 5
    keypoints[1] = [(110, 50, 2)] * 5
    keypoints[2] = [(200, 50, 2)] * 5
    boxes = np.array([(20, 20, 80, 80), (90, 20, 190, 80), (180, 20, 250, 80)], np.float32)
    rgb = np.zeros((192, 256, 3), np.uint8)
    before = Picture(rgb, boxes, keypoints, np.arange(3), np.zeros(3, bool))
    after = crop(before, (0, 0, 100, 100), (100, 100))
    assert after.classes.tolist() == [0, 1]  # the third is outside
    assert after.ignore.tolist() == [False, True]  # of the second a tenth is left
    assert after.keypoints[1, 0, 2] == 0
    assert (after.boxes <= 100).all()


def test_a_mirror_exchanges_what_the_class_of_each_instance_has_in_pairs():
    before = picture(people=2)
    before.classes[:] = 1, 0
    after = mirror(before, np.array([[0, 2, 1, 4, 3], [0, 1, 2, 3, 4]]))
    assert np.allclose(after.keypoints[0, 1, 0], 256 - before.keypoints[0, 1, 0])
    assert np.allclose(after.keypoints[1, 1, 0], 256 - before.keypoints[1, 2, 0])


def test_what_is_not_annotated_stays_so_wherever_it_is_cropped():
    before = picture()
    before.keypoints[:, 0] = 0, 0, -1
    after = crop(before, (20, 20, 220, 170), (144, 192))
    assert (after.keypoints[:, 0, 2] == -1).all()
    assert (after.keypoints[:, 1:, 2] >= 0).all()


def test_joined_pictures_keep_their_instances_where_they_are_shown():
    sizes = (60, 50), (60, 70), (40, 120)
    first, second, third = (crop(picture(i), (0, 0, 256, 192), size) for i, size in enumerate(sizes))
    whole = join([[first, second], [third]])
    assert whole.size == (100, 120)
    assert np.array_equal(whole.rgb[:60, 50:], second.rgb) and np.array_equal(whole.rgb[60:], third.rgb)
    counts = [len(part.boxes) for part in (first, second, third)]
    assert len(whole.boxes) == sum(counts) and min(counts) > 0
    for part, corner, start in ((first, (0, 0), 0), (second, (50, 0), counts[0]), (third, (0, 60), sum(counts[:2]))):
        own = slice(start, start + len(part.boxes))
        assert np.allclose(whole.boxes[own] - np.tile(corner, 2), part.boxes)
        assert np.allclose(whole.keypoints[own, :, :2] - corner, part.keypoints[..., :2], equal_nan=True)
        assert np.array_equal(whole.keypoints[own, :, 2], part.keypoints[..., 2])


def test_tiles_fill_an_image():
    rng, shapes = np.random.default_rng(1), set()
    for _ in range(300):
        rows = tiling((192, 256), rng)
        assert sum(row[0][0] for row in rows) == 192
        assert all(sum(wide for _, wide in row) == 256 and len({tall for tall, _ in row}) == 1 for row in rows)
        shapes.add(tuple(map(len, rows)))
    assert shapes == {(1,), (2,), (1, 1), (2, 2)}
