"""The heap of the C library, which is not to grow while a process runs for days."""

from __future__ import annotations

import ctypes

_ARENA_MAX = -8  # of mallopt(3)


def share_arenas(count: int = 2) -> None:
    """Let all threads of this process draw from `count` arenas of malloc; to be called before they begin.

    Else each thread has one of its own, which keeps the most pictures that were ever in it at once, so that resident
    memory creeps up for hours. Does nothing where the C library has no such setting.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(_ARENA_MAX, count)
