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
    """Float32 on the CPU. One image has all threads, for latency; those of a batch share them, for throughput."""

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
        from openvino.preprocess import PrePostProcessor

        one = (inputs[0][:1], *inputs[1:])
        with warnings.catch_warnings(), torch.no_grad():
            warnings.simplefilter("ignore")  # of tracing, which is deprecated, but three times faster than export here
            model(*one)  # constants of the size are made now, not recorded
            traced = torch.jit.freeze(torch.jit.trace(model.eval(), one, check_trace=False))
            network = openvino.convert_model(traced, example_input=one)
        for port, tensor in zip(network.inputs, one, strict=True):
            port.get_node().set_partial_shape(openvino.PartialShape(list(tensor.shape)))
        pictures = PrePostProcessor(network)  # channels last, as they are in memory: OpenVINO computes in that order
        pictures.input(0).tensor().set_layout(openvino.Layout("NHWC"))
        pictures.input(0).model().set_layout(openvino.Layout("NCHW"))
        compiled = openvino.Core().compile_model(pictures.build(), "CPU", _options(_beside(inputs[0])))
        path.write_bytes(compiled.export_model().getvalue())

    def load(self, path: Path, inputs: tuple[Tensor, ...]) -> Run:
        """See Backend."""
        import openvino

        beside = _beside(inputs[0])
        compiled = openvino.Core().import_model(path.read_bytes(), "CPU", _options(beside))
        requests = [compiled.create_infer_request() for _ in range(beside)]

        def run(*given: Tensor) -> Answer:
            images, *prompts = (np.ascontiguousarray(tensor) for tensor in (given[0].permute(0, 2, 3, 1), *given[1:]))
            answers = []
            for first in range(0, len(images), beside):
                begun = list(zip(range(first, len(images)), requests, strict=False))
                for row, request in begun:
                    request.start_async([images[row : row + 1], *prompts], share_inputs=True)
                for _, request in begun:
                    request.wait()
                answers += [[torch.tensor(part.data) for part in request.output_tensors] for _, request in begun]
            return tuple(torch.cat(parts) for parts in zip(*answers, strict=True))

        return run


def _beside(images: Tensor) -> int:
    """How many images of a batch are run at once, so that no thread waits: all by all in turn would take longer."""
    threads = torch.get_num_threads()
    return max(n for n in range(1, threads + 1) if threads % n == 0 and len(images) % n == 0)


def _options(beside: int) -> dict[str, Any]:
    """Given again at loading: a built file does not hold its precision, and the CPU's own choice may be bfloat16."""
    return {
        "INFERENCE_PRECISION_HINT": "f32",
        "PERFORMANCE_HINT": "LATENCY",
        "NUM_STREAMS": beside,
        "INFERENCE_NUM_THREADS": torch.get_num_threads(),
    }
