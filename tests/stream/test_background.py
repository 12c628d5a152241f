from __future__ import annotations

import time
from typing import Any

import pytest

from stream.background import Background

ITEM: Any = None  # what is handed over does not matter


def test_everything_handed_over_is_done_in_order_before_the_end() -> None:
    done: list[int] = []

    def slow(frame: Any, message: Any) -> None:
        time.sleep(0.002)
        done.append(message)

    with Background(slow) as sink:
        for number in range(30):
            sink(ITEM, number)  # type: ignore[arg-type]
    assert done == list(range(30))


def test_an_error_of_the_sink_reaches_the_pipeline() -> None:
    def broken(frame: Any, message: Any) -> None:
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"), Background(broken) as sink:
        for _ in range(100):
            sink(ITEM, ITEM)
            time.sleep(0.001)


def test_an_error_in_the_last_frame_is_not_lost() -> None:
    def broken(frame: Any, message: Any) -> None:
        time.sleep(0.01)
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"), Background(broken) as sink:
        sink(ITEM, ITEM)
