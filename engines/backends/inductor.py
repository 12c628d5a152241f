"""Inductor: torch's own compiler, ahead of time (AOTInductor); CUDA graphs on a GPU, C++ on a CPU."""

from __future__ import annotations

import copy
import shutil
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from xpose_stream.engines.backends.backend import Precision, Run
from xpose_stream.engines.backends.cudagraph import capture
from xpose_stream.engines.backends.half import halve
from xpose_stream.engines.xpose.deformable import DeformableAttention, sample_rows


class Inductor:
    """Needs Triton on a GPU, or a C++ compiler on a CPU. The GPU's side was never run."""

    name = "inductor"

    def unavailable(self, device: torch.device, precision: Precision) -> str | None:
        """See Backend."""
        if device.type == "cpu" and precision != "float32":
            return f"On a CPU inductor runs in float32, not in {precision}."
        if device.type == "cpu" and not (shutil.which("g++") or shutil.which("clang++")):
            return "Inductor needs a C++ compiler on a CPU; apt install g++."
        return None

    def build(self, model: nn.Module, inputs: tuple[Tensor, ...], precision: Precision, path: Path) -> None:
        """See Backend."""
        model = (halve(model) if precision == "float16" else copy.deepcopy(model)).eval()
        options: dict[str, Any] = {"freezing": True}
        if inputs[0].device.type == "cpu":
            for module in model.modules():
                if isinstance(module, DeformableAttention):
                    module.sample = sample_rows
        with torch.no_grad():
            model(*inputs)  # constants of the size are made now, not recorded
            exported = torch.export.export(model, inputs, strict=False)
            torch._inductor.aoti_compile_and_package(exported, package_path=str(path), inductor_configs=options)

    def load(self, path: Path, inputs: tuple[Tensor, ...]) -> Run:
        """See Backend."""
        compiled: Run = torch._inductor.aoti_load_package(str(path))
        return capture(compiled, inputs) if inputs[0].device.type == "cuda" else compiled
