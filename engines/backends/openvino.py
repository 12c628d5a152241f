"""OpenVINO: the fastest on a CPU by measurement (`benchmarks/engine.py`), and it needs no compiler."""

from __future__ import annotations

import warnings
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from xpose_stream.engines.backends.backend import Answer, Precision, Run


class OpenVino:
    """Float32 on the CPU; latency before throughput."""

    name = "openvino"

    def unavailable(self, device: torch.device, precision: Precision) -> str | None:
        """See Backend."""
        if device.type != "cpu":
            return f"OpenVINO runs on the CPU here, not on {device}."
        if precision != "float32":
            return f"OpenVINO runs in float32 here, not in {precision}."
        if find_spec("openvino") is None:
            return "OpenVINO is not installed; pip install 'xpose-stream[cpu]'."
        return None

    def build(self, model: nn.Module, inputs: tuple[Tensor, ...], precision: Precision, path: Path) -> None:
        """See Backend."""
        import openvino

        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")  # of tracing, which is deprecated, but three times faster than export here
            model(*inputs)  # constants of the size are made now, not recorded
            traced = torch.jit.freeze(torch.jit.trace(model.eval(), inputs, check_trace=False))
            network = openvino.convert_model(traced, example_input=inputs)
        for port, tensor in zip(network.inputs, inputs, strict=True):
            port.get_node().set_partial_shape(openvino.PartialShape(list(tensor.shape)))
        network.validate_nodes_and_infer_types()
        path.write_bytes(openvino.Core().compile_model(network, "CPU", _options()).export_model().getvalue())

    def load(self, path: Path, inputs: tuple[Tensor, ...]) -> Run:
        """See Backend."""
        import openvino

        request = openvino.Core().import_model(path.read_bytes(), "CPU", _options()).create_infer_request()

        def run(*given: Tensor) -> Answer:
            arrays = [np.ascontiguousarray(tensor.numpy()) for tensor in given]
            return tuple(torch.from_numpy(part) for part in request.infer(arrays, share_inputs=True).values())

        return run


def _options() -> dict[str, Any]:
    """Given again at loading: a built file does not hold its precision, and the CPU's own choice may be bfloat16."""
    return {
        "INFERENCE_PRECISION_HINT": "f32",
        "PERFORMANCE_HINT": "LATENCY",
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
    }
