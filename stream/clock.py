"""When a frame was captured, as well as can be known, and on which clock that is."""

from __future__ import annotations

import time
from typing import Literal

ClockName = Literal["sender", "arrival", "file"]


class FileClock:
    """Capture time of recorded media: s since the first frame, never going backwards."""

    def __init__(self) -> None:
        self._first: float | None = None
        self._latest = 0.0

    def stamp(self, pts: float, arrived: float, sender_start: float | None = None) -> tuple[float, ClockName]:
        """Capture time in s and its clock, of the frame with media time `pts` in s; the rest is for the LiveClock."""
        if self._first is None:
            self._first = pts
        self._latest = max(self._latest, pts - self._first)
        return self._latest, "file"


class LiveClock:
    """Capture time of a live camera in s of Unix time, never going backwards on one clock.

    While the sender's clock is unknown: media time + the smallest (arrival - media time) seen, so that the intervals
    are the camera's and not the network's. It is later than the truth by the smallest delay between camera and here,
    and a camera whose clock runs slow against this host's adds its drift. Once the sender's clock is known (RTCP
    sender reports): media time + the Unix time which the sender gives to media time 0. The two differ by that delay
    and by the error between both hosts' clocks, so the time may jump where the clock's name changes.
    """

    def __init__(self, unix_minus_monotonic: float | None = None) -> None:
        # Taken once: a step of the host's wall clock must not look like a jump of the camera.
        self._unix = time.time() - time.monotonic() if unix_minus_monotonic is None else unix_minus_monotonic
        self._sender_start: float | None = None
        self._delay = float("inf")
        self._pts = float("-inf")
        self._latest = float("-inf")

    def stamp(self, pts: float, arrived: float, sender_start: float | None = None) -> tuple[float, ClockName]:
        """Capture time in s of Unix time, and its clock.

        pts           s, media time of the frame.
        arrived       s on time.monotonic().
        sender_start  s of Unix time on the sender's clock at media time 0; None while unknown.
        """
        if sender_start is not None and self._sender_start is None:
            self._sender_start, self._latest = sender_start, float("-inf")
        clock: ClockName
        if self._sender_start is not None:
            captured, clock = self._sender_start + pts, "sender"
        else:
            # Media time that went back was reset by the camera: what was learned about the delay is void.
            self._delay = min(self._delay, arrived - pts) if pts > self._pts else arrived - pts
            captured, clock = self._unix + self._delay + pts, "arrival"
        self._pts = pts
        self._latest = max(self._latest, captured)
        return self._latest, clock
