"""Pictures as they are meant to be seen: turned upright, with square pixels."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import av
from av.filter import Graph

_TURNS = {90: ["transpose=cclock"], 180: ["hflip", "vflip"], 270: ["transpose=clock"]}


class Upright:
    """Turns and stretches pictures as their stream says: a phone's video, an anamorphic camera's.

    aspect  width of a pixel by its height; a stretched picture becomes wider or narrower, its height stays.
    """

    def __init__(self, aspect: Fraction | None) -> None:
        self._aspect = aspect if aspect and aspect > 0 else Fraction(1)
        self._made_for: tuple[object, ...] | None = None
        self._graph: Graph | None = None

    def __call__(self, picture: av.VideoFrame) -> av.VideoFrame:
        """The picture itself where there is nothing to do."""
        turn = round(picture.rotation / 90) * 90 % 360
        if not turn and self._aspect == 1:
            return picture
        shape = (picture.width, picture.height, picture.format.name, turn)
        if self._graph is None or shape != self._made_for:
            self._graph, self._made_for = self._make(picture, turn), shape
        pts, base = picture.pts, picture.time_base
        self._graph.push(picture)
        upright = self._graph.pull()
        assert isinstance(upright, av.VideoFrame)
        upright.pts, upright.time_base = pts, base
        return upright

    def _make(self, picture: av.VideoFrame, turn: int) -> Graph:
        graph = Graph()
        width = max(2, round(picture.width * self._aspect / 2) * 2)
        source = graph.add_buffer(
            width=picture.width, height=picture.height, format=picture.format, time_base=Fraction(1, 90_000)
        )
        filters = [f"scale={width}:{picture.height}", "setsar=1", *_TURNS.get(turn, [])]
        nodes = [graph.add(*filter.split("=", 1)) for filter in filters]
        nodes = [source, *nodes, graph.add("buffersink")]
        for one, next_one in pairwise(nodes):
            one.link_to(next_one)
        graph.configure()
        return graph
