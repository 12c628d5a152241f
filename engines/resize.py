"""The size at which a model sees a picture."""

from __future__ import annotations


def target_size(width: int, height: int, short_side: int, long_side: int) -> tuple[int, int]:
    """(width, height) the model sees: the short side becomes `short_side` unless the long one would exceed `long_side`.

    The published rule, with its rounding (halves to even, then the other side cut to an integer). What is so narrow
    that by it nothing would be left of the short side is stretched to a sixth of `short_side`.
    """
    short, long = min(width, height), max(width, height)
    side, least = short_side, max(short_side // 6, 1)
    if long / short * side > long_side:
        side = round(long_side * short / long)
    if side < least:
        return (least, long_side) if width < height else (long_side, least)
    if short == side:
        return width, height
    return (side, int(side * height / width)) if width < height else (int(side * width / height), side)


def shared_size(width: int, height: int, short_side: int, long_side: int) -> tuple[int, int]:
    """(width, height) of the input that all pictures share that are upright, or all that are not: two for any pictures.

    By `target_size` each fits into its own, but for a pixel of rounding; the rest is filled.
    """
    return (long_side, short_side) if width >= height else (short_side, long_side)


def content_size(size: tuple[int, int], image: tuple[int, int], short_side: int, long_side: int) -> tuple[int, int]:
    """(width, height) that a picture of `size` takes, from the top left, of an input of size `image`."""
    across, down = target_size(*size, short_side, long_side)
    return min(across, image[0]), min(down, image[1])


def span(size: tuple[int, int], image: tuple[int, int], short_side: int, long_side: int) -> tuple[float, float]:
    """(width, height) of an input of size `image` in px of the picture in it: `size`, that of the picture, or more."""
    content = content_size(size, image, short_side, long_side)
    return size[0] * (image[0] / content[0]), size[1] * (image[1] / content[1])
