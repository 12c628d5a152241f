"""A worker process runs torch_tensorrt over a fake `tensorrt`, so that nothing of it reaches the other tests."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parents[3]

Ask = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def ask(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ask]:
    """ask(**case) -> report; see worker.py."""
    if find_spec("torch_tensorrt") is None:
        pytest.skip("torch_tensorrt is not installed; make install brings it")
    log = tmp_path_factory.mktemp("tensorrt") / "log"
    command = [sys.executable, "-m", "tests.engines.tensorrt.worker"]
    with log.open("w") as errors, subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, text=True
    ) as worker:

        def ask(**case: object) -> dict[str, Any]:
            assert worker.stdin and worker.stdout
            worker.stdin.write(json.dumps(case) + "\n")
            worker.stdin.flush()
            line = worker.stdout.readline()
            assert line, log.read_text()
            report: dict[str, Any] = json.loads(line)
            assert "failed" not in report, report["failed"]
            return report

        yield ask
        worker.kill()
