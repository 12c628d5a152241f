"""When a frame was captured, as well as can be known, by which clock, and how far that may be off."""

from __future__ import annotations

import time
from collections import deque
from typing import Literal, NamedTuple

import numpy as np

ClockName = Literal["sender", "arrival", "file"]

# MPEG-TS counts 33 bits and RTP 32 bits, both usually at 90 kHz, and begin again at 0.
_WRAPS = (2**33 / 90_000, 2**32 / 90_000)
_WRAP_SLACK = 60.0  # s of media that may be missing where the count begins again
_HELD = 1.0  # s by which media time may go back without being a new beginning
_LEAP = 3.0  # s by which a frame may be late or early before its media time is disbelieved; a stall ends after 2 s
_WINDOW = 10.0  # s over which the quickest frame is looked for
_WINDOWS = 60  # kept to estimate the drift
_RECENT = 6  # of them tell the present delay, so that a minute's drift is the most that is left in it


class Stamp(NamedTuple):
    """Capture time of a frame.

    captured_at  s on `clock`: Unix time for "sender" and "arrival", time since the first frame for "file".
    clock        whose time it is.
    uncertainty  s by which it may be off this host's time, as far as that can be told from here; see the clocks.
    """

    captured_at: float
    clock: ClockName
    uncertainty: float


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
        elif pts - self._start < self._latest - _HELD:
            self._start = pts - self._latest - self._step
        self._latest = max(self._latest, pts - self._start)
        return Stamp(self._latest, "file", 0.0)


class LiveClock:
    """Capture time of a live camera in s of Unix time, never going backwards on one clock.

    "arrival", while the sender's clock is unknown: media time + the smallest (arrival - media time) of the last
    minute, so that the intervals are the camera's and not the network's. It is later than the truth by the smallest
    delay between camera and here, which nobody can see from here; its uncertainty is one frame interval, the mean of
    late (a frame is known only when it has arrived as a whole), plus the mean lateness of frames against the quickest.

    "sender", once RTCP sender reports have come: media time + the Unix time which the sender gives to media time 0.
    Its uncertainty is the smallest age at which a frame arrived by it: if the network took no time at all, both hosts'
    clocks are so far apart; if they agree, it is the network's doing.

    Media time that wraps is continued; when it goes back or leaps otherwise, the camera has set it anew: what was
    learned is void, and the time is that of arrival until a reconnect.
    """

    def __init__(self, rate: float | None = None, unix_minus_monotonic: float | None = None) -> None:
        # Taken once: a step of the host's wall clock must not look like a jump of the camera.
        self._unix = time.time() - time.monotonic() if unix_minus_monotonic is None else unix_minus_monotonic
        self._interval = 1 / (rate or 25.0)
        self._latest: dict[ClockName, float] = {}
        self._wrapped = 0.0
        self._reports_hold = True
        self._anchor(float("-inf"))

    def _anchor(self, pts: float) -> None:
        self._pts = pts
        self._lateness = 0.0
        self._windows: deque[tuple[float, float]] = deque(maxlen=_WINDOWS)  # (arrival, smallest arrival - pts)
        self._sender_start: float | None = None

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
        sender_start  s of Unix time on the sender's clock at media time 0; None while unknown.
        """
        pts = self._continued(pts)
        behind = arrived - pts - self._delay() if self._windows else 0.0
        step = pts - self._pts
        advanced = step > 0
        if self._pts - pts > _HELD or abs(behind) > _LEAP:
            self._anchor(pts)
            advanced = True
            self._reports_hold = False  # FFmpeg counts from the first report's media time, which is no more
        elif advanced and self._windows:
            self._interval += (step - self._interval) / 100  # at night a camera sends slower than it states
        if self._sender_start is None and self._reports_hold:
            self._sender_start = sender_start
        self._learn(arrived, arrived - pts)
        self._pts = max(pts, self._pts)
        if self._sender_start is None:
            captured = self._delay() + pts if advanced else arrived  # media time that stands still tells nothing
            return self._never_back("arrival", self._unix + captured, self._interval + self._lateness)
        youngest = self._unix + self._delay() - self._sender_start
        return self._never_back("sender", self._sender_start + pts, abs(youngest))

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

    def _never_back(self, clock: ClockName, captured: float, uncertainty: float) -> Stamp:
        self._latest = {clock: max(captured, self._latest.get(clock, captured))}
        return Stamp(self._latest[clock], clock, uncertainty)
