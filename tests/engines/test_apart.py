"""Building an engine in a process of its own."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import torch

from xpose_stream.engines.apart import build_apart
from xpose_stream.engines.backends.openvino import OpenVino

ROOT = Path(__file__).parents[2]
ENDS = """
import threading
from pathlib import Path
import torch
from xpose_stream.engines import apart

apart._START = "import time; time.sleep(600)"

def build():
    try:
        apart.build_apart("openvino", torch.nn.Identity(), (torch.zeros(1),), "float32", Path("none"))
    except apart.Abandoned:
        print("abandoned", flush=True)

threading.Thread(target=build).start()
"""


def test_a_job_that_is_larger_than_a_pipe_is_built_however_late_the_other_process_reads_it(tmp_path: Path) -> None:
    model = torch.nn.Conv2d(3, 512, 16).eval()  # 1.5 MB
    images = torch.rand(1, 3, 20, 24)
    build_apart("openvino", model, (images,), "float32", tmp_path / "engine")
    (answer,) = OpenVino().load(tmp_path / "engine", (images,))(images)
    torch.testing.assert_close(answer, model(images).detach(), atol=1e-4, rtol=1e-4)


def test_a_program_that_ends_does_not_wait_for_an_engine_that_is_being_built() -> None:
    ended = subprocess.run([sys.executable, "-c", ENDS], cwd=ROOT, capture_output=True, text=True, timeout=300)
    assert (ended.stdout, ended.stderr, ended.returncode) == ("abandoned\n", "", 0)
