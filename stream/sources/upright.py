"""Pictures as they are meant to be seen: turned upright, not mirrored, with square pixels."""

from __future__ import annotations

import logging
from fractions import Fraction
from functools import cache
from itertools import pairwise
from typing import Any

import av
import numpy as np
from av.filter import Graph

# Filters by what the display matrix makes of the axes (x to the right, y down): (a, b, c, d) of x' = ax + cy and so on.
_Turn = tuple[int, int, int, int]
_TURNS: dict[_Turn, list[str]] = {
    (1, 0, 0, 1): [],
    (-1, 0, 0, 1): ["hflip"],
    (1, 0, 0, -1): ["vflip"],
    (-1, 0, 0, -1): ["hflip", "vflip"],
    (0, 1, 1, 0): ["transpose=cclock_flip"],
    (0, 1, -1, 0): ["transpose=clock"],
    (0, -1, 1, 0): ["transpose=cclock"],
    (0, -1, -1, 0): ["transpose=clock_flip"],
}
_RGB, _UNSPECIFIED = 0, 2  # numbers of colour matrices (H.273)
_WIDEST = 4  # a pixel that is said to be wider, or higher, than so many times the other side is not believed
_UNKNOWN = range(28, 36)  # kinds of side data that FFmpeg has and PyAV does not know, such as EXIF: it fails on them

log = logging.getLogger(__name__)


class Upright:
    """Turns, mirrors and stretches pictures as their stream says: a phone's video, an anamorphic camera's.

    aspect  width of a pixel by its height; a stretched picture becomes wider or narrower, its height stays.
    name    of the source, to say that its aspect is absurd.
    """

    def __init__(self, aspect: Fraction | None, name: str) -> None:
        self._aspect = aspect if aspect and aspect > 0 else Fraction(1)
        if not Fraction(1, _WIDEST) <= self._aspect <= _WIDEST:
            _disbelieve(name, self._aspect)
            self._aspect = Fraction(1)
        self._made_for: tuple[object, ...] | None = None
        self._graph: Graph | None = None
        self._bare: Graph | None = None

    def __call__(self, picture: av.VideoFrame) -> av.VideoFrame:
        """The picture itself where there is nothing to do."""
        turn = self._turn(picture)
        if not _TURNS[turn] and self._aspect == 1:
            return picture
        shape = (picture.width, picture.height, picture.format.name, turn)
        if self._graph is None or shape != self._made_for:
            self._graph, self._made_for = self._make(picture, turn), shape
        pts, base, colours = picture.pts, picture.time_base, picture.colorspace
        if colours != _RGB:
            picture.colorspace = _UNSPECIFIED  # nothing here is a matter of colours, and some FFmpeg's filters refuse
        self._graph.push(picture)
        upright = self._graph.pull()
        assert isinstance(upright, av.VideoFrame)
        upright.pts, upright.time_base, upright.colorspace = pts, base, colours
        return upright

    def _turn(self, picture: av.VideoFrame) -> _Turn:
        """The key of `_TURNS` that is nearest to the picture's display matrix."""
        sides: Any  # PyAV's own hints say that it is a mapping
        try:
            sides = picture.side_data
        except ValueError:
            sides = _without_unknown(picture).side_data
        matrix = next((side for side in sides if side.type.name == "DISPLAYMATRIX"), None)
        if matrix is None:
            return (1, 0, 0, 1)
        values: np.ndarray = np.frombuffer(matrix, np.int32)
        a, b, _, c, d = values[:5].astype(float)
        # A matrix may also scale; only where the axes go counts.
        return max(_TURNS, key=lambda turn: float(np.dot(turn, _unit(a, b) + _unit(c, d))))

    def _make(self, picture: av.VideoFrame, turn: _Turn) -> Graph:
        width = max(2, round(picture.width * self._aspect / 2) * 2)
        return _graph(picture, [f"scale={width}:{picture.height}", "setsar=1", *_TURNS[turn]])


@cache  # a folder of photographs, a camera that comes back: said once
def _disbelieve(name: str, aspect: Fraction) -> None:
    log.warning("%s: pixels of %d:%d are not believed and taken as square", name, *aspect.as_integer_ratio())


def _unit(x: float, y: float) -> tuple[float, float]:
    length = float(np.hypot(x, y)) or 1.0
    return x / length, y / length


def _without_unknown(picture: av.VideoFrame) -> av.VideoFrame:
    graph = _graph(picture, [f"sidedata=mode=delete:type={kind}" for kind in _UNKNOWN])
    graph.push(picture)
    bare = graph.pull()
    assert isinstance(bare, av.VideoFrame)
    return bare


def _graph(picture: av.VideoFrame, filters: list[str]) -> Graph:
    graph = Graph()
    nodes = [
        graph.add_buffer(
            width=picture.width, height=picture.height, format=picture.format, time_base=Fraction(1, 90_000)
        )
    ]
    nodes += [graph.add(*filter.split("=", 1)) for filter in filters]
    nodes.append(graph.add("buffersink"))
    for one, next_one in pairwise(nodes):
        one.link_to(next_one)
    graph.configure()
    return graph
