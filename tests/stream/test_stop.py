from __future__ import annotations

import os
import signal
import time
from contextlib import suppress

import pytest

from xpose_stream.stream.stop import Stop, Stopped, interruptible


def test_a_signal_is_noted_and_the_step_in_hand_is_finished() -> None:
    before = signal.getsignal(signal.SIGTERM)
    with Stop() as stop:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(0.01)
        assert stop.requested
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_signal_interrupts_what_may_be_interrupted() -> None:
    with Stop() as stop:
        with pytest.raises(Stopped), stop.interruptible():
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(5)
        assert stop.requested
        with pytest.raises(Stopped), stop.interruptible():
            raise AssertionError("a block entered after the signal must not run")


def test_a_signal_that_compiled_code_makes_something_else_of_interrupts_all_the_same() -> None:
    with pytest.raises(Stopped), interruptible():
        with suppress(Stopped):
            os.kill(os.getpid(), signal.SIGINT)
            time.sleep(5)
        raise SystemError("CPUDispatcher(…) returned a result with an exception set")
    with pytest.raises(SystemError), interruptible():
        raise SystemError("error return without exception set")
