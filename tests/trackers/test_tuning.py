"""Settings are found again from what they made."""

from __future__ import annotations

import numpy as np
import pytest

from xpose_stream.trackers import TrackerConfig
from xpose_stream.trackers.tuning import Way, fit, surprise


def way(noise: float, seed: int = 0) -> Way:
    """Four points on a body that walks, measured with `noise` px."""
    rng = np.random.default_rng(seed)
    times = np.arange(120) / 30
    place = np.stack([50 * times, np.zeros(120)], 1)[:, None] + rng.uniform(0, 100, (1, 4, 2))
    sway = 8 * np.sin(6 * times[:, None, None] + np.arange(4)[:, None])
    return Way(times, place + sway + rng.normal(0, noise, place.shape), np.full(120, 200.0))


@pytest.mark.parametrize("noise", [1.0, 8.0])
def test_noise_is_found_again(noise: float) -> None:
    fitted = fit([way(noise)], TrackerConfig())
    assert fitted.measurement_noise * 200 == pytest.approx(noise, rel=0.35)
    assert surprise([way(noise, 1)], fitted) < surprise([way(noise, 1)], TrackerConfig())


def test_nothing_can_be_fitted_to_nothing() -> None:
    nothing = Way(np.arange(3.0), np.full((3, 2, 2), np.nan), np.full(3, 10.0))
    for ways in ([], [nothing]):
        with pytest.raises(ValueError, match="No track has been measured twice"):
            fit(ways, TrackerConfig())
