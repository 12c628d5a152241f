from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.ledger import Histogram, Ledger


@given(st.lists(st.floats(1e-5, 100.0), min_size=1, max_size=200), st.sampled_from([50, 95, 99]))
def test_percentiles_are_within_two_percent_of_an_observed_duration(durations: list[float], q: int) -> None:
    histogram = Histogram()
    for duration in durations:
        histogram.add(duration)
    exact = np.percentile(durations, q, method="inverted_cdf")
    assert histogram.percentile(q) == pytest.approx(exact, rel=0.021)


def test_durations_out_of_range_are_counted_at_the_ends_and_nothing_counted_is_nan() -> None:
    histogram = Histogram()
    assert math.isnan(histogram.percentile(50))
    histogram.add(0.0)
    histogram.add(1e9)
    assert histogram.counts.sum() == 2


def test_a_ledger_balances_when_every_frame_was_published_or_dropped_for_a_reason() -> None:
    ledger = Ledger()
    ledger.received = 3
    ledger.published = 2
    assert not ledger.balanced
    ledger.dropped["newer frame came"] += 1
    assert ledger.balanced
    assert ledger.as_dict()["frames"] == {"received": 3, "published": 2, "dropped": {"newer frame came": 1}}
