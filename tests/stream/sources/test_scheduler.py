"""At most one frame waits, and each is either taken or handed back."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xpose_stream.stream.sources.scheduler import Scheduler, Slot, SlotClosed


def drain(slot: Slot[int]) -> Iterator[int]:
    while True:
        try:
            item = slot.take(timeout=5)
        except SlotClosed:
            return
        assert item is not None
        yield item


@given(st.lists(st.sampled_from(["put", "take", "close"]), max_size=30))
def test_newest_frame_wins_and_none_is_lost_without_a_word(actions: list[str]) -> None:
    slot: Slot[int] = Slot()
    waiting: int | None = None
    closed = False
    for number, action in enumerate(actions):
        if action == "put":
            displaced = slot.put(number)
            assert displaced == (number if closed else waiting)
            waiting = waiting if closed else number
        elif action == "close":
            slot.close()
            closed = True
        elif closed and waiting is None:
            with pytest.raises(SlotClosed):
                slot.take(0)
        else:
            assert slot.take(0) == waiting
            waiting = None


@pytest.mark.parametrize("lossless", [True, False])
def test_every_frame_is_taken_in_order_or_handed_back(lossless: bool) -> None:
    slot: Slot[int] = Slot(lossless=lossless)
    dropped: list[int] = []
    pause = random.Random(0)

    def produce() -> None:
        for number in range(300):
            displaced = slot.put(number)
            if displaced is not None:
                dropped.append(displaced)
            if pause.random() < 0.1:
                time.sleep(0.0002)
        slot.close()

    producer = threading.Thread(target=produce)
    producer.start()
    taken = list(drain(slot))
    producer.join()
    assert taken == sorted(taken)
    assert sorted(taken + dropped) == list(range(300))
    if lossless:
        assert not dropped


def test_a_lossless_put_waits_for_the_place_to_be_free() -> None:
    slot: Slot[int] = Slot(lossless=True)
    slot.put(1)
    done = threading.Event()

    def put() -> None:
        slot.put(2)
        done.set()

    putting = threading.Thread(target=put)
    putting.start()
    assert not done.wait(0.05)
    assert slot.take() == 1
    assert done.wait(2)
    assert slot.take() == 2
    putting.join()


def test_closing_hands_back_the_frame_of_a_put_that_waits() -> None:
    slot: Slot[int] = Slot(lossless=True)
    slot.put(1)
    returned: list[int | None] = []
    putting = threading.Thread(target=lambda: returned.append(slot.put(2)))
    putting.start()
    time.sleep(0.02)
    slot.close()
    putting.join(2)
    assert returned == [2]
    assert slot.take() == 1


def test_closing_wakes_a_take_that_waits() -> None:
    slot: Slot[int] = Slot()
    threading.Timer(0.05, slot.close).start()
    with pytest.raises(SlotClosed):
        slot.take(timeout=5)


def test_take_gives_up_after_its_timeout() -> None:
    started = time.monotonic()
    assert Slot[int]().take(timeout=0.03) is None
    assert 0.03 <= time.monotonic() - started < 1


def test_every_camera_has_its_turn_however_fast_another_is() -> None:
    scheduler: Scheduler[str] = Scheduler()
    fast, slow = scheduler.join(), scheduler.join()
    slow.put("slow")
    served = []
    for _ in range(3):
        fast.put("fast")
        served += [item for _, item in scheduler.take(0)]
    assert "slow" in served[:2]


@given(st.integers(1, 5), st.integers(1, 6))
def test_a_batch_has_one_frame_of_each_camera_at_most(most: int, cameras: int) -> None:
    scheduler: Scheduler[int] = Scheduler(most)
    slots = [scheduler.join() for _ in range(cameras)]
    for _ in range(2):
        for number, slot in enumerate(slots):
            slot.put(number)
    batch = [item for _, item in scheduler.take(0)]
    assert len(batch) == len(set(batch)) == min(most, cameras)


def test_a_batch_waits_for_cameras_that_deliver_but_not_beyond_its_deadline() -> None:
    scheduler: Scheduler[str] = Scheduler(most=3, deadline=20)
    first, second, dead = scheduler.join(), scheduler.join(), scheduler.join()
    dead.put("long ago")
    scheduler.take(0)
    dead._left_at -= 10
    first.put("1")
    second.put("2")
    second.take()
    second._left_at += 60  # however slow this machine is, it delivers
    threading.Timer(0.05, second.put, ["2 again"]).start()
    begun = time.monotonic()
    assert sorted(item for _, item in scheduler.take(1)) == ["1", "2 again"]
    assert time.monotonic() - begun < 20  # complete without the dead one, so the deadline was not waited for
    scheduler._deadline = 0.2
    second._left_at += 60
    first.put("1")
    begun = time.monotonic()
    assert [item for _, item in scheduler.take(1)] == ["1"]
    assert time.monotonic() - begun >= 0.2


def test_a_camera_whose_sinks_are_behind_is_passed_over_until_they_are_not() -> None:
    scheduler: Scheduler[str] = Scheduler()
    ready = threading.Event()
    slow, other = scheduler.join(ready.is_set), scheduler.join()
    slow.put("slow")
    other.put("other")
    assert [item for _, item in scheduler.take(0)] == ["other"]
    assert scheduler.take(0) == []
    ready.set()
    scheduler.wake()
    assert [item for _, item in scheduler.take(1)] == ["slow"]


def test_a_camera_that_left_is_not_served() -> None:
    scheduler: Scheduler[str] = Scheduler()
    slot = scheduler.join()
    slot.put("frame")
    scheduler.leave(slot)
    assert scheduler.take(0) == [] and slot.take(0) == "frame" and slot.over
