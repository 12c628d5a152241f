"""The size at which a model sees a picture."""

from __future__ import annotations


def target_size(width: int, height: int, short_side: int, long_side: int) -> tuple[int, int]:
    """(width, height) the model sees: the short side becomes `short_side` unless the long one would exceed `long_side`.

    The published rule, with its rounding (halves to even, then the other side cut to an integer).
    """
    short, long = min(width, height), max(width, height)
    side = short_side
    if long / short * side > long_side:
        side = round(long_side * short / long)
    if short == side:
        return width, height
    return (side, int(side * height / width)) if width < height else (int(side * width / height), side)
