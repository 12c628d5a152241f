"""Without TensorRT: Torch-TensorRT makes one engine of the model, and its converters give the model's numbers.

A worker process runs torch_tensorrt over a fake `tensorrt`, so that nothing of it reaches the other tests.
"""

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
NANO = {"model": "nano", "height": 144, "width": 192}
PRECISIONS = ("float32", "float16")
TOLERANCE = {"float32": 1e-5, "float16": 5e-3}  # of the converters' numbers, relative to the largest

if find_spec("torch_tensorrt") is None:
    pytest.skip("torch_tensorrt is not installed; make install brings it", allow_module_level=True)

Ask = Callable[..., dict[str, Any]]


@pytest.fixture(scope="module")
def ask(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Ask]:
    """ask(**case) -> report; see worker.py."""
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


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize("size", [(480, 640), (800, 1333)])
def test_the_published_model_is_one_engine(ask: Ask, size: tuple[int, int], precision: str) -> None:
    report = ask(model="swin_t", height=size[0], width=size[1], precision=precision)
    assert report["one_engine"], report


@pytest.mark.parametrize("precision", PRECISIONS)
@pytest.mark.parametrize(
    "case", [NANO, NANO | {"classes": 3, "keypoints": 5, "batch": 2}], ids=["person", "three classes, batch of two"]
)
def test_nano_is_one_engine_with_the_models_numbers(ask: Ask, case: dict[str, Any], precision: str) -> None:
    report = ask(**case, precision=precision, emulate=True)
    assert report["one_engine"] and report["layers"] > 1000, report
    assert report["error"] < TOLERANCE[precision]


@pytest.mark.parametrize("precision", PRECISIONS)
def test_swins_windows_convert_to_the_models_numbers(ask: Ask, precision: str) -> None:
    report = ask(model="windows", height=70, width=100, precision=precision, emulate=True)
    assert report["one_engine"], report
    assert report["error"] < TOLERANCE[precision]


@pytest.mark.parametrize("plant", ["boolean index", "long topk", "max with index", "float64"])
def test_an_operation_that_breaks_the_engine_is_found(ask: Ask, plant: str) -> None:
    sound = {"model": "convolution", "height": 40, "width": 40}
    assert ask(**sound)["one_engine"]
    report = ask(**sound, plant=plant)
    assert not report["one_engine"], report


def test_an_operation_planted_in_the_model_is_found(ask: Ask) -> None:
    report = ask(**NANO, plant="boolean index")
    assert not report["one_engine"] and report["data_dependent"], report
