"""Who is who after two things of a kind have passed in front of each other.

While they overlap a detector often sees one thing, or a blend, and frame-to-frame matching follows whatever is left.
So both ways are remembered from before, and as two things come apart again the identities go where the ways lead.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from xpose_stream.trackers.association import iou

Floats = NDArray[np.float64]

TOUCHING, APART = 0.1, 0.05  # IoU at which a crossing begins, and below which it is over
WAY = (0.15, 0.33)  # s, the least and the most that a way is remembered
LONGEST = 2.0  # s, after which a way tells nothing any more
NEAR = 0.5  # sizes, from where somebody hidden must come out again
CLEARLY = 0.9  # identities are exchanged when the way left to explain is at most this share of what it was


@dataclass(frozen=True, slots=True)
class _Crossing:
    """Centres [2, 2] px and velocities [2, 2] px/s of two things at the time (s) when they touched."""

    time: float
    centres: Floats
    velocities: Floats

    def expected(self, time: float) -> Floats:
        return self.centres + self.velocities * (time - self.time)


@dataclass(slots=True)
class Crossings:
    """The ways of all tracks, and the crossings that are not over yet, by pairs of ids."""

    _ways: dict[int, deque[tuple[float, Floats]]] = field(default_factory=dict)
    _open: dict[tuple[int, int], _Crossing] = field(default_factory=dict)

    def settle(
        self,
        ids: NDArray[np.int64],
        class_ids: NDArray[np.int64],
        boxes: Floats,
        centres: Floats,
        detected: NDArray[np.bool_],
        confirmed: NDArray[np.bool_],
        born: Floats,
        time: float,
    ) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Whose identity each of T tracks has at `time`: row `source[i]` for track i, and [T] the tracks that stay.

        A track goes when one that has just come out of hiding takes its identity over. Arguments have T rows; `centres`
        [T, 2] px are those of the bodies, which swing less than those of the boxes.
        """
        source, kept = np.arange(len(ids)), np.ones(len(ids), np.bool_)
        row_of = {int(identity): row for row, identity in enumerate(ids)}
        for pair, crossing in list(self._open.items()):
            rows = [row_of.get(identity) for identity in pair]
            if None in rows or time - crossing.time > LONGEST:
                self._close(pair)
                continue
            heirs = detected & (born > crossing.time) & kept & (source == np.arange(len(ids)))
            known = [row for row in rows if row is not None]
            self._settle(pair, known, crossing.expected(time), boxes, centres, detected & kept, heirs, source, kept)
        self._follow(
            ids[source][kept], class_ids[kept], boxes[kept], centres[kept], (detected & confirmed[source])[kept], time
        )
        return source, kept

    def _settle(
        self,
        pair: tuple[int, int],
        rows: list[int],
        expected: Floats,
        boxes: Floats,
        centres: Floats,
        detected: NDArray[np.bool_],
        heirs: NDArray[np.bool_],
        source: NDArray[np.int64],
        kept: NDArray[np.bool_],
    ) -> None:
        """See whose identity goes where, in `source` and `kept`, and whether a crossing is over."""
        present = [row for row in rows if detected[row]]
        if len(present) == 1:
            heir = _heir(boxes, centres, heirs, expected, present[0])
            if heir is None:
                return
            hidden = next(row for row in rows if row != present[0])
            source[heir], kept[hidden] = source[hidden], False
            rows = [heir if row == hidden else row for row in rows]
        if not present:
            return
        found = centres[rows]
        stay = np.linalg.norm(found - expected, axis=1).sum()
        exchange = np.linalg.norm(found - expected[::-1], axis=1).sum()
        if exchange <= CLEARLY * stay:
            source[rows] = source[rows[::-1]]
        if iou(boxes[rows[:1]], boxes[rows[1:]])[0, 0] < APART:
            self._close(pair)

    def _close(self, pair: tuple[int, int]) -> None:
        del self._open[pair]
        for identity in pair:  # what they did meanwhile is no way to go by
            self._ways.pop(identity, None)

    def _follow(
        self,
        ids: NDArray[np.int64],
        class_ids: NDArray[np.int64],
        boxes: Floats,
        centres: Floats,
        seen: NDArray[np.bool_],
        time: float,
    ) -> None:
        """Lengthen the ways of tracks that are alone, and note who begins to cross whom."""
        busy = {identity for pair in self._open for identity in pair}
        for row, identity in enumerate(ids.tolist()):
            if seen[row] and identity not in busy:
                way = self._ways.setdefault(identity, deque())
                way.append((time, centres[row]))
                while time - way[0][0] > WAY[1]:
                    way.popleft()
        self._ways = {identity: way for identity, way in self._ways.items() if identity in ids}
        overlap = iou(boxes, boxes) * (class_ids[:, None] == class_ids)
        for a, b in zip(*np.nonzero(np.triu(overlap > TOUCHING, 1)), strict=True):
            pair = (int(min(ids[a], ids[b])), int(max(ids[a], ids[b])))
            ways = [self._ways.get(identity, deque()) for identity in pair]
            if pair not in self._open and all(way and way[-1][0] - way[0][0] >= WAY[0] for way in ways):
                velocities = np.array([(way[-1][1] - way[0][1]) / (way[-1][0] - way[0][0]) for way in ways])
                last = np.array([way[-1][1] + v * (time - way[-1][0]) for way, v in zip(ways, velocities, strict=True)])
                self._open[pair] = _Crossing(time, last, velocities)


def _heir(boxes: Floats, centres: Floats, heirs: NDArray[np.bool_], expected: Floats, present: int) -> int | None:
    """The younger track near where one of both should be, clear of the one that is `present`; None without any."""
    best, nearest = None, np.inf
    for row in np.flatnonzero(heirs):
        distance = np.linalg.norm(centres[row] - expected, axis=1).min()
        size = max(boxes[row, 2:] - boxes[row, :2])
        clear = iou(boxes[[row]], boxes[[present]])[0, 0] < APART
        if clear and distance < min(NEAR * size, nearest):
            best, nearest = int(row), distance
    return best
