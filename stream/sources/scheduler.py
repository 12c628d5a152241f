"""Which frames are worked on next: the newest of each live camera, every one of a file, and all cameras in turn."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Generic, TypeVar

Item = TypeVar("Item")

_EXPECTED = 1.0  # s; a camera that left a frame so recently is waited for when a batch is formed


class SlotClosed(Exception):
    """Raised by Slot.take when the slot is closed and nothing waits in it any more."""


class Slot(Generic[Item]):
    """A place for one waiting frame at most, so that nothing can queue and age.

    lossless=False: the newest frame wins; put() never waits and returns the frame that it displaced.
    lossless=True: put() waits until the place is free. Every frame put in is either taken or returned by a put().
    """

    def __init__(self, *, lossless: bool = False, changed: threading.Condition | None = None) -> None:
        self.lossless = lossless
        self._changed = changed or threading.Condition()
        self._waiting: Item | None = None
        self._closed = False
        self._left_at = float("-inf")
        self._taken_at = float("-inf")
        self._ready: Callable[[], bool] = lambda: True

    @property
    def over(self) -> bool:
        """Closed and empty."""
        with self._changed:
            return self._closed and self._waiting is None

    def put(self, item: Item) -> Item | None:
        """Leave a frame; returns the frame that nobody will take because of it, else None.

        That is the older frame which it displaced, or `item` itself when the slot is closed (also when it closes while
        a lossless put waits). Count it as dropped.
        """
        with self._changed:
            if self.lossless:
                self._changed.wait_for(lambda: self._waiting is None or self._closed)
            if self._closed:
                return item
            displaced, self._waiting = self._waiting, item
            self._left_at = time.monotonic()
            self._changed.notify_all()
            return displaced

    def take(self, timeout: float | None = None) -> Item | None:
        """Wait for a frame and take it; None after `timeout` s without one (None: wait for ever).

        Raises SlotClosed once the slot is closed and empty; a frame left before the closing is still handed out.
        """
        with self._changed:
            self._changed.wait_for(lambda: self._waiting is not None or self._closed, timeout)
            item, self._waiting = self._waiting, None
            if item is None and self._closed:
                raise SlotClosed
            self._taken_at = time.monotonic()
            self._changed.notify_all()
            return item

    def close(self) -> None:
        """No more frames: wakes whoever waits. May be called repeatedly and from any thread."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()


class Scheduler(Generic[Item]):
    """Forms batches of at most `most` frames from the slots of many cameras, one of each camera, fairly.

    The camera that has waited longest since its last turn comes first. A batch that is not full waits up to `deadline`
    s for the other cameras that are delivering.
    """

    def __init__(self, most: int = 1, deadline: float = 0.0) -> None:
        self._most, self._deadline = most, deadline
        self._changed = threading.Condition()
        self._slots: list[Slot[Item]] = []

    def join(self, ready: Callable[[], bool] = lambda: True) -> Slot[Item]:
        """A slot for one more camera; it is passed over while not `ready` (call `wake` when that changes)."""
        slot: Slot[Item] = Slot(changed=self._changed)
        slot._ready = ready
        with self._changed:
            self._slots.append(slot)
        return slot

    def leave(self, slot: Slot[Item]) -> None:
        """That camera is gone."""
        slot.close()
        with self._changed:
            self._slots.remove(slot)

    def wake(self) -> None:
        """Something changed: look again."""
        with self._changed:
            self._changed.notify_all()

    def take(self, timeout: float) -> list[tuple[Slot[Item], Item]]:
        """The next batch; empty after `timeout` s without a frame."""
        with self._changed:
            self._changed.wait_for(self._due, timeout)
            if self._most > 1 and self._due():
                self._changed.wait_for(lambda: len(self._due()) >= min(self._most, self._expected()), self._deadline)
            chosen = sorted(self._due(), key=lambda slot: slot._taken_at)[: self._most]
            return [(slot, item) for slot in chosen if (item := slot.take(0)) is not None]

    def _due(self) -> list[Slot[Item]]:
        return [slot for slot in self._slots if slot._waiting is not None and slot._ready()]

    def _expected(self) -> int:
        since = time.monotonic() - _EXPECTED
        return sum(slot._left_at > since for slot in self._slots)
