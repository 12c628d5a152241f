"""What became of every frame and how long it took: received = published + dropped, by reason."""

from __future__ import annotations

import math
from collections import Counter
from typing import Any

import numpy as np


class Histogram:
    """Durations in logarithmic bins 2 % wide, from 1 us to 1000 s: fixed memory, percentiles within 1 %."""

    _LEAST, _WIDTH, _BINS = 1e-6, math.log(1.02), 1050

    def __init__(self) -> None:
        self.counts = np.zeros(self._BINS, np.int64)

    def add(self, seconds: float) -> None:
        """Count one duration in s; what lies outside the range goes to its end."""
        place = int(math.log(max(seconds, self._LEAST) / self._LEAST) / self._WIDTH)
        self.counts[min(place, self._BINS - 1)] += 1

    def percentile(self, q: float) -> float:
        """The duration in s that `q` percent do not exceed; NaN when nothing was counted."""
        total = int(self.counts.sum())
        if not total:
            return math.nan
        place = int(np.searchsorted(self.counts.cumsum(), total * q / 100))
        return self._LEAST * math.exp((place + 0.5) * self._WIDTH)


class Ledger:
    """Counts of one camera's frames and histograms of the stages they went through."""

    def __init__(self) -> None:
        self.received = 0
        self.published = 0
        self.dropped: Counter[str] = Counter()
        self.stages: dict[str, Histogram] = {}

    def took(self, stage: str, seconds: float) -> None:
        """Note that a frame spent `seconds` in `stage`."""
        self.stages.setdefault(stage, Histogram()).add(seconds)

    @property
    def balanced(self) -> bool:
        """Every frame received was published or dropped for a reason."""
        return self.received == self.published + self.dropped.total()

    def as_dict(self) -> dict[str, Any]:
        """Plain numbers; latencies in ms."""
        latency = {
            stage: {f"p{q}": round(histogram.percentile(q) * 1e3, 2) for q in (50, 95, 99)}
            for stage, histogram in self.stages.items()
        }
        counts = {"received": self.received, "published": self.published, "dropped": dict(self.dropped)}
        return {"frames": counts, "latency_ms": latency}
