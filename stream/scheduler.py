"""The hand-over of frames from the thread that decodes to the one that works on them."""

from __future__ import annotations

import threading
from typing import Generic, TypeVar

Item = TypeVar("Item")


class SlotClosed(Exception):
    """Raised by Slot.take when the slot is closed and nothing waits in it any more."""


class Slot(Generic[Item]):
    """A place for one waiting frame at most, so that nothing can queue and age.

    lossless=False: the newest frame wins; put() never waits and returns the frame that it displaced.
    lossless=True: put() waits until the place is free. Every frame put in is either taken or returned by a put().
    """

    def __init__(self, *, lossless: bool = False) -> None:
        self._lossless = lossless
        self._changed = threading.Condition()
        self._waiting: Item | None = None
        self._closed = False

    def put(self, item: Item) -> Item | None:
        """Leave a frame; returns the frame that nobody will take because of it, else None.

        That is the older frame which it displaced, or `item` itself when the slot is closed (also when it closes while
        a lossless put waits). Count it as dropped.
        """
        with self._changed:
            if self._lossless:
                self._changed.wait_for(lambda: self._waiting is None or self._closed)
            if self._closed:
                return item
            displaced, self._waiting = self._waiting, item
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
            self._changed.notify_all()
            return item

    def close(self) -> None:
        """No more frames: wakes whoever waits. May be called repeatedly and from any thread."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
