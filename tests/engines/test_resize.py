from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xpose_stream.engines.resize import content_size, shared_size, span, target_size


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


@given(st.integers(1, 40), st.integers(1, 8000), st.booleans(), st.sampled_from([(168, 224), (192, 256), (800, 1333)]))
def test_however_narrow_a_picture_is_something_of_it_is_left(
    short: int, long: int, upright: bool, sides: tuple[int, int]
) -> None:
    size = (short, long) if upright else (long, short)
    for seen in target_size(*size, *sides), content_size(size, shared_size(*size, *sides), *sides):
        assert min(seen) >= sides[0] // 6 and max(seen) <= sides[1] + sides[0] // 12 + 1


@given(st.integers(1, 8000), st.integers(1, 8000), st.sampled_from([(168, 224), (192, 256), (800, 1333)]))
def test_in_an_input_that_is_shared_a_picture_is_as_large_as_by_the_rule(
    width: int, height: int, sides: tuple[int, int]
) -> None:
    whole = shared_size(width, height, *sides)
    exact, content = target_size(width, height, *sides), content_size((width, height), whole, *sides)
    assert all(
        is_ <= room and 0 <= by_rule - is_ <= sides[0] / 12 + 1
        for by_rule, is_, room in zip(exact, content, whole, strict=True)
    )


@given(st.integers(1, 8000), st.integers(1, 8000), st.sampled_from([(168, 224), (192, 256), (800, 1333)]))
def test_an_input_spans_the_picture_and_what_is_filled(width: int, height: int, sides: tuple[int, int]) -> None:
    assert span((width, height), target_size(width, height, *sides), *sides) == (width, height)
    whole = shared_size(width, height, *sides)
    content, spanned = content_size((width, height), whole, *sides), span((width, height), whole, *sides)
    for size, all_of_it, taken, room in zip((width, height), spanned, content, whole, strict=True):
        assert all_of_it * taken / room == pytest.approx(size)


@pytest.mark.parametrize("sides", [(168, 224), (800, 1333)])
def test_photographs_of_any_shape_share_two_sizes(sides: tuple[int, int]) -> None:
    shapes = [(1000 + 7 * i, 750 + 13 * i) for i in range(60)] + [(750 + 11 * i, 1000 + 3 * i) for i in range(60)]
    assert {shared_size(*shape, *sides) for shape in shapes} == {sides, sides[::-1]}
