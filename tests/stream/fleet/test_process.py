"""A process that waits to be a shard, and the shard that it becomes."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from tests.stream.fleet.conftest import wait_for
from xpose_stream.stream.fleet.process import Process, Spare


@pytest.fixture
def process(tmp_path: Path) -> Process:
    """Of a shard whose site says nothing that can be done."""
    process = Process(tmp_path / "shard")
    process.tell({"cameras": [{"source": str(tmp_path / "none.mp4")}], "engine": {"weights": "none.safetensors"}})
    return process


def begin(process: Process) -> int:
    """Returns the number of its process, which ends with an error."""
    with process.life.taken() as descriptor:
        assert descriptor is not None
        process.start(descriptor, None, 1)
    pid = process.life.pid
    assert process.alive and pid
    wait_for(lambda: not process.alive, "its end")
    assert "none.safetensors" in process.last_words
    return pid


def test_a_process_that_waits_becomes_the_shard_and_the_next_is_a_new_one(process: Process) -> None:
    process.prepare(None, 1)
    assert process.spare
    waiting = process.spare.child.pid
    wait_for(lambda: process.spare and process.spare.ready, "a process that is ready")
    process.prepare(None, 1)
    assert process.spare.child.pid == waiting and not process.alive
    assert begin(process) == waiting
    assert begin(process) != waiting


def test_one_that_was_made_for_another_gpu_is_ended(process: Process) -> None:
    process.prepare(3, 1)
    spare = process.spare
    assert spare
    wait_for(lambda: spare.ready, "a process that is ready")
    assert begin(process) != spare.child.pid and spare.child.poll() is not None


def test_one_that_cannot_get_ready_is_never_taken_for_it(tmp_path: Path) -> None:
    with open(tmp_path / "log", "wb") as log:
        spare = Spare([sys.executable, "-c", "raise SystemExit(1)"], os.environ, log, None)
    spare.child.wait(60)
    assert not spare.ready
    spare.close()
