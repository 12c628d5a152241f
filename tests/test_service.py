"""Run as a service: under nohup, as a container's first process, without a home, again and again, on a full disk."""

from __future__ import annotations

import json
import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tests.stream.conftest import write_clip

ROOT = Path(__file__).parents[1]
COMMAND = [sys.executable, str(ROOT / "run_stream.py")]
# Of another user: no passwd entry, no rights but to read, also what is root's own.
NOBODY = ["setpriv", "--reuid=23456", "--regid=23456", "--clear-groups"]
NOBODY += ["--inh-caps=-all,+dac_read_search", "--ambient-caps=-all,+dac_read_search"]
READ_ONLY = f"mount --bind {ROOT} {ROOT} && mount -o remount,ro,bind {ROOT}"
_ELSEWHERE = " ".join(folder for folder in ("/tmp", "/var/tmp", "/dev/shm") if not ROOT.is_relative_to(folder))
NOTHING_TO_WRITE = f"{READ_ONLY} && for d in {_ELSEWHERE}; do mount -t tmpfs -o ro none $d; done && cd {ROOT}"

root_only = pytest.mark.skipif(os.getuid() != 0, reason="only root may become another user")


def start(*arguments: object, before: tuple[str, ...] = (), **settings: object) -> subprocess.Popen[str]:
    command = [*before, *COMMAND, *map(str, arguments)]
    return subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **settings,  # type: ignore[call-overload]
    )


def wait_for(state: str, process: subprocess.Popen[str]) -> None:
    assert process.stdout
    assert any(f'"state": "{state}"' in line for line in process.stdout), process.communicate()[1]


def published(out: str) -> int:
    [camera] = json.loads(out.splitlines()[-1])["cameras"].values()
    return int(camera["frames"]["published"])


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """4 s, 128x96."""
    return write_clip(tmp_path_factory.mktemp("clips") / "door.mp4", frames=120)


@pytest.fixture(scope="module")
def long_clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """10 s, 128x96: not over before it is disturbed."""
    return write_clip(tmp_path_factory.mktemp("clips") / "door.mp4", frames=300)


def wait_for_rows(journal: Path) -> None:
    end = time.monotonic() + 120
    while not (journal.exists() and journal.stat().st_size > 20_000) and time.monotonic() < end:
        time.sleep(0.05)


def test_under_nohup_a_run_outlives_its_terminal(long_clip: Path) -> None:
    with start("run", long_clip, before=("nohup",)) as process:
        wait_for("playing", process)
        process.send_signal(signal.SIGHUP)
        out, _ = process.communicate(timeout=120)
    assert process.returncode == 0 and published(out) == 300


def test_a_terminal_that_vanishes_ends_no_run_that_ignores_it(long_clip: Path, tmp_path: Path) -> None:
    ours, theirs = pty.openpty()
    command = ["setsid", "sh", "-c", 'trap "" HUP; exec "$@"', "sh", *COMMAND, "run", str(long_clip)]
    with subprocess.Popen(
        [*command, "--record", str(tmp_path / "t.parquet")], stdin=theirs, stdout=theirs, stderr=theirs
    ) as process:
        os.close(theirs)
        wait_for_rows(tmp_path / "t.parquet.journal")
        os.close(ours)
        assert process.wait(timeout=120) == 0
    assert len(set(pq.read_table(tmp_path / "t.parquet")["frame"].to_pylist())) == 300


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("what", ["listen", "doctor", "run while it loads", "run"])
def test_as_the_first_process_of_a_container_every_command_ends_on_a_signal(
    what: str, number: signal.Signals, long_clip: Path, tmp_path: Path
) -> None:
    alone = ("unshare", "--pid", "--fork", "--mount-proc", "--kill-child")
    if os.getuid():
        alone += ("--user", "--map-root-user")
    if subprocess.run([*alone, "true"], capture_output=True).returncode:
        pytest.skip("this system lets nobody make a container")
    arguments = {"listen": ["listen", f"ipc://{tmp_path}/x"], "doctor": ["doctor", long_clip]}
    given = arguments.get(what, ["run", long_clip, "--realtime", "--record", tmp_path / "t.parquet"])
    with start(*given, before=alone) as process:
        if what == "run":
            wait_for_rows(tmp_path / "t.parquet.journal")
        else:
            time.sleep(1.5)
        [first] = Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
        os.kill(int(first), number)
        process.communicate(timeout=20)
    assert process.returncode == (0 if what == "run" else 128 + number)
    assert [path.name for path in tmp_path.iterdir()] == (["t.parquet"] if what == "run" else [])


def test_a_home_that_cannot_be_written_costs_a_build_and_is_told_but_costs_no_speed(clip: Path) -> None:
    environment = {key: value for key, value in os.environ.items() if key not in ("XPOSE_CACHE", "XDG_CACHE_HOME")}
    done = subprocess.run(
        [*COMMAND, "doctor", str(clip), "--seconds", "1"],
        env=environment | {"HOME": "/proc/none", "NUMBA_CACHE_DIR": "/proc/none"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0 and "openvino on cpu" in done.stdout, done.stdout + done.stderr
    assert "An engine cannot be kept in /proc/none/.cache/xpose-stream" in done.stderr


@root_only
@pytest.mark.parametrize("prepared", [READ_ONLY, NOTHING_TO_WRITE])
def test_without_home_and_passwd_entry_a_read_only_installation_runs_as_fast(prepared: str, clip: Path) -> None:
    doctor = [*NOBODY, "env", "-i", f"PATH={os.environ['PATH']}", *COMMAND, "doctor"]
    video = ROOT / "configs" / "demo" / "company.mp4"
    script = f'{prepared} && exec "$@"'
    done = subprocess.run(
        ["unshare", "--mount", "sh", "-c", script, "sh", *doctor, str(video), "--seconds", "1"],
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0 and "openvino on cpu" in done.stdout, done.stdout + done.stderr
    assert "An engine cannot be kept" in done.stderr and "Traceback" not in done.stderr


def test_the_same_command_can_be_started_again_and_again_after_a_kill(clip: Path, tmp_path: Path) -> None:
    outputs = ["--record", tmp_path / "{camera}.parquet", "--overlay", tmp_path / "{camera}.mp4"]
    outputs += ["--publish", f"ipc://{tmp_path}/tracks", "--control", f"ipc://{tmp_path}/control"]
    for kill in (False, True, False):
        with start("run", clip, *(["--realtime"] if kill else []), *outputs) as process:
            if kill:
                wait_for_rows(tmp_path / "door.2.parquet.journal")
                process.kill()
            out, told = process.communicate(timeout=120)
        assert kill or (process.returncode == 0 and published(out) == 120), told
    assert "of a run that was killed are recovered" in told
    files = {path.name for path in tmp_path.iterdir() if path.is_file()}
    assert files == {f"door{number}.{kind}" for number in ("", ".2", ".3") for kind in ("parquet", "mp4")}
    counts = [len(set(pq.read_table(tmp_path / f"door{n}.parquet")["frame"].to_pylist())) for n in ("", ".2", ".3")]
    assert counts[0] == counts[2] == 120 and 10 < counts[1] <= 120


def test_a_daemon_without_any_output_runs(tmp_path: Path) -> None:
    given = ["recover", str(tmp_path / "none.parquet")]
    script = 'exec "$@" <&- >&- 2>&-'
    assert subprocess.run(["sh", "-c", script, "sh", *COMMAND, *given], timeout=120).returncode == 1
    assert subprocess.run(["sh", "-c", script, "sh", *COMMAND, "--version"], timeout=120).returncode == 0


def test_an_output_that_knows_ascii_alone_gets_question_marks() -> None:
    done = subprocess.run(
        [*COMMAND, "run", "no-such-\u00e9.mp4"],
        env=os.environ | {"PYTHONIOENCODING": "ascii"},
        capture_output=True,
        timeout=120,
    )
    assert done.returncode == 1 and b"Traceback" not in done.stderr and b"error: " in done.stderr
