"""When a frame was captured, as well as can be known, by which clock, and how far that may be off."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np

ClockName = Literal["sender", "arrival", "file"]

# MPEG-TS counts 33 bits and RTP 32 bits, both usually at 90 kHz, and begin again at 0.
_WRAPS = (2**33 / 90_000, 2**32 / 90_000)
_WRAP_SLACK = 60.0  # s of media that may be missing where the count begins again
_BACK = 2.5  # intervals by which a file's time may go back without being a new beginning
_HELD = 1.0  # s by which media time may go back without being a new beginning
_LEAP = 3.0  # s by which a frame may be late or early before its media time is disbelieved; a stall ends after 2 s
_WINDOW = 10.0  # s over which the quickest frame is looked for
_WINDOWS = 60  # kept to estimate the drift
_GLANCE = 1e-4  # s between two looks at the host's clocks that count as one
_HOST_STEP = 0.02  # s by which the host's wall clock must have been set to be followed; less may be the looking
_STEP = 0.25  # s by which a sender's clock must have been set to be followed at once
_SLEW = 0.02  # of the time that passes, by which it is followed otherwise
_RESTLESS = 3  # times that a sender's clock is set within `_STOOD` after which it is no clock
_STOOD = 300.0  # s for which it must then stand to be one again
_EARLIEST = 1_420_070_400.0  # 2015: a clock that says less has never been set
_FARTHEST = 86_400.0  # s ahead of this host
_RECENT = 6  # of them tell the present delay, so that a minute's drift is the most that is left in it


class Stamp(NamedTuple):
    """Capture time of a frame.

    captured_at  s on `clock`: Unix time for "sender" and "arrival", time since the first frame for "file".
    clock        whose time it is.
    uncertainty  s by which it may be off this host's time, as far as that can be told from here; see the clocks.
    anew         the clock was set anew: what came before is on it as it was.
    """

    captured_at: float
    clock: ClockName
    uncertainty: float
    anew: bool = False


def unix_minus_monotonic() -> float:
    """s by which this host's wall clock is ahead of `time.monotonic()`; other when it was set, or after a sleep."""
    best = (float("inf"), 0.0)
    for _ in range(5):  # on a busy machine others may run between the two looks
        before = time.monotonic()
        unix = time.time()
        after = time.monotonic()
        best = min(best, (after - before, unix - (before + after) / 2))
        if best[0] < _GLANCE:
            break
    return best[1]


class FileClock:
    """Capture time of recorded media: s since the first frame, never going backwards.

    Where media time begins again (a count that wraps, clips stuck together) it goes on one frame later. Nothing is
    uncertain about it: it is what the file says.
    """

    def __init__(self, rate: float | None = None) -> None:
        self._step = 1 / (rate or 25.0)
        self._start: float | None = None
        self._latest = 0.0

    def stamp(self, pts: float, arrived: float, sender_start: float | None = None) -> Stamp:
        """The stamp of the frame with media time `pts` in s; the rest is for the LiveClock."""
        if self._start is None:
            self._start = pts
        elif pts - self._start < self._latest - _BACK * self._step:
            self._start = pts - self._latest - self._step
        self._latest = max(self._latest, pts - self._start)
        return Stamp(self._latest, "file", 0.0)


class LiveClock:
    """Capture time of a live camera in s of Unix time, never going backwards on one clock.

    "arrival", while the sender's clock is unknown: media time + the smallest (arrival - media time) of the last
    minute, so that the intervals are the camera's and not the network's. It is later than the truth by the smallest
    delay between camera and here, which nobody can see from here; its uncertainty is one frame interval, the mean of
    late (a frame is known only when it has arrived as a whole), plus the mean lateness of frames against the quickest.

    "sender", while RTCP sender reports come that can be true: media time + the Unix time which the latest report gives
    to media time 0. A report that moves it by less than `_STEP` is followed at 2 % of the time that passes, so that
    intervals stay the camera's; by more, and the sender has set its clock: it is followed at once, and said to be anew.
    A time before 2015 or more than a day ahead of this host is no time, and `absurd` until a report mends it. Nor is
    that of a clock which is set for the third time within five minutes, as where two answer for one camera: it is
    `restless` until it has stood for as long. The uncertainty is the smallest age at which a frame arrived by it: if
    the network took no time at all, both hosts' clocks are so far apart; if they agree, it is the network's doing.

    When this host's clock is set, or it has slept, "arrival" is right again with the next frame, and anew. While it
    says a time before 2015, it is `unset`: no sender is too far ahead of it, and "arrival" uncertain by those years.

    Media time that wraps is continued; when it goes back or leaps otherwise, the camera has set it anew: what was
    learned is void, and the time is that of arrival until the next report.
    """

    def __init__(self, rate: float | None = None, host: Callable[[], float] = unix_minus_monotonic) -> None:
        self._host = host
        self._unix = host()
        self._interval = 1 / (rate or 25.0)
        self._latest: dict[ClockName, float] = {}
        self._wrapped = 0.0
        self._void: float | None = None
        self.absurd: float | None = None
        self.unset: float | None = None
        self.restless = False
        self._anchor(float("-inf"))

    def _anchor(self, pts: float) -> None:
        self._pts = pts
        self._lateness = 0.0
        self._windows: deque[tuple[float, float]] = deque(maxlen=_WINDOWS)  # (arrival, smallest arrival - pts)
        self._sender_start: float | None = None
        self._heard: float | None = None
        self._sets: deque[float] = deque(maxlen=_RESTLESS)  # media times at which the sender set its clock

    @property
    def drift(self) -> float | None:
        """By how much the camera's clock runs faster than this host's, in parts per million; None while unknown.

        The slope of the quickest frames of windows of 10 s; it takes a minute and gets better for ten.
        """
        if len(self._windows) < _RECENT:
            return None
        at, delay = np.array(self._windows).T
        return float(-np.polyfit(at - at[0], delay, 1)[0] * 1e6)

    def stamp(self, pts: float, arrived: float, sender_start: float | None = None) -> Stamp:
        """The stamp of a frame.

        pts           s, media time of the frame.
        arrived       s on time.monotonic().
        sender_start  s of Unix time on the sender's clock at media time 0 by its latest report; None while unknown.
        """
        pts = self._continued(pts)
        behind = arrived - pts - self._delay() if self._windows else 0.0
        step = pts - self._pts
        advanced = step > 0
        if self._pts - pts > _HELD or abs(behind) > _LEAP:
            self._anchor(pts)
            advanced = True
            self._void = sender_start  # it counts from a media time that is no more, until another report comes
        elif advanced and self._windows:
            self._interval += (step - self._interval) / 100  # at night a camera sends slower than it states
        self._learn(arrived, arrived - pts)
        host_set = self._look_at_host(arrived)
        sender_set = self._follow(pts, max(step, 0.0), sender_start)
        self._pts = max(pts, self._pts)
        if self._sender_start is None:
            captured = self._delay() + pts if advanced else arrived  # media time that stands still tells nothing
            off = self._interval + self._lateness
            off = off if self.unset is None else max(off, _EARLIEST - self.unset)
            return self._never_back("arrival", self._unix + captured, off, host_set)
        youngest = self._unix + self._delay() - self._sender_start
        return self._never_back("sender", self._sender_start + pts, abs(youngest), sender_set)

    def _look_at_host(self, now: float) -> bool:
        """Follow this host's wall clock; whether it was set. now: s on time.monotonic()."""
        unix = self._host()
        if was_set := abs(unix - self._unix) > _HOST_STEP:
            self._unix = unix
        self.unset = self._unix + now if self._unix + now < _EARLIEST else None
        return was_set

    def _follow(self, pts: float, passed: float, start: float | None) -> bool:
        """Follow the sender's latest report, `passed` s after the frame before; whether its clock was set."""
        if start is None or (self._void is not None and abs(start - self._void) < _STEP):
            return False
        self._void = None
        ahead = start - self._unix - self._delay() > _FARTHEST and self.unset is None
        self.absurd = start + pts if start + pts < _EARLIEST or ahead else None
        before = self._sender_start
        self._watch(pts, start)
        if self.absurd is not None or self.restless:
            self._sender_start = None
        elif before is None or abs(start - before) > _STEP:
            self._sender_start = start
            return before is not None
        else:
            self._sender_start = before + min(max(start - before, -_SLEW * passed), _SLEW * passed)
        return False

    def _watch(self, pts: float, start: float) -> None:
        """Note how often the sender sets its clock."""
        if self._heard is not None and abs(start - self._heard) > _STEP:
            self._sets.append(pts)
        self._heard = start
        often = len(self._sets) == _RESTLESS and self._sets[-1] - self._sets[0] < _STOOD
        self.restless = often and pts - self._sets[-1] < _STOOD

    def _continued(self, pts: float) -> float:
        """Media time as if its count had never begun again."""
        for period in _WRAPS:
            if abs(pts + self._wrapped + period - self._pts) < _WRAP_SLACK:
                self._wrapped += period
        return pts + self._wrapped

    def _delay(self) -> float:
        return min(delay for _, delay in list(self._windows)[-_RECENT:])

    def _learn(self, arrived: float, delay: float) -> None:
        if not self._windows or arrived - self._windows[-1][0] > _WINDOW:
            self._windows.append((arrived, delay))
        elif delay < self._windows[-1][1]:
            self._windows[-1] = (self._windows[-1][0], delay)
        self._lateness += (delay - self._delay() - self._lateness) / 100

    def _never_back(self, clock: ClockName, captured: float, uncertainty: float, anew: bool) -> Stamp:
        if anew:
            self._latest = {}
        self._latest = {clock: max(captured, self._latest.get(clock, captured))}
        return Stamp(self._latest[clock], clock, uncertainty, anew)
