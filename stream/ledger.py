"""What became of every frame and how long it took: received = published + dropped, by reason."""

from __future__ import annotations

import math
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from time import monotonic
from typing import Any, Literal

import numpy as np

from xpose_stream.stream.finds import Finds

Reason = Literal["newer frame came", "stale", "error", "stopped"]
STAGES = ("decode", "wait", "preprocess", "engine", "track", "publish", "total", "age")


class Histogram:
    """Durations in logarithmic bins 2 % wide, from 1 us to 1000 s: fixed memory, percentiles within 1 %."""

    _LEAST, _WIDTH, _BINS = 1e-6, math.log(1.02), 1050

    def __init__(self) -> None:
        self.counts = np.zeros(self._BINS, np.int64)
        self.sum = 0.0  # s

    def add(self, seconds: float) -> None:
        """Count one duration in s; what lies outside the range goes to its end."""
        place = int(math.log(max(seconds, self._LEAST) / self._LEAST) / self._WIDTH)
        self.counts[min(place, self._BINS - 1)] += 1
        self.sum += seconds

    def percentile(self, q: float) -> float:
        """The duration in s that `q` percent do not exceed; NaN when nothing was counted."""
        total = int(self.counts.sum())
        if not total:
            return math.nan
        place = int(np.searchsorted(self.counts.cumsum(), total * q / 100))
        return self._LEAST * math.exp((place + 0.5) * self._WIDTH)

    def up_to(self, seconds: float) -> int:
        """How many durations were at most so long, exact but for the bin that `seconds` falls into."""
        return int(self.counts[: max(0, int(math.log(seconds / self._LEAST) / self._WIDTH)) + 1].sum())

    def since(self, earlier: Histogram | None) -> Histogram:
        """What was counted after `earlier`, a copy of this histogram then, was taken."""
        later = Histogram()
        later.counts = self.counts - earlier.counts if earlier else self.counts.copy()
        later.sum = self.sum - earlier.sum if earlier else self.sum
        return later


class Ledger:
    """Counts of one camera's frames, what was found in them, and how long each stage took; for any thread."""

    def __init__(self) -> None:
        self.received = 0
        self.published = 0
        self.dropped: Counter[str] = Counter()
        self.stages: dict[str, Histogram] = {}
        self.finds = Finds()
        self._lock = threading.Lock()

    def receive(self) -> None:
        """A frame was decoded."""
        with self._lock:
            self.received += 1

    def publish(self) -> None:
        """A frame went all its way."""
        with self._lock:
            self.published += 1

    def drop(self, reason: Reason) -> None:
        """A frame will not be published, and why."""
        with self._lock:
            self.dropped[reason] += 1

    def took(self, stage: str, seconds: float) -> None:
        """Note that a frame spent `seconds` in `stage`."""
        if (histogram := self.stages.get(stage)) is None:
            histogram = self.stages.setdefault(stage, Histogram())
        histogram.add(seconds)

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Note how long the block took."""
        start = monotonic()
        yield
        self.took(stage, monotonic() - start)

    @property
    def balanced(self) -> bool:
        """Every frame received was published or dropped for a reason."""
        with self._lock:
            return self.received == self.published + self.dropped.total()

    def check(self, camera: str) -> None:
        """Raise RuntimeError when a frame is unaccounted for: a defect of this program."""
        if not self.balanced:
            raise RuntimeError(f"the ledger of {camera} does not balance: {self.as_dict()['frames']}")

    def as_dict(self) -> dict[str, Any]:
        """Plain numbers; latencies in ms."""
        latency = {
            stage: {f"p{q}": round(self.stages[stage].percentile(q) * 1e3, 2) for q in (50, 95, 99)}
            for stage in STAGES
            if stage in self.stages
        }
        counts = {"received": self.received, "published": self.published, "dropped": dict(self.dropped)}
        return {"frames": counts, "found": self.finds.as_dict(), "latency_ms": latency}
