"""Tensors that depend on the input size alone: computed once per size, kept as buffers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from torch import Tensor, nn

_SIZES = 32  # kept; a folder of photographs may have hundreds


class SizeConstants(nn.Module):
    """Remembers what `make(*sizes, like)` returned for the latest sizes it was asked for.

    The tensors are non-persistent buffers, so an exported graph holds them as constants and a checkpoint does not.
    They are dropped when the model moves to another device or dtype, and made anew there at full precision.
    """

    def __init__(self, make: Callable[..., dict[str, Tensor]]) -> None:
        super().__init__()
        self.make = make

    def forward(self, *sizes: tuple[int, int], like: Tensor) -> nn.Module:
        """Constants for these (height, width) sizes as attributes, in the dtype and on the device of `like`."""
        name = "_".join(f"{height}x{width}" for height, width in sizes)
        if name not in self._modules:
            held = nn.Module()
            for key, tensor in self.make(*sizes, like=like).items():
                held.register_buffer(key, tensor, persistent=False)
            self.add_module(name, held)
            if len(self._modules) > _SIZES:
                del self._modules[next(iter(self._modules))]
        held_for_size = self._modules[name]
        assert held_for_size is not None
        return held_for_size

    def _apply(self, fn: Any, recurse: bool = True) -> SizeConstants:
        self._modules.clear()
        return self
