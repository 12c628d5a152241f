"""Capture times keep the camera's intervals and never go back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
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
    clock = LiveClock(unix_minus_monotonic=UNIX)
    captured = [clock.stamp(t, 100 + t + delay)[0] for t, delay in zip(pts, delays, strict=True)]
    # Only while the estimate of the delay still falls may the clamp against going back hold a frame.
    for i in range(quickest, len(pts)):
        true = UNIX + 100 + pts[i] + delays[quickest]
        assert captured[i] == pytest.approx(max(true, captured[quickest]), abs=1e-5)


@given(moments)
def test_no_frame_is_older_than_its_predecessor_on_the_arrival_clock(frames: list[tuple[float, float]]) -> None:
    clock = LiveClock(unix_minus_monotonic=UNIX)
    arrivals = sorted(arrived for _, arrived in frames)
    captured = [clock.stamp(pts, at)[0] for (pts, _), at in zip(frames, arrivals, strict=True)]
    assert captured == sorted(captured)


@given(moments)
def test_no_frame_is_captured_after_its_arrival(frames: list[tuple[float, float]]) -> None:
    clock = LiveClock(unix_minus_monotonic=UNIX)
    for (pts, _), at in zip(frames, sorted(arrived for _, arrived in frames), strict=True):
        assert clock.stamp(pts, at)[0] <= UNIX + at + 1e-5


def test_a_late_frame_keeps_its_place() -> None:
    clock = LiveClock(unix_minus_monotonic=UNIX)
    clock.stamp(0.0, 50.0)
    assert clock.stamp(0.04, 50.9)[:2] == (pytest.approx(UNIX + 50.04), "arrival")
    assert clock.stamp(0.08, 50.91)[:2] == (pytest.approx(UNIX + 50.08), "arrival")


def test_media_time_that_restarts_does_not_freeze_the_clock() -> None:
    clock = LiveClock(unix_minus_monotonic=UNIX)
    clock.stamp(500.0, 10.0)
    clock.stamp(0.0, 11.0)
    assert clock.stamp(1.0, 12.0)[0] == pytest.approx(UNIX + 12.0)


def test_the_senders_clock_takes_over_once_known_and_stays() -> None:
    clock = LiveClock(unix_minus_monotonic=UNIX)
    assert clock.stamp(1.0, 10.0)[1] == "arrival"
    assert clock.stamp(2.0, 11.0, sender_start=1.6e9)[:2] == (1.6e9 + 2, "sender")
    assert clock.stamp(3.0, 12.0)[:2] == (1.6e9 + 3, "sender")
    assert clock.stamp(2.5, 13.0)[:2] == (1.6e9 + 3, "sender")


@given(st.lists(st.floats(-1e4, 1e4), min_size=1))
def test_file_time_starts_at_zero_and_never_goes_back(pts: list[float]) -> None:
    clock = FileClock()
    captured = [clock.stamp(t, 0.0).captured_at for t in pts]
    assert captured[0] == 0
    assert captured == sorted(captured)


@given(intervals, st.floats(-100, 1e5))
def test_file_intervals_are_those_of_the_media(steps: list[float], start: float) -> None:
    clock = FileClock()
    pts = [start + t for t in cumulated(steps)]
    assert [clock.stamp(t, 0.0).captured_at for t in pts] == pytest.approx([t - start for t in pts], abs=1e-6)


def test_a_live_camera_that_leaps_ahead_is_back_on_the_time_of_arrival() -> None:
    clock = LiveClock(unix_minus_monotonic=UNIX)
    clock.stamp(1.0, 10.0, sender_start=UNIX + 8.9)
    leapt = clock.stamp(3601.1, 10.1, sender_start=UNIX + 8.9)
    assert leapt[:2] == (pytest.approx(UNIX + 10.1), "arrival")
    assert clock.stamp(3601.2, 10.3, sender_start=UNIX + 8.9)[:2] == (pytest.approx(UNIX + 10.2), "arrival")


@pytest.mark.parametrize("period", [2**33 / 90_000, 2**32 / 90_000])
def test_media_time_that_wraps_goes_on(period: float) -> None:
    clock = LiveClock(unix_minus_monotonic=UNIX)
    stamps = [clock.stamp((period - 1 + i / 10) % period, 100 + i / 10, UNIX + 99 - period) for i in range(30)]
    assert [stamp.clock for stamp in stamps] == ["sender"] * 30
    assert [stamp.captured_at for stamp in stamps] == pytest.approx([UNIX + 98 + i / 10 for i in range(30)], abs=1e-3)


def test_media_time_that_stands_still_gives_way_to_arrival() -> None:
    clock = LiveClock(unix_minus_monotonic=UNIX)
    stamps = [clock.stamp(7.0, 100 + i / 10) for i in range(100)]
    assert [stamp.captured_at for stamp in stamps] == pytest.approx([UNIX + 100 + i / 10 for i in range(100)])


@settings(max_examples=10, deadline=None)
@given(st.floats(-300, 300), st.integers(0, 100))
def test_the_drift_of_the_cameras_clock_is_found_behind_the_networks_jitter(ppm: float, seed: int) -> None:
    jitter = np.random.default_rng(seed).exponential(0.01, 3000)
    clock = LiveClock(10, unix_minus_monotonic=UNIX)
    for i in range(3000):  # 5 minutes at 10 frames per s
        clock.stamp(i / 10 * (1 + ppm * 1e-6), 50 + i / 10 + jitter[i])
    assert clock.drift == pytest.approx(ppm, abs=10)


def test_the_uncertainty_of_arrival_is_a_frame_and_the_jitter_and_of_the_sender_the_smallest_age() -> None:
    clock = LiveClock(20, unix_minus_monotonic=UNIX)
    for i in range(2000):
        stamp = clock.stamp(i / 20, 100 + i / 20 + 0.03 * (i % 2))
    assert stamp.clock == "arrival" and stamp.uncertainty == pytest.approx(0.05 + 0.015, abs=0.002)
    stamp = clock.stamp(100.0, 200.0, sender_start=UNIX + 99.92)
    assert stamp.clock == "sender" and stamp.uncertainty == pytest.approx(0.08, abs=1e-4)


def test_a_camera_that_changes_its_rate_keeps_its_time_and_its_uncertainty_follows() -> None:
    clock = LiveClock(25, unix_minus_monotonic=UNIX)
    pts = np.cumsum([1 / 25] * 500 + [1 / 10] * 1000)
    stamps = [clock.stamp(t, 100 + t) for t in pts.tolist()]
    assert [stamp.captured_at for stamp in stamps] == pytest.approx((UNIX + 100 + pts).tolist())
    assert stamps[499].uncertainty == pytest.approx(1 / 25)
    assert stamps[-1].uncertainty == pytest.approx(1 / 10, rel=0.01)


def test_clips_stuck_together_go_on_one_frame_later() -> None:
    clock = FileClock(rate=10)
    captured = [clock.stamp(t, 0.0).captured_at for t in (5.0, 5.1, 5.2, 0.0, 0.1, 0.1, 0.2, 9.0)]
    assert captured == pytest.approx([0, 0.1, 0.2, 0.3, 0.4, 0.4, 0.5, 9.3])
