"""The moving average of a model's weights, which is what is validated and shipped."""

from __future__ import annotations

import copy

import torch
from torch import nn


class Average:
    """A copy of a module in eval mode whose weights and buffers trail the original's.

    The decay starts low and approaches `decay`, so that the random start is soon forgotten.
    """

    def __init__(self, module: nn.Module, decay: float) -> None:
        self.module = copy.deepcopy(module).eval().requires_grad_(False)
        self.decay = decay
        self.steps = 0

    @torch.no_grad()
    def update(self, module: nn.Module) -> None:
        """Take one step towards the module's present state; integer buffers are copied."""
        self.steps += 1
        decay = min(self.decay, self.steps / (self.steps + 9))
        pairs = zip(self.module.state_dict().values(), module.state_dict().values(), strict=True)
        floats = []
        for own, new in pairs:
            if own.is_floating_point():
                floats.append((own, new))
            else:
                own.copy_(new)
        mine, theirs = (list(tensors) for tensors in zip(*floats, strict=True))
        torch._foreach_lerp_(mine, theirs, 1 - decay)
