"""TensorRT's layers, evaluated with torch on the CPU under TensorRT's strong typing.

Every layer is made as `INetworkDefinition.add_<name>` makes it: tensors are its inputs, and what else is given goes by
the names in `settings`. Half precision accumulates in float32, as tensor cores do.
"""

from __future__ import annotations

import types
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from tests.engines.tensorrt.fake import TYPES, member

DTYPES = {kind: getattr(torch, name) for name, kind in TYPES.items() if not name.startswith(("fp", "int4"))}
TOPK_LIMIT = 3840
ARITHMETIC = {
    "SUM": torch.add,
    "SUB": torch.sub,
    "PROD": torch.mul,
    "POW": torch.pow,
    "MAX": torch.maximum,
    "MIN": torch.minimum,
    "FLOOR_DIV": torch.floor_divide,
    "GREATER": torch.gt,
    "LESS": torch.lt,
}
LOGIC = {"AND": torch.logical_and, "OR": torch.logical_or, "XOR": torch.logical_xor}
UNARY = {"NOT": torch.logical_not, "RECIP": torch.reciprocal}
REDUCTIONS = {"SUM": torch.sum, "AVG": torch.mean, "MAX": torch.amax, "MIN": torch.amin}


class Layer:
    """A layer whose settings may still change until its output is first asked for."""

    settings: tuple[str, ...] = ()
    name = ""
    num_outputs = 1
    tensor: type  # the network's class of tensors

    def __init__(self, *given: Any, **named: Any) -> None:
        given = tuple(part for one in given for part in (one if self._is_tensors(one) else [one]))
        self.inputs = dict(enumerate(part for part in given if isinstance(part, self.tensor)))
        values = [part for part in given if not isinstance(part, self.tensor)]
        if any(isinstance(value, Tensor) for value in values) and not isinstance(self, Constant):
            raise TypeError(f"{type(self).__name__}: a TensorRT tensor is wanted, not a torch.Tensor")
        for name, value in [*zip(self.settings, values, strict=False), *named.items()]:
            if isinstance(value, self.tensor):
                self.inputs[len(self.inputs)] = value
            else:
                setattr(self, name, tuple(value) if isinstance(value, list) else value)  # callers reuse their lists
        self.outputs: dict[int, Any] = {}
        self.values: tuple[Tensor, ...] = ()

    def _is_tensors(self, value: Any) -> bool:
        return isinstance(value, list | tuple) and bool(value) and isinstance(value[0], self.tensor)

    @property
    def type(self) -> Any:
        return types.SimpleNamespace(name=type(self).__name__.upper())

    def set_input(self, index: int, tensor: Any) -> None:
        self.inputs[index] = tensor

    def get_input(self, index: int) -> Any:
        return self.inputs[index]

    def get_output(self, index: int) -> Any:
        return self.outputs.setdefault(index, self.tensor(self, index))

    def result(self, index: int) -> Tensor:
        """The value of an output, computed once."""
        if not self.values:
            count = max(self.inputs, default=-1) + 1
            given = [self.inputs[i].value if i in self.inputs else None for i in range(count)]
            try:
                found = self.compute(*given)
            except Exception as error:
                error.add_note(f"in TensorRT layer {type(self).__name__} {self.name}")
                raise
            self.values = found if isinstance(found, tuple) else (found,)
        return self.values[index]

    def compute(self, *inputs: Any) -> Tensor | tuple[Tensor, ...]:
        raise NotImplementedError


def same_type(*tensors: Tensor | None) -> None:
    found = {tensor.dtype for tensor in tensors if tensor is not None}
    if len(found) > 1:
        raise TypeError(f"strong typing: operands are {', '.join(sorted(map(str, found)))}")


def axes_of(mask: int, rank: int) -> list[int]:
    return [i for i in range(rank) if mask >> i & 1]


class Input(Layer):
    settings = ("value",)

    def compute(self) -> Tensor:
        return self.value


class Constant(Layer):
    settings = ("shape", "weights")

    def compute(self) -> Tensor:
        held = getattr(self.weights, "tensor", self.weights)
        return torch.as_tensor(held).reshape(tuple(self.shape))


class Identity(Layer):
    def compute(self, x: Tensor) -> Tensor:
        return x


class Cast(Layer):
    settings = ("to",)

    def compute(self, x: Tensor) -> Tensor:
        return x.to(DTYPES[member(self.to)])


class Shape(Layer):
    def compute(self, x: Tensor) -> Tensor:
        return torch.tensor(x.shape)


class Unsqueeze(Layer):
    def compute(self, x: Tensor, axes: Tensor) -> Tensor:
        for axis in sorted(axes.flatten().tolist()):
            x = x.unsqueeze(axis)
        return x


class Shuffle(Layer):
    first_transpose = second_transpose = reshape_dims = None
    zero_is_placeholder = True

    def compute(self, x: Tensor, shape: Tensor | None = None) -> Tensor:
        if self.first_transpose is not None:
            x = x.permute(tuple(self.first_transpose))
        sizes = self.reshape_dims if shape is None else shape.tolist()
        if sizes is not None:
            kept = self.zero_is_placeholder and x.numel() > 0
            x = x.reshape([x.shape[i] if size == 0 and kept else size for i, size in enumerate(sizes)])
        return x if self.second_transpose is None else x.permute(tuple(self.second_transpose))


class Elementwise(Layer):
    settings = ("op",)

    def compute(self, a: Tensor, b: Tensor) -> Tensor:
        same_type(a, b)
        name = member(self.op)
        if a.dim() != b.dim():
            raise TypeError(f"{name}: ranks {a.dim()} and {b.dim()}")
        if name == "EQUAL":
            return torch.eq(a, b)
        if (a.dtype == torch.bool) != (name in LOGIC):
            raise TypeError(f"{name} on {a.dtype}")
        if name == "DIV":
            return a / b if a.is_floating_point() else torch.div(a, b, rounding_mode="trunc")
        return (ARITHMETIC | LOGIC)[name](a, b)


class Unary(Layer):
    settings = ("op",)

    def compute(self, x: Tensor) -> Tensor:
        name = member(self.op)
        if (x.dtype == torch.bool) != (name == "NOT"):
            raise TypeError(f"{name} on {x.dtype}")
        return UNARY.get(name, getattr(torch, name.lower(), None))(x)


class Activation(Layer):
    settings = ("op",)
    alpha = beta = None

    def compute(self, x: Tensor) -> Tensor:
        known = {"RELU": F.relu, "SIGMOID": torch.sigmoid, "GELU_ERF": F.gelu}
        name = member(self.op)
        return torch.clamp(x, self.alpha, self.beta) if name == "CLIP" else known[name](x)


class Softmax(Layer):
    def compute(self, x: Tensor) -> Tensor:
        (axis,) = axes_of(self.axes, x.dim())
        return x.float().softmax(axis).to(x.dtype)


class Normalization(Layer):
    settings = ("axes",)
    num_groups = 1
    epsilon = 1e-5

    def compute(self, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        same_type(x, weight, bias)
        y, axes = x.float(), axes_of(self.axes, x.dim())
        if self.num_groups > 1:  # groups are an axis of their own while weight and bias, one per group, are applied
            y = y.unflatten(1, (self.num_groups, -1))
            weight, bias, axes = weight.unsqueeze(2), bias.unsqueeze(2), list(range(2, y.dim()))
        y = (y - y.mean(axes, True)) * torch.rsqrt(y.var(axes, unbiased=False, keepdim=True) + self.epsilon)
        return (y * weight.float() + bias.float()).view(x.shape).to(x.dtype)


class Slice(Layer):
    settings = ("start", "shape", "stride")
    mode = None

    def compute(self, x: Tensor, *given: Tensor | None) -> Tensor:
        known = [None if tensor is None else tensor.tolist() for tensor in given[:3]] + [None] * (3 - len(given[:3]))
        fixed = (self.start, self.shape, self.stride)
        steps = [one if known is None else known for known, one in zip(known, fixed, strict=True)]
        mode = "STRICT_BOUNDS" if self.mode is None else member(self.mode)
        for axis, (start, count, stride) in enumerate(zip(*steps, strict=True)):
            index = start + stride * torch.arange(count)
            outside = (index < 0) | (index >= x.shape[axis])
            if mode == "WRAP":
                x = x.index_select(axis, index % x.shape[axis])
            elif mode == "FILL":
                filled = outside.view([-1 if i == axis else 1 for i in range(x.dim())])
                x = x.index_select(axis, index.clamp(0, x.shape[axis] - 1)).masked_fill(filled, 0)
            elif outside.any():
                raise IndexError(f"slice leaves axis {axis} of {tuple(x.shape)}")
            else:
                x = x.index_select(axis, index)
        return x


class Gather(Layer):
    settings = ("axis",)
    axis = 0
    mode = None

    def compute(self, x: Tensor, index: Tensor) -> Tensor:
        if index.dtype not in (torch.int32, torch.int64):
            raise TypeError(f"gather by {index.dtype}")
        mode = "DEFAULT" if self.mode is None else member(self.mode)
        if mode == "ELEMENT":
            return x.gather(self.axis, index.long())
        if mode == "ND":
            return x[tuple(index.long().unbind(-1))]
        found = x.index_select(self.axis, index.long().flatten())
        return found.reshape(*x.shape[: self.axis], *index.shape, *x.shape[self.axis + 1 :])


class GatherV2(Gather):
    settings = ("mode",)


class Reduce(Layer):
    settings = ("op", "axes", "keep_dims")

    def compute(self, x: Tensor) -> Tensor:
        if x.dtype == torch.bool:
            raise TypeError("reduction of BOOL")
        wide = x.float() if x.dtype == torch.float16 else x
        return REDUCTIONS[member(self.op)](wide, axes_of(self.axes, x.dim()), keepdim=self.keep_dims).to(x.dtype)


class MatrixMultiply(Layer):
    settings = ("op0", "op1")

    def compute(self, a: Tensor, b: Tensor) -> Tensor:
        same_type(a, b)
        if member(self.op0) == "TRANSPOSE":
            a = a.mT
        if member(self.op1) == "TRANSPOSE":
            b = b.mT
        return (a.float() @ b.float()).to(a.dtype)


class Concatenation(Layer):
    axis = 0

    def compute(self, *parts: Tensor) -> Tensor:
        same_type(*parts)
        return torch.cat(parts, self.axis)


class Topk(Layer):
    settings = ("op", "k", "axes")

    def compute(self, x: Tensor) -> tuple[Tensor, Tensor]:
        (axis,) = axes_of(self.axes, x.dim())
        if self.k > TOPK_LIMIT:
            raise ValueError(f"top-k takes at most {TOPK_LIMIT}, not {self.k}")
        values, index = x.topk(self.k, axis, largest=member(self.op) == "MAX")
        return values, index.int()


class Select(Layer):
    def compute(self, condition: Tensor, a: Tensor, b: Tensor) -> Tensor:
        same_type(a, b)
        if condition.dtype != torch.bool or not condition.dim() == a.dim() == b.dim():
            raise TypeError("select wants a BOOL condition and one rank")
        return torch.where(condition, a, b)


class GridSample(Layer):
    align_corners = False

    def compute(self, x: Tensor, grid: Tensor) -> Tensor:
        same_type(x, grid)
        if (member(self.interpolation_mode), member(self.sample_mode)) != ("LINEAR", "FILL"):
            raise NotImplementedError("grid_sample is linear with zeros outside")
        return F.grid_sample(x.float(), grid.float(), align_corners=self.align_corners).to(x.dtype)


class ConvolutionNd(Layer):
    settings = ("num_output_maps", "kernel_shape", "kernel", "bias")
    stride_nd, padding_nd, dilation_nd = (1, 1), (0, 0), (1, 1)
    num_groups = 1
    bias = None

    def compute(self, x: Tensor, kernel: Tensor | None = None, bias: Tensor | None = None) -> Tensor:
        kernel = self.kernel.tensor.reshape(self.num_output_maps, -1, *self.kernel_shape) if kernel is None else kernel
        bias = getattr(self.bias, "tensor", None) if bias is None else bias
        same_type(x, kernel, bias)
        places = tuple(self.stride_nd), tuple(self.padding_nd), tuple(self.dilation_nd), self.num_groups
        return F.conv2d(x.float(), kernel.float(), None if bias is None else bias.float(), *places).to(x.dtype)


class Attention(Layer):
    settings = ("op", "causal")
    mask = None

    def compute(self, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        mask = None if self.mask is None else self.mask.value
        same_type(q, k, v, None if mask is None or mask.dtype == torch.bool else mask)
        mask = mask if mask is None or mask.dtype == torch.bool else mask.float()
        found = F.scaled_dot_product_attention(q.float(), k.float(), v.float(), mask, is_causal=self.causal, scale=1.0)
        return found.to(q.dtype)
