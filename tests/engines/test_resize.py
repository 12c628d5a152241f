from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engines.resize import target_size


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((640, 480), (1066, 800)),
        ((480, 640), (800, 1066)),
        ((1920, 1080), (1333, 750)),  # the long side limits: short = round(1333 * 1080 / 1920) = 750
        ((800, 800), (800, 800)),
        ((1000, 800), (1000, 800)),
    ],
)
def test_the_published_resize_rule(size: tuple[int, int], expected: tuple[int, int]) -> None:
    assert target_size(*size, 800, 1333) == expected


@given(st.integers(100, 4000), st.integers(100, 4000))
def test_a_resized_frame_keeps_its_aspect_and_stays_within_the_limits(width: int, height: int) -> None:
    w, h = target_size(width, height, 144, 192)
    rounding = max(width, height) / min(width, height)  # half a pixel of the short side, seen on the long one
    assert min(w, h) <= 144 and max(w, h) <= 192 + rounding
    assert (w >= h) == (width >= height) or w == h
