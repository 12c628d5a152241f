from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from xpose_stream.stream.ledger import Histogram, Ledger


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
    for _ in range(3):
        ledger.receive()
    ledger.publish()
    ledger.publish()
    assert not ledger.balanced
    with pytest.raises(RuntimeError, match="hall"):
        ledger.check("hall")
    ledger.drop("newer frame came")
    assert ledger.balanced
    ledger.check("hall")
    assert ledger.as_dict()["frames"] == {"received": 3, "published": 2, "dropped": {"newer frame came": 1}}


@given(st.lists(st.floats(1e-5, 100.0), max_size=50), st.lists(st.floats(1e-5, 100.0), max_size=50))
def test_a_histogram_tells_what_came_after_an_earlier_look(before: list[float], after: list[float]) -> None:
    histogram, alone = Histogram(), Histogram()
    for duration in before:
        histogram.add(duration)
    look = histogram.since(None)
    for duration in after:
        histogram.add(duration)
        alone.add(duration)
    assert np.array_equal(histogram.since(look).counts, alone.counts)
    assert histogram.since(look).sum == pytest.approx(sum(after))
    for end in (0.001, 0.1, 1.0):
        exact = sum(duration <= end for duration in after)
        assert exact <= alone.up_to(end) <= sum(duration <= end * 1.03 for duration in after)
