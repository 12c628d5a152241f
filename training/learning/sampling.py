"""Deformable attention's samples in compiled code: on a CPU a training step takes about half the time."""

from __future__ import annotations

import ctypes
import shutil
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from xpose_stream.engines.xpose import deformable

SOURCE = Path(__file__).with_suffix(".cpp")
FLAGS = ["-std=c++17", "-shared", "-fPIC", "-O3", "-march=native"]
# What lets sums be vectorised; -ffast-math would change how the whole process treats tiny numbers.
FLAGS += ["-fassociative-math", "-fno-signed-zeros", "-fno-trapping-math", "-fno-math-errno"]


def compile_sampling() -> bool:
    """Let `DeformableAttention` use the compiled samples in this process; False where there is no C++ compiler."""
    if shutil.which("g++") is None:
        return False
    deformable.sample = sample
    return True


def sample(value: Tensor, sizes: deformable.Sizes, places: deformable.Places, weights: Tensor) -> Tensor:
    """`xpose_stream.engines.xpose.deformable.sample`, differentiable, computed in float32; the result is float32."""
    if value.device.type != "cpu" or value.dtype == torch.float64:
        return deformable.sample_maps(value, sizes, places, weights)
    return _Sample.apply(value.float(), torch.stack(places, -1).float(), weights.float(), sizes)


class _Sample(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, value: Tensor, locations: Tensor, weights: Tensor, sizes: deformable.Sizes) -> Tensor:
        value, locations, weights = value.contiguous(), locations.contiguous(), weights.contiguous()
        out = torch.empty(*weights.shape[:3], value.shape[-1])
        _run("sample_forward", (value, locations, weights, out), sizes)
        ctx.save_for_backward(value, locations, weights)
        ctx.sizes = sizes
        return out.flatten(2)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, Tensor, Tensor, None]:
        value, locations, weights = ctx.saved_tensors
        results = torch.zeros_like(value), torch.empty_like(locations), torch.empty_like(weights)
        _run("sample_backward", (value, locations, weights, gradients[0].float().contiguous(), *results), ctx.sizes)
        return *results, None


def _run(function: str, tensors: tuple[Tensor, ...], sizes: deformable.Sizes) -> None:
    """Call the compiled function on float32 tensors; the first three are value, locations and weights."""
    value, _, weights = tensors[:3]
    batch, queries, heads, levels, points = weights.shape
    call = getattr(_library(value.shape[-1]), function)
    maps, start = [], 0
    for height, width in sizes:
        maps += [height, width, start]
        start += height * width
    pointers = [ctypes.c_void_p(tensor.data_ptr()) for tensor in tensors]
    numbers = [ctypes.c_int64(n) for n in (value.shape[1], queries, heads, levels, points)]
    described = (ctypes.c_int64 * len(maps))(*maps)

    def share(first: int, last: int) -> None:
        call(*pointers, *numbers, described, ctypes.c_int64(first), ctypes.c_int64(last))

    threads = min(torch.get_num_threads(), batch)
    if threads == 1:
        share(0, batch)
        return
    edges = [batch * i // threads for i in range(threads + 1)]
    list(_threads().map(share, edges[:-1], edges[1:]))


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor()


@cache
def _library(width: int) -> ctypes.CDLL:
    """The compiled source for heads of this width, made for this machine's processor."""
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "sampling.so"
        subprocess.run(["g++", *FLAGS, f"-DWIDTH={width}", str(SOURCE), "-o", str(made)], check=True)
        return ctypes.CDLL(str(made))
