"""The fused sampling kernel, in Triton's interpreter, and what compilers see of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch._subclasses.fake_tensor import FakeTensorMode

pytest.importorskip("triton")

ROOT = Path(__file__).parents[2]


def test_the_kernel_samples_as_grid_sample_does() -> None:
    command = [sys.executable, "-m", "tests.engines.fused_check"]
    environment = os.environ | {"TRITON_INTERPRET": "1"}
    run = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    found = json.loads(run.stdout)
    assert found.pop("half values") < 5e-3
    assert max(found.values()) < 1e-5


def test_compilers_know_the_shape_of_its_answer() -> None:
    from xpose_stream.engines.xpose.fused import sample_fused

    with FakeTensorMode():
        value = torch.empty(2, 35, 4, 32, device="cuda", dtype=torch.float16)
        x, y, weights = torch.empty(3, 2, 21, 4, 1, 3, device="cuda")
        out = sample_fused(value, [5, 7], x, y, weights)
    assert out.shape == (2, 21, 128) and out.dtype == torch.float16


def test_the_kernel_compiles_for_a_gpu_that_is_not_here() -> None:
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource, compile

    from xpose_stream.engines.xpose.fused import sample_kernel

    settings = {"LEVELS": 2, "POINTS": 4, "HEADS": 8, "DIM": 32, "BLOCK_DIM": 32, "BLOCK": 16, "SIZES": (6, 8, 3, 4)}
    pointers = {"value": "*fp16", "across": "*fp32", "down": "*fp32", "weights": "*fp32", "out": "*fp16"}
    signature = pointers | dict.fromkeys(("rows", "queries", "cells"), "i32") | dict.fromkeys(settings, "constexpr")
    source = ASTSource(fn=sample_kernel, signature=signature, constexprs=settings)
    assert compile(source, target=GPUTarget("cuda", 90, 32)).asm["cubin"]
