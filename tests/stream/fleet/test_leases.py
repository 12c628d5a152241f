"""One living process has a camera, and it has it for as long as it lives."""

from __future__ import annotations

import subprocess
from pathlib import Path

from tests.stream.fleet.conftest import wait_for
from xpose_stream.stream.fleet.leases import Leases, Life


def live(life: Life) -> subprocess.Popen[bytes]:
    """A process that has this life."""
    with life.taken() as descriptor:
        assert descriptor is not None
        command = ["sh", "-c", 'echo $$ >"$0"; exec sleep 1000', str(life.path)]
        process = subprocess.Popen(command, pass_fds=[descriptor])
    wait_for(lambda: life.pid == process.pid, "its word")
    return process


def test_a_life_ends_with_its_process_and_nobody_else_can_have_it_before(tmp_path: Path) -> None:
    life = Life(tmp_path / "life")
    assert not life.lived and life.pid is None
    with live(life) as process:
        assert life.lived
        with life.taken() as second:
            assert second is None
        process.kill()
    assert not life.lived and life.pid is None
    with life.taken() as third:
        assert third is not None


def test_a_camera_is_had_by_one_process_until_that_dies_and_its_runs_are_counted(tmp_path: Path) -> None:
    leases, first, second = Leases(tmp_path / "leases"), Life(tmp_path / "a"), Life(tmp_path / "b")
    with live(first) as process:
        assert leases.take("a/b ..", first) == 1 and leases.run("a/b ..", first) == 1
        assert leases.take("a/b ..", second) is None and leases.run("a/b ..", second) is None
        assert leases.take("other", second) == 1
        process.kill()
    assert leases.take("a/b ..", second) == 2 and leases.run("a/b ..", first) is None
    assert leases.take("a/b ..", first, floor=1000) == 1000  # b does not live
    leases.release("a/b ..", second)  # which has it not
    assert leases.run("a/b ..", first) == 1000
    leases.release("a/b ..", first)
    assert leases.run("a/b ..", first) is None and leases.take("a/b ..", second) == 1001
