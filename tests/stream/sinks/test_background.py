"""A sink beside the pipeline gets everything in order, says when it is behind, and fails without ending others."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from xpose_stream.stream.sinks.background import Background

ITEM: Any = None  # what is handed over does not matter


class Sink:
    """Notes what happens to it."""

    def __init__(self, write: Callable[[Any], None] = lambda message: None) -> None:
        self.events: list[Any] = []
        self._write = write

    @contextmanager
    def open(self) -> Iterator[Callable[[Any, Any], None]]:
        self.events.append("opened")
        yield lambda frame, message: (self.events.append(message), self._write(message))[0]
        self.events.append("closed")


def nothing() -> None:
    pass


def test_everything_handed_over_is_done_in_order_before_the_end() -> None:
    sink = Sink(lambda message: time.sleep(0.002))
    background = Background(sink.open, nothing)
    for number in range(30):
        background(ITEM, number)  # type: ignore[arg-type]
    background.end()
    background.join()
    assert sink.events == ["opened", *range(30), "closed"]


def test_without_a_frame_the_sink_is_never_opened() -> None:
    sink = Sink()
    background = Background(sink.open, nothing)
    background.end()
    background.join()
    assert sink.events == []


def test_it_says_when_it_is_behind_and_when_it_has_caught_up() -> None:
    go, freed = threading.Event(), threading.Event()
    background = Background(Sink(lambda message: go.wait(5) and None).open, freed.set)
    assert background.ready
    for _ in range(10):
        background(ITEM, ITEM)
    assert not background.ready and not freed.is_set()
    go.set()
    assert freed.wait(5)
    background.end()
    background.join()
    assert background.ready


def test_an_error_of_the_sink_is_kept_and_what_comes_after_it_hinders_nobody() -> None:
    def broken(message: Any) -> None:
        raise OSError("disk full")

    freed = threading.Event()
    background = Background(Sink(broken).open, freed.set)
    for _ in range(10):
        background(ITEM, ITEM)
    assert freed.wait(30)
    for _ in range(10):
        background(ITEM, ITEM)
    assert background.ready and str(background.failure) == "disk full"
    background.end()
    background.join()


def test_an_error_at_the_closing_is_not_lost() -> None:
    @contextmanager
    def unclosable() -> Iterator[Callable[[Any, Any], None]]:
        yield lambda frame, message: None
        raise OSError("disk full")

    background = Background(unclosable, nothing)
    background(ITEM, ITEM)
    background.end()
    background.join()
    assert str(background.failure) == "disk full"
