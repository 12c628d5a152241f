"""Compiling beside a stream without taking anything from it: in a process of its own, at a low priority."""

from __future__ import annotations

import ctypes
import io
import os
import signal
import subprocess
import sys
import threading
from contextlib import suppress
from pathlib import Path

import torch
from torch import Tensor, nn

from xpose_stream.engines.backends import Precision, backends
from xpose_stream.engines.cache import unkept

_PARENT_DIED = 1  # prctl's PR_SET_PDEATHSIG
_GLANCE = 0.2  # s between two looks whether this process ends
_START = "from xpose_stream.engines.apart import main; main()"


class Abandoned(Exception):
    """Nobody needs the engine any more."""


def build_apart(backend: str, model: nn.Module, inputs: tuple[Tensor, ...], precision: Precision, path: Path) -> None:
    """What `Backend.build` does, for a model and inputs on the CPU.

    In this process Python would stand still for seconds at a time, and with it every frame. The other one needs some
    400 MB. Raises RuntimeError with its last words when it fails, and Abandoned when this process ends meanwhile.
    """
    given = backend, model, tuple(tensor.clone() for tensor in inputs), precision, torch.get_num_threads()
    paths = os.pathsep.join(part or os.getcwd() for part in sys.path)
    # No pipe: `communicate` with a timeout would write but a part of the job.
    with open(os.memfd_create("engine job"), "w+b") as job:
        torch.save(given, job)
        job.seek(0)
        child = subprocess.Popen(
            [sys.executable, "-c", _START],
            stdin=job,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=os.environ | {"PYTHONPATH": paths, "OMP_NUM_THREADS": "1"},
        )
    built, said = _answer(child)
    if child.returncode or not built:
        lines = said.decode(errors="replace").strip().splitlines()
        raise RuntimeError(lines[-1] if lines else f"its compiler ended with status {child.returncode}")
    path.write_bytes(built)


def _answer(child: subprocess.Popen[bytes]) -> tuple[bytes, bytes]:
    """What it wrote on its two outputs. Ends it when this program does: its threads are waited for."""
    while True:
        try:
            return child.communicate(timeout=_GLANCE)
        except subprocess.TimeoutExpired:
            if not threading.main_thread().is_alive():
                child.kill()
                child.communicate()
                raise Abandoned from None


def main() -> None:
    """The other process: a job on standard input, the file on standard output."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a Ctrl-C is its parent's, with which it ends
    ctypes.CDLL(None).prctl(_PARENT_DIED, signal.SIGKILL)
    with suppress(OSError):  # a stream may have been given real-time priority
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
    os.setpriority(os.PRIO_PROCESS, 0, 10)  # 19 would never be done on a busy machine
    answer = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # whatever compilers print
    name, model, inputs, precision, threads = torch.load(io.BytesIO(sys.stdin.buffer.read()), weights_only=False)
    torch.set_num_threads(threads)  # which the engine will have
    with unkept("engine") as path:
        backends()[name].build(model, inputs, precision, path)
        answer.write(path.read_bytes())
    answer.close()
