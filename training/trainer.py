"""One model in training: its steps, its average and its saved state."""

from __future__ import annotations

import math
import os
from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as distributed
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from engines.prompts import instance_text, keypoint_text
from engines.text import WordEncoder, words_of
from engines.xpose import XPose, XPoseConfig
from training.average import Average
from training.dataset import Batch
from training.denoising import add_noise
from training.initialise import initialise
from training.losses import Losses


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a training does; `images` is its length, `batch` is per process."""

    images: int
    batch: int = 8
    seed: int = 1
    rate: float = 1.2e-3
    offsets_rate: float = 0.3  # of the rate, for the sampling offsets
    weight_decay: float = 0.01
    warm_up: int = 150  # steps
    final: float = 0.02  # of the rate, at the end
    clip: float = 1.0
    average: float = 0.998
    noise_groups: int = 2
    noise_slots: int = 4

    def share(self, step: int, images: int) -> float:
        """Share of the full rate: a linear start over steps, then half a cosine over the images seen."""
        cosine = (1 + math.cos(math.pi * min(images / self.images, 1.0))) / 2
        return min(1.0, (step + 1) / self.warm_up) * (self.final + (1 - self.final) * cosine)


class Prompted(nn.Module):
    """X-Pose and the text encoder that is trained with it."""

    def __init__(self, config: XPoseConfig, categories: Sequence[str], keypoints: Sequence[str]) -> None:
        super().__init__()
        self.categories = tuple(map(instance_text, categories))
        self.keypoints = tuple(map(keypoint_text, keypoints))
        words = sorted({word for text in (*self.categories, *self.keypoints) for word in words_of(text)})
        self.model = XPose(config)
        initialise(self.model)
        self.text = WordEncoder(words, config.prompt_dim, self.categories)

    def prompts(self) -> tuple[Tensor, Tensor]:
        """Embeddings of the categories [C, P] and of the keypoints [K, P]."""
        both = self.text((*self.categories, *self.keypoints))
        return both[: len(self.categories)], both[len(self.categories) :]


class Trainer:
    """Steps of one process; with several, each has its part of the batch and they share their gradients.

    Attributes:
        images, steps: done so far, by all processes together.
        minutes: spent so far; whoever drives the trainer keeps it.
        average: what to validate and to ship.
    """

    def __init__(self, prompted: Prompted, sigmas: Sequence[float], recipe: Recipe, device: torch.device) -> None:
        config = prompted.model.config
        self.recipe, self.device = recipe, device
        self.prompted = prompted.to(device).train()
        self.average = Average(self.prompted, recipe.average)
        self.losses = Losses(torch.tensor(sigmas, device=device), config.proposal_size, config.levels)
        self.ranks = distributed.get_world_size() if distributed.is_initialized() else 1
        self.rank = distributed.get_rank() if distributed.is_initialized() else 0
        self.images = self.steps = 0
        self.minutes = 0.0
        # All gradients are views of one tensor, so that sharing and clipping are one operation each. Its last number
        # tells the other processes that this one wants to stop.
        parameters = dict(self.prompted.named_parameters())
        self._gradient = torch.zeros(sum(p.numel() for p in parameters.values()) + 1, device=device)
        parts = self._gradient[:-1].split([p.numel() for p in parameters.values()])
        for parameter, part in zip(parameters.values(), parts, strict=True):
            parameter.grad = part.view_as(parameter)
        offsets = [p for name, p in parameters.items() if "sampling_offsets" in name]
        others = [p for name, p in parameters.items() if "sampling_offsets" not in name]
        groups = [{"params": others, "scale": 1.0}, {"params": offsets, "scale": recipe.offsets_rate}]
        self.optimiser = torch.optim.AdamW(
            groups, lr=recipe.rate, betas=(0.9, 0.98), weight_decay=recipe.weight_decay, fused=True
        )

    def step(self, batch: Batch, stop: bool = False) -> tuple[dict[str, Tensor], bool]:
        """Learn from a batch. Returns the losses with gradient norm, and whether any process wants to stop."""
        parts = self._backward(batch.to(self.device))
        self._gradient[-1] = float(stop)
        if self.ranks > 1:
            distributed.all_reduce(self._gradient)
        stop = bool(self._gradient[-1] > 0)
        gradient = self._gradient[:-1]
        gradient /= self.ranks
        norm = gradient.norm()
        # A gradient that is not finite is skipped; all processes see the same one.
        if bool(norm.isfinite()):
            gradient *= (self.recipe.clip / (norm + 1e-6)).clamp(max=1.0)
            for group in self.optimiser.param_groups:
                group["lr"] = self.rate * group["scale"]
            self.optimiser.step()
            if self.rank == 0:
                self.average.update(self.prompted)
        self._gradient.zero_()
        self.steps += 1
        self.images += len(batch.images) * self.ranks
        return parts | {"gradient": norm}, stop

    @property
    def rate(self) -> float:
        """Learning rate of the step to come."""
        return self.recipe.rate * self.recipe.share(self.steps, self.images)

    def _backward(self, batch: Batch) -> dict[str, Tensor]:
        recipe = self.recipe
        seed = np.random.SeedSequence((recipe.seed, self.rank, self.images)).generate_state(1).item()
        generator = torch.Generator().manual_seed(seed)
        noised = add_noise(
            batch.targets, len(self.prompted.categories), recipe.noise_groups, recipe.noise_slots, generator
        )
        # On a CPU the fused attention is slower than plain products: there are few tokens in many groups.
        plain = sdpa_kernel(SDPBackend.MATH) if self.device.type == "cpu" else nullcontext()
        with plain:
            with torch.autocast(self.device.type, torch.bfloat16):
                prompts = self.prompted.prompts()
                stages = self.prompted.model.stages(batch.images, *prompts, denoise=noised.queries)
                seeds = self.prompted.model.projection_kpt(prompts[1])
            total, parts = self.losses(stages, batch.targets, noised, seeds)
            total.backward()
        return {"loss": total.detach()} | parts

    def save(self, path: Path) -> None:
        """Write everything needed to go on, atomically."""
        state = {
            "prompted": self.prompted.state_dict(),
            "average": self.average.module.state_dict(),
            "average_steps": self.average.steps,
            "optimiser": self.optimiser.state_dict(),
            "images": self.images,
            "steps": self.steps,
            "minutes": self.minutes,
        }
        partial = path.with_name(path.name + ".partial")
        torch.save(state, partial)
        os.replace(partial, path)

    def load(self, path: Path) -> None:
        """Go on where `save` was called."""
        state: dict[str, Any] = torch.load(path, map_location=self.device, weights_only=True)
        self.prompted.load_state_dict(state["prompted"])
        self.average.module.load_state_dict(state["average"])
        self.average.steps = state["average_steps"]
        self.optimiser.load_state_dict(state["optimiser"])
        self.images, self.steps, self.minutes = state["images"], state["steps"], state["minutes"]
