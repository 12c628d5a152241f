"""Ctrl-C and SIGTERM: stop at once where nothing can be lost, else after the step in hand. SIGHUP: read again."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Stopped(BaseException):
    """Raised in the main thread by a signal while it does something that may be left half done."""


class Stop:
    """Whether somebody asked this process to stop; as a context manager it listens to SIGINT and SIGTERM.

    `reread` is set by SIGHUP, for whoever has something to read again.
    """

    def __init__(self) -> None:
        self.requested = False
        self.reread = False
        self._interruptible = False

    @contextmanager
    def interruptible(self) -> Iterator[None]:
        """Within this block a signal raises `Stopped`; elsewhere it only sets `requested`."""
        self._interruptible = True
        try:
            if self.requested:
                raise Stopped
            yield
        finally:
            self._interruptible = False

    def __enter__(self) -> Stop:
        self._before = {number: signal.signal(number, self._on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
        self._before[signal.SIGHUP] = signal.signal(signal.SIGHUP, self._on_hangup)
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _on_signal(self, number: int, where: FrameType | None) -> None:
        self.requested = True
        if self._interruptible:
            self._interruptible = False
            raise Stopped

    def _on_hangup(self, number: int, where: FrameType | None) -> None:
        self.reread = True
