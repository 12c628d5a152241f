"""Capture times keep the camera's intervals and never go back."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xpose_stream.stream.sources.clock import FileClock, LiveClock, unix_minus_monotonic
from xpose_stream.stream.sources.video import _unwrapped

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
    clock = LiveClock(host=lambda: UNIX)
    captured = [clock.stamp(t, 100 + t + delay)[0] for t, delay in zip(pts, delays, strict=True)]
    # Only while the estimate of the delay still falls may the clamp against going back hold a frame.
    for i in range(quickest, len(pts)):
        true = UNIX + 100 + pts[i] + delays[quickest]
        assert captured[i] == pytest.approx(max(true, captured[quickest]), abs=1e-5)


@given(moments)
def test_no_frame_is_older_than_its_predecessor_on_the_arrival_clock(frames: list[tuple[float, float]]) -> None:
    clock = LiveClock(host=lambda: UNIX)
    arrivals = sorted(arrived for _, arrived in frames)
    captured = [clock.stamp(pts, at)[0] for (pts, _), at in zip(frames, arrivals, strict=True)]
    assert captured == sorted(captured)


@given(moments)
def test_no_frame_is_captured_after_its_arrival(frames: list[tuple[float, float]]) -> None:
    clock = LiveClock(host=lambda: UNIX)
    for (pts, _), at in zip(frames, sorted(arrived for _, arrived in frames), strict=True):
        assert clock.stamp(pts, at)[0] <= UNIX + at + 1e-5


def test_a_late_frame_keeps_its_place() -> None:
    clock = LiveClock(host=lambda: UNIX)
    clock.stamp(0.0, 50.0)
    assert clock.stamp(0.04, 50.9)[:2] == (pytest.approx(UNIX + 50.04), "arrival")
    assert clock.stamp(0.08, 50.91)[:2] == (pytest.approx(UNIX + 50.08), "arrival")


def test_media_time_that_restarts_does_not_freeze_the_clock() -> None:
    clock = LiveClock(host=lambda: UNIX)
    clock.stamp(500.0, 10.0)
    clock.stamp(0.0, 11.0)
    assert clock.stamp(1.0, 12.0)[0] == pytest.approx(UNIX + 12.0)


def test_the_senders_clock_takes_over_once_known_and_stays() -> None:
    clock = LiveClock(host=lambda: UNIX)
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
    clock = LiveClock(host=lambda: UNIX)
    clock.stamp(1.0, 10.0, sender_start=UNIX + 8.9)
    leapt = clock.stamp(3601.1, 10.1, sender_start=UNIX + 8.9)
    assert leapt[:2] == (pytest.approx(UNIX + 10.1), "arrival")
    assert clock.stamp(3601.2, 10.3, sender_start=UNIX + 8.9)[:2] == (pytest.approx(UNIX + 10.2), "arrival")


@pytest.mark.parametrize("period", [2**33 / 90_000, 2**32 / 90_000])
def test_media_time_that_wraps_goes_on(period: float) -> None:
    clock = LiveClock(host=lambda: UNIX)
    stamps = [clock.stamp((period - 1 + i / 10) % period, 100 + i / 10, UNIX + 99 - period) for i in range(30)]
    assert [stamp.clock for stamp in stamps] == ["sender"] * 30
    assert [stamp.captured_at for stamp in stamps] == pytest.approx([UNIX + 98 + i / 10 for i in range(30)], abs=1e-3)


def test_media_time_that_stands_still_gives_way_to_arrival() -> None:
    clock = LiveClock(host=lambda: UNIX)
    stamps = [clock.stamp(7.0, 100 + i / 10) for i in range(100)]
    assert [stamp.captured_at for stamp in stamps] == pytest.approx([UNIX + 100 + i / 10 for i in range(100)])


@settings(max_examples=10, deadline=None)
@given(st.floats(-300, 300), st.integers(0, 100))
def test_the_drift_of_the_cameras_clock_is_found_behind_the_networks_jitter(ppm: float, seed: int) -> None:
    jitter = np.random.default_rng(seed).exponential(0.01, 3000)
    clock = LiveClock(10, host=lambda: UNIX)
    for i in range(3000):  # 5 minutes at 10 frames per s
        clock.stamp(i / 10 * (1 + ppm * 1e-6), 50 + i / 10 + jitter[i])
    assert clock.drift == pytest.approx(ppm, abs=10)


def test_the_uncertainty_of_arrival_is_a_frame_and_the_jitter_and_of_the_sender_the_smallest_age() -> None:
    clock = LiveClock(20, host=lambda: UNIX)
    for i in range(2000):
        stamp = clock.stamp(i / 20, 100 + i / 20 + 0.03 * (i % 2))
    assert stamp.clock == "arrival" and stamp.uncertainty == pytest.approx(0.05 + 0.015, abs=0.002)
    stamp = clock.stamp(100.0, 200.0, sender_start=UNIX + 99.92)
    assert stamp.clock == "sender" and stamp.uncertainty == pytest.approx(0.08, abs=1e-4)


def test_a_camera_that_changes_its_rate_keeps_its_time_and_its_uncertainty_follows() -> None:
    clock = LiveClock(25, host=lambda: UNIX)
    pts = np.cumsum([1 / 25] * 500 + [1 / 10] * 1000)
    stamps = [clock.stamp(t, 100 + t) for t in pts.tolist()]
    assert [stamp.captured_at for stamp in stamps] == pytest.approx((UNIX + 100 + pts).tolist())
    assert stamps[499].uncertainty == pytest.approx(1 / 25)
    assert stamps[-1].uncertainty == pytest.approx(1 / 10, rel=0.01)


@pytest.mark.parametrize("length", [4, 20, 200])
def test_however_short_a_clip_is_the_one_stuck_to_it_goes_on_one_frame_later(length: int) -> None:
    clock = FileClock(30)
    times = [clock.stamp(1.4 + number % length / 30, 0.0).captured_at for number in range(3 * length)]
    assert times == pytest.approx([number / 30 for number in range(3 * length)])


def test_clips_stuck_together_go_on_one_frame_later() -> None:
    clock = FileClock(rate=10)
    captured = [clock.stamp(t, 0.0).captured_at for t in (5.0, 5.1, 5.2, 0.0, 0.1, 0.1, 0.2, 9.0)]
    assert captured == pytest.approx([0, 0.1, 0.2, 0.3, 0.4, 0.4, 0.5, 9.3])


def simulated(ppm: float, hours: float, error: float = 0.0) -> float:
    """The most that a camera at 1 frame per s is off after so long, whose RTP clock drifts and whose reports, each 5 s,
    are right; s."""
    clock = LiveClock(1, host=lambda: UNIX)
    worst, start = 0.0, None
    for second in range(round(hours * 3600)):
        pts = second * (1 + ppm * 1e-6)
        if second % 5 == 3:
            start = UNIX + second - pts + error
        stamp = clock.stamp(pts, second + 0.03, start)
        if second > 60:
            worst = max(worst, abs(stamp.captured_at - UNIX - second))
    return worst


@pytest.mark.parametrize("ppm", [-50, 50])
def test_a_camera_whose_clock_drifts_is_held_by_its_reports_for_a_day(ppm: float) -> None:
    assert simulated(ppm, 24) < 0.025  # two of them: 50 ms


def test_reports_that_jitter_do_not_reach_the_intervals() -> None:
    rng = np.random.default_rng(1)
    clock = LiveClock(30, host=lambda: UNIX)
    stamps = []
    for i in range(3000):
        if i % 150 == 0:
            start = UNIX + 100 + rng.normal(0, 0.02)
        stamps.append(clock.stamp(i / 30, 100 + i / 30 + 0.03, start))
    steps = np.diff([stamp.captured_at for stamp in stamps])
    assert np.all(np.abs(steps - 1 / 30) < 0.0201 / 30 + 1e-6) and not any(stamp.anew for stamp in stamps)


@pytest.mark.parametrize("step", [3600.0, -3600.0, 0.4, -0.4])
def test_a_sender_that_sets_its_clock_is_followed_and_that_is_told(step: float) -> None:
    clock = LiveClock(10, host=lambda: UNIX)
    stamps = [clock.stamp(i / 10, 100 + i / 10, UNIX + 100 + (step if i >= 50 else 0)) for i in range(100)]
    assert [i for i, stamp in enumerate(stamps) if stamp.anew] == [50]
    assert stamps[49].captured_at == pytest.approx(UNIX + 104.9) and stamps[49].uncertainty < 0.01
    assert stamps[50].captured_at == pytest.approx(UNIX + 105 + step)
    assert stamps[50].uncertainty == pytest.approx(abs(step), abs=0.01)


@pytest.mark.parametrize("other", [10.0, -3600.0, 0.5 - UNIX])
def test_a_sender_that_alternates_between_two_clocks_begins_no_more_than_two_epochs(other: float) -> None:
    clock = LiveClock(10, host=lambda: UNIX)
    stamps = []
    for i in range(6000):  # a report each 5 s; after 400 s one clock is left
        start = UNIX + 100 + (other if i < 4000 and i // 50 % 2 else 0)
        stamps.append(clock.stamp(i / 10, 100 + i / 10, start))
    assert sum(stamp.anew for stamp in stamps) <= 2
    for i in range(200, 4000):
        assert stamps[i].clock == "arrival" and stamps[i].captured_at == pytest.approx(UNIX + 100 + i / 10, abs=1e-4)
    assert clock.restless


def test_a_sender_that_has_stood_for_five_minutes_is_believed_again() -> None:
    clock = LiveClock(10, host=lambda: UNIX)
    told = []
    for i in range(4000):
        start = UNIX + 100 + (10 if i in range(10, 20) or i in range(30, 40) else 0)
        told.append((clock.stamp(i / 10, 100 + i / 10, start).clock, clock.restless))
    assert told == [("sender", False)] * 30 + [("arrival", True)] * 3010 + [("sender", False)] * 960


@pytest.mark.parametrize("absurd", [0.0, 1e9, UNIX + 10 * 86400, -2.2e9])
def test_a_sender_with_an_absurd_clock_is_not_believed_until_it_is_set(absurd: float) -> None:
    clock = LiveClock(10, host=lambda: UNIX)
    told = []
    for i in range(100):
        stamp = clock.stamp(i / 10, 100 + i / 10, absurd if i < 50 else UNIX + 100)
        told.append((stamp.clock, clock.absurd is not None))
        assert stamp.captured_at == pytest.approx(UNIX + 100 + i / 10)
    assert told == [("arrival", True)] * 50 + [("sender", False)] * 50


def test_a_sender_whose_clock_falls_back_to_1970_is_left_for_the_time_of_arrival() -> None:
    clock = LiveClock(10, host=lambda: UNIX)
    stamps = [clock.stamp(i / 10, 100 + i / 10, UNIX + 100 if i < 50 else 0.0) for i in range(100)]
    assert [stamp.clock for stamp in stamps] == ["sender"] * 50 + ["arrival"] * 50


@pytest.mark.parametrize("step", [86400.0, -86400.0, 0.5, -0.5, 56 * 365 * 86400.0])
def test_when_the_hosts_clock_is_set_the_time_of_arrival_is_right_with_the_next_frame(step: float) -> None:
    unix = [UNIX]
    clock = LiveClock(10, host=lambda: unix[0])
    stamps = []
    for i in range(100):
        unix[0] = UNIX + (step if i >= 50 else 0)
        stamps.append(clock.stamp(i / 10, 100 + i / 10))
    assert [i for i, stamp in enumerate(stamps) if stamp.anew] == [50]
    expected = [UNIX + 100 + i / 10 + (step if i >= 50 else 0) for i in range(100)]
    assert [stamp.captured_at for stamp in stamps] == pytest.approx(expected, abs=1e-5)


def test_when_the_hosts_clock_is_set_a_senders_time_stays_and_says_how_far_they_are_apart() -> None:
    unix = [UNIX]
    clock = LiveClock(10, host=lambda: unix[0])
    stamps = []
    for i in range(100):
        unix[0] = UNIX + (600 if i >= 50 else 0)
        stamps.append(clock.stamp(i / 10, 100 + i / 10, UNIX + 100))
    assert not any(stamp.anew for stamp in stamps)
    assert stamps[49].uncertainty < 0.01 and stamps[50].uncertainty == pytest.approx(600, abs=0.01)


def test_while_the_hosts_clock_says_1970_a_sender_is_believed_and_the_time_of_arrival_is_uncertain_by_years() -> None:
    for start, clock_name in ((UNIX + 100, "sender"), (None, "arrival"), (5.0, "arrival")):
        unix = [-40.0]  # the host has run for 140 s
        clock = LiveClock(10, host=lambda unix=unix: unix[0])
        stamps = []
        for i in range(100):
            unix[0] = UNIX if i >= 50 else -40.0
            stamps.append(clock.stamp(i / 10, 100 + i / 10, start))
        assert [stamp.clock for stamp in stamps] == [clock_name] * 100
        for i, stamp in enumerate(stamps):
            if clock_name == "sender" or i >= 50:
                assert stamp.captured_at == pytest.approx(UNIX + 100 + i / 10)
            assert (stamp.uncertainty > 40 * 365 * 86400) == (i < 50)
        assert [i for i, stamp in enumerate(stamps) if stamp.anew] == ([50] if clock_name == "arrival" else [])
        assert clock.unset is None


def test_the_hosts_clocks_are_looked_at_closely_enough_not_to_be_taken_for_set() -> None:
    looked = [unix_minus_monotonic() for _ in range(2000)]
    assert max(looked) - min(looked) < 0.02


def test_when_rtps_count_begins_again_between_two_reports_the_senders_time_goes_on() -> None:
    period = 2**32 / 90_000
    assert _unwrapped(UNIX - period + 0.01, UNIX, period) == pytest.approx(UNIX + 0.01)
    assert _unwrapped(UNIX + 2 * period, UNIX, period) == pytest.approx(UNIX)
    assert _unwrapped(UNIX - 86400, UNIX, period) == UNIX - 86400  # it was set by a day
    assert _unwrapped(UNIX - 5, UNIX, period) == UNIX - 5
    assert _unwrapped(UNIX, None, period) == UNIX
