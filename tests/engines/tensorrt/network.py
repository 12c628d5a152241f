"""Torch-TensorRT's converters, run into a network that is evaluated with torch instead of built by TensorRT.

This finds operands of unequal type, converters that raise, and numbers that are not the module's. Static shapes only.
"""

from __future__ import annotations

import ctypes
import re
import types
from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor, fx

from tests.engines.tensorrt import layers
from tests.engines.tensorrt.fake import FakeTensorRT, member


def emulate(fake: FakeTensorRT, engine: fx.GraphModule, inputs: tuple[Tensor, ...]) -> tuple[list[Tensor], int]:
    """Outputs of the network that the converters make of one engine's graph, and its number of layers."""
    from torch_tensorrt.dynamo import partitioning
    from torch_tensorrt.dynamo._settings import CompilationSettings
    from torch_tensorrt.dynamo.conversion._conversion import infer_module_output_dtypes
    from torch_tensorrt.dynamo.conversion._TRTInterpreter import TRTInterpreter

    network = _put_network_into(fake, inputs)
    interpreter = TRTInterpreter(
        engine,
        partitioning.construct_submodule_inputs(engine),
        output_dtypes=infer_module_output_dtypes(engine),
        compilation_settings=CompilationSettings(immutable_weights=True),
    )
    interpreter._construct_trt_network_def()
    return [output.value for output in network.marked], len(network.layers)


def largest_difference(wanted: Sequence[Tensor], found: Sequence[Tensor]) -> float:
    """Between two answers, relative to the largest number of each output."""
    worst = 0.0
    for a, b in zip(wanted, found, strict=True):
        if a.shape != b.shape or a.dtype != b.dtype:
            raise TypeError(f"an output is {b.dtype} {tuple(b.shape)} and not {a.dtype} {tuple(a.shape)}")
        worst = max(worst, float((a.double() - b.double()).abs().max() / a.double().abs().max()))
    return worst


def _put_network_into(fake: FakeTensorRT, inputs: tuple[Tensor, ...]) -> Any:
    """Give the fake module a builder whose one network is returned here."""
    kinds = {value: getattr(fake.DataType, name) for name, value in layers.DTYPES.items()}

    class NetworkTensor(fake.ITensor):  # type: ignore[misc, name-defined]
        """An ITensor that knows its value."""

        def __init__(self, layer: layers.Layer, index: int) -> None:
            self.layer, self.index, self.name = layer, index, f"{type(layer).__name__}-{id(layer)}-{index}"

        value = property(lambda self: self.layer.result(self.index))
        shape = property(lambda self: Dims(self.value.shape))
        dtype = property(lambda self: kinds[self.value.dtype])
        __hash__ = object.__hash__

    class Dims(tuple):
        """TensorRT's shapes."""

    class Weights:
        """Numbers at an address, copied."""

        def __init__(self, dtype: Any = None, address: int = 0, count: int = 0) -> None:
            self.tensor = None
            if count:
                kind = layers.DTYPES[member(dtype)]
                self.tensor = torch.frombuffer(bytearray(ctypes.string_at(address, count * kind.itemsize)), dtype=kind)

    class Network:
        """Every add_<layer> makes the layer of that name."""

        def __init__(self) -> None:
            self.layers: list[layers.Layer] = []
            self.marked: list[NetworkTensor] = []
            self.waiting = list(inputs)

        def get_flag(self, flag: Any) -> bool:
            return True

        def mark_output(self, tensor: NetworkTensor) -> None:
            self.marked.append(tensor)

        def add_input(self, name: str, shape: Any, dtype: Any) -> NetworkTensor:
            value = self.waiting.pop(0)
            if kinds[value.dtype] is not dtype or tuple(value.shape) != tuple(shape):
                raise TypeError(f"input {name} is {value.dtype} {tuple(value.shape)}, not {dtype} {tuple(shape)}")
            return self.add_layer(layers.Input)(value=value).get_output(0)

        def add_layer(self, kind: type[layers.Layer]) -> Callable[..., layers.Layer]:
            def add(*given: Any, **named: Any) -> layers.Layer:
                self.layers.append(kind(*given, **named))
                return self.layers[-1]

            return add

        def __getattr__(self, name: str) -> Callable[..., layers.Layer]:
            noun = re.sub(r"(^|_)([a-z])", lambda part: part[2].upper(), name.removeprefix("add_"))
            if not name.startswith("add_") or not hasattr(layers, noun):
                raise AttributeError(f"the emulated network has no {name}")
            return self.add_layer(getattr(layers, noun))

    layers.Layer.tensor = NetworkTensor
    network = Network()
    builder = types.SimpleNamespace(create_network=lambda *flags: network)
    vars(fake).update(Dims=Dims, Weights=Weights, Permutation=tuple, Builder=lambda *logger: builder)
    return network
