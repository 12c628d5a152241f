"""Capture times keep the camera's intervals and never go back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from stream.clock import FileClock, LiveClock

UNIX = 1.7e9
intervals = st.lists(st.floats(0.001, 0.2), min_size=2, max_size=40)
moments = st.lists(st.tuples(st.floats(-10, 1000), st.floats(0, 1000)), min_size=1, max_size=40)


def cumulated(steps: list[float]) -> list[float]:
    times = [0.0]
    for step in steps:
        times.append(times[-1] + step)
    return times


@given(intervals, st.data())
def test_jitter_of_the_network_does_not_reach_the_intervals_once_the_quickest_frame_was_seen(
    steps: list[float], data: st.DataObject
) -> None:
    pts = cumulated(steps)
    delays = data.draw(st.lists(st.floats(0.01, 0.5), min_size=len(pts), max_size=len(pts)))
    quickest = min(range(len(pts)), key=lambda i: delays[i])
    clock = LiveClock(UNIX)
    captured = [clock.stamp(t, 100 + t + delay)[0] for t, delay in zip(pts, delays, strict=True)]
    # Only while the estimate of the delay still falls may the clamp against going back hold a frame.
    for i in range(quickest, len(pts)):
        true = UNIX + 100 + pts[i] + delays[quickest]
        assert captured[i] == pytest.approx(max(true, captured[quickest]), abs=1e-5)


@given(moments)
def test_no_frame_is_older_than_its_predecessor_on_the_arrival_clock(frames: list[tuple[float, float]]) -> None:
    clock = LiveClock(UNIX)
    arrivals = sorted(arrived for _, arrived in frames)
    captured = [clock.stamp(pts, at)[0] for (pts, _), at in zip(frames, arrivals, strict=True)]
    assert captured == sorted(captured)


@given(moments)
def test_no_frame_is_captured_after_its_arrival(frames: list[tuple[float, float]]) -> None:
    clock = LiveClock(UNIX)
    for (pts, _), at in zip(frames, sorted(arrived for _, arrived in frames), strict=True):
        assert clock.stamp(pts, at)[0] <= UNIX + at + 1e-5


def test_a_late_frame_keeps_its_place() -> None:
    clock = LiveClock(UNIX)
    clock.stamp(0.0, 50.0)
    assert clock.stamp(0.04, 50.9) == (pytest.approx(UNIX + 50.04), "arrival")
    assert clock.stamp(0.08, 50.91) == (pytest.approx(UNIX + 50.08), "arrival")


def test_media_time_that_restarts_does_not_freeze_the_clock() -> None:
    clock = LiveClock(UNIX)
    clock.stamp(500.0, 10.0)
    clock.stamp(0.0, 11.0)
    assert clock.stamp(1.0, 12.0)[0] == pytest.approx(UNIX + 12.0)


def test_the_senders_clock_takes_over_once_known_and_stays() -> None:
    clock = LiveClock(UNIX)
    assert clock.stamp(1.0, 10.0)[1] == "arrival"
    assert clock.stamp(2.0, 11.0, sender_start=1.6e9) == (1.6e9 + 2, "sender")
    assert clock.stamp(3.0, 12.0) == (1.6e9 + 3, "sender")
    assert clock.stamp(2.5, 13.0) == (1.6e9 + 3, "sender")


@given(st.lists(st.floats(-1e4, 1e4), min_size=1))
def test_file_time_starts_at_zero_and_never_goes_back(pts: list[float]) -> None:
    clock = FileClock()
    captured = [clock.stamp(t, 0.0)[0] for t in pts]
    assert captured[0] == 0
    assert captured == sorted(captured)


@given(intervals, st.floats(-100, 1e5))
def test_file_intervals_are_those_of_the_media(steps: list[float], start: float) -> None:
    clock = FileClock()
    pts = [start + t for t in cumulated(steps)]
    assert [clock.stamp(t, 0.0) for t in pts] == [(pytest.approx(t - start, abs=1e-6), "file") for t in pts]
