"""TensorRT through Torch-TensorRT 2.13: the whole model as one engine on an NVIDIA GPU.

Never run: no machine with TensorRT was at hand. What tests/engines/tensorrt checks without it: that lowering and the
partitioner make one engine of the model, and that the converters' networks are typed right and give the right numbers.
Not checked: TensorRT's kernels, their speed, saving and loading, CUDA graphs. docs/tensorrt.md says more.
"""

from __future__ import annotations

import copy
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from xpose_stream.engines.backends.backend import Answer, Precision, Run
from xpose_stream.engines.backends.half import halve
from xpose_stream.engines.xpose.deformable import DeformableAttention, sample_maps

# Torch-TensorRT swallows names it does not know; the tests hold these against its signature.
OPTIONS: dict[str, Any] = {
    "require_full_compilation": True,  # one engine or none
    "attn_bias_is_causal": False,  # by default a square mask may be taken for a causal one
    "disable_tf32": True,  # what is float32 decides a selection or a coordinate, and is float32
    "offload_module_to_cpu": True,  # the graph is a copy; the live model stays where it is
    "immutable_weights": True,
    "optimization_level": 5,
    "truncate_double": False,
}


class TensorRT:
    """One TensorRT engine, replayed as a CUDA graph. Its precision is the graph's own (TensorRT 11: strong typing)."""

    name = "tensorrt"

    def unavailable(self, device: torch.device, precision: Precision) -> str | None:
        """See Backend."""
        if device.type != "cuda" or not torch.cuda.is_available():
            return "TensorRT needs an NVIDIA GPU, and there is none."
        if find_spec("torch_tensorrt") is None or find_spec("tensorrt") is None:
            return "TensorRT is not installed; pip install 'xpose-stream[tensorrt]'."
        return None

    def build(self, model: nn.Module, inputs: tuple[Tensor, ...], precision: Precision, path: Path) -> None:
        """See Backend."""
        import torch_tensorrt

        program = export(model, inputs, precision)
        register_converters()
        timings = str(path.parent / "tensorrt-timings.bin")
        compiled = torch_tensorrt.dynamo.compile(program, arg_inputs=list(inputs), timing_cache_path=timings, **OPTIONS)
        torch_tensorrt.save(compiled, str(path), arg_inputs=list(inputs))

    def load(self, path: Path, inputs: tuple[Tensor, ...]) -> Run:
        """See Backend."""
        import torch_tensorrt

        run = torch_tensorrt.load(str(path)).module()
        torch_tensorrt.runtime.set_cudagraphs_mode(True)  # the engine's buffers are fixed, and its outputs copies

        def infer(*given: Tensor) -> Answer:
            with torch.inference_mode():
                return tuple(run(*given))

        return infer


def export(model: nn.Module, inputs: tuple[Tensor, ...], precision: Precision) -> torch.export.ExportedProgram:
    """The graph TensorRT gets: static, without gradients, in its own types, sampling by grid_sample.

    `model` stays as it is.
    """
    model = (halve(model) if precision == "float16" else copy.deepcopy(model)).eval().requires_grad_(False)
    for module in model.modules():
        if isinstance(module, DeformableAttention):
            module.sample = sample_maps
    with torch.no_grad():
        model(*inputs)  # makes the constants of this size, which are no part of the graph
        return torch.export.export(model, inputs, strict=False)


@cache
def register_converters() -> None:
    """Mend Torch-TensorRT 2.13's attention converter, which raises on a constant operand.

    There is one: the first box layer's values are made of learned queries alone, so lowering folds them.
    """
    from tensorrt import ITensor
    from torch_tensorrt.dynamo.conversion import ConverterPriority, aten_ops_converters, dynamo_tensorrt_converter
    from torch_tensorrt.dynamo.conversion.converter_utils import enforce_tensor_types

    frozen = enforce_tensor_types(dict.fromkeys(range(3), (ITensor,)))
    dynamo_tensorrt_converter(
        torch.ops.aten.scaled_dot_product_attention.default,
        priority=ConverterPriority.HIGH,
        capability_validator=aten_ops_converters.scaled_dot_product_attention_validator,
    )(frozen(aten_ops_converters.aten_ops_scaled_dot_product_attention))
