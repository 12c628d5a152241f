import numpy as np

from xpose_stream.training.data.colour import degrade, recolour


def test_pixels_change_but_nothing_moves():
    rng = np.random.default_rng(0)
    rgb = np.full((144, 192, 3), 60, np.uint8)
    rgb[40:80, 50:90] = 200
    changed = 0
    for _ in range(60):
        after = degrade(recolour(rgb, rng), rng)
        assert after.shape == rgb.shape
        assert after.dtype == np.uint8
        light = after.astype(float).mean(-1)
        assert light[50:70, 60:80].mean() > light[:20, :20].mean() + 20  # the patch is where it was
        changed += not np.array_equal(after, rgb)
    assert changed == 60


def test_the_change_follows_from_the_generator():
    rgb = np.random.default_rng(0).integers(0, 256, (108, 192, 3), np.uint8)
    first, again = (degrade(recolour(rgb, g), g) for g in (np.random.default_rng(5), np.random.default_rng(5)))
    assert np.array_equal(first, again)
