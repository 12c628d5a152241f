"""X-Pose in float16 where the time goes and in float32 where the answer is decided."""

from __future__ import annotations

import copy
from typing import Any

import torch
from torch import Tensor, nn

from xpose_stream.engines.xpose.layers import Attention
from xpose_stream.engines.xpose.swin import WindowAttention

# Float32 stays all that is not named here: the residual stream, norms, positions and sine embeddings, sampling offsets,
# weights and coordinates, the fusion's scores, selection logits, references with their sigmoids, and the answer.
PRODUCTS_OF_A_LAYER = ("linear1", "linear2", "value_proj", "output_proj", "self_attn", "ca_text")
NORMS = (nn.LayerNorm, nn.GroupNorm, nn.BatchNorm2d)


def halve(model: nn.Module) -> nn.Module:
    """A copy of `model` (an XPose, or a module that holds one) whose large products compute in float16.

    A module in float16 casts what it is given at its door. What comes out meets float32 in a sum, which promotes it, or
    in a norm, which casts it. Inputs and outputs of the model stay float32, and no option of a compiler is needed:
    the casts are part of the graph.
    """
    model = copy.deepcopy(model)
    for name, module in model.named_modules():
        if isinstance(module, NORMS):
            module.register_forward_pre_hook(_float)
        elif is_half(name, module):
            module.half().register_forward_pre_hook(_half)
    return model


def is_half(name: str, module: nn.Module) -> bool:
    """Whether this module, by its dotted name in the model, computes in float16."""
    *path, last = name.split(".")
    if isinstance(module, nn.Conv2d | WindowAttention):
        return True
    if "backbone" in path:
        return isinstance(module, nn.Linear) and "attn" not in path
    layer = ("encoder" in path or "decoder" in path) and "layers" in path
    return layer and last in PRODUCTS_OF_A_LAYER and isinstance(module, nn.Linear | Attention)


def _half(module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    return _cast(inputs, torch.float16)


def _float(module: nn.Module, inputs: tuple[Any, ...]) -> tuple[Any, ...]:
    return _cast(inputs, torch.float32)


def _cast(inputs: tuple[Any, ...], dtype: torch.dtype) -> tuple[Any, ...]:
    """The inputs with floating tensors cast; what was one tensor stays one, since attention asks `key is query`."""
    cast: dict[int, Any] = {}
    for x in inputs:
        cast[id(x)] = x.to(dtype) if isinstance(x, Tensor) and x.is_floating_point() else x
    return tuple(cast[id(x)] for x in inputs)
