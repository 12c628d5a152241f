"""Ctrl-C and SIGTERM: stop at once where nothing can be lost, else after the step in hand. SIGHUP: read again."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Stopped(BaseException):
    """Raised in the main thread by a signal while it does something that may be left half done."""


class Stop:
    """Whether somebody asked this process to stop; as a context manager it listens to SIGINT and SIGTERM.

    `reread` is set by SIGHUP, for whoever has something to read again; where that is ignored (`nohup`) it stays so.
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
        except SystemError:  # what numba makes of a Stopped that is raised while compiled code runs
            if self.requested:
                raise Stopped from None
            raise
        finally:
            self._interruptible = False

    def __enter__(self) -> Stop:
        self._before = {number: signal.signal(number, self._on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
        if signal.getsignal(signal.SIGHUP) != signal.SIG_IGN:
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


@contextmanager
def interruptible() -> Iterator[None]:
    """Within this block Ctrl-C and SIGTERM raise `Stopped` at once, so that what is half done can be taken back."""
    with Stop() as stop, stop.interruptible():
        yield


def leave_the_first_process() -> None:
    """As process 1, which a container's command is, go on in a child: the kernel keeps signals from process 1.

    The parent hands every signal on, waits for whoever is orphaned, and ends as the child does.
    """
    if os.getpid() != 1:
        return
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # a shell's background job is told to ignore it
    handed = {signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT, signal.SIGCHLD}
    signal.pthread_sigmask(signal.SIG_BLOCK, handed)
    child = os.fork()
    if not child:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, handed)
        return
    while True:
        number = signal.sigwait(handed)
        if number != signal.SIGCHLD:
            os.kill(child, number)
        elif (status := _ended(child)) is not None:
            os._exit(status if status >= 0 else 128 - status)


def _ended(child: int) -> int | None:
    """Take leave of all processes that have ended; the exit code of `child` if it is one of them, else None."""
    code = None
    while True:
        try:
            process, status = os.waitpid(-1, os.WNOHANG)
        except ChildProcessError:
            return code
        if not process:
            return code
        if process == child:
            code = os.waitstatus_to_exitcode(status)
