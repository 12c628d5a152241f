"""One model in training: its steps, its average and its saved state."""

from __future__ import annotations

import math
import os
import pickle
from contextlib import nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as distributed
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from xpose_stream.engines.xpose.guess import Rows
from xpose_stream.engines.xpose.text import WordEncoder
from xpose_stream.training.data.batches import Batch
from xpose_stream.training.data.dataset import DataError
from xpose_stream.training.data.mixture import Mixture
from xpose_stream.training.learning.asked import ask
from xpose_stream.training.learning.average import Average
from xpose_stream.training.learning.denoising import add_noise
from xpose_stream.training.learning.grouping import Grouping
from xpose_stream.training.learning.losses import Losses
from xpose_stream.training.learning.prompted import Prompted

LEAST_SIDE = 32  # of a matrix between hidden features; smaller ones make boxes and points


@dataclass(frozen=True, slots=True)
class Recipe:
    """What a training does; `images` is its length, `batch` is per process."""

    images: int
    batch: int = 8
    seed: int = 1
    rate: float = 1.2e-3
    offsets_rate: float = 0.3  # of the rate, for the sampling offsets
    weight_decay: float = 0.01
    warm_up: int = 60  # steps
    final: float = 0.02  # of the rate, at the end
    clip: float = 1.0
    average: float = 0.998
    noise_groups: int = 2
    noise_slots: int = 4
    classes: int = 8  # asked for in a step, present and absent ones
    few: float = 0.5  # probability of asking for fewer
    rewording: float = 0.5  # probability of other words
    shares: tuple[float, float, float] = (0.6, 0.2, 0.2)  # of prompts in words, by example, and both
    contrast: float = 1.0  # weight of the contrast between words and examples

    def share(self, step: int, images: int) -> float:
        """Share of the full rate: a linear start over steps, then half a cosine over the images seen."""
        cosine = (1 + math.cos(math.pi * min(images / self.images, 1.0))) / 2
        return min(1.0, (step + 1) / self.warm_up) * (self.final + (1 - self.final) * cosine)


class Trainer:
    """Steps of one process; with several, each has its part of the batch and they share their gradients.

    Attributes:
        images, steps: done so far, by all processes together.
        minutes: spent so far; whoever drives the trainer keeps it.
        average: what to validate and to ship.
    """

    def __init__(self, prompted: Prompted, data: Mixture, recipe: Recipe, device: torch.device) -> None:
        self.data = data
        self.recipe, self.device = recipe, device
        self.prompted = prompted.to(device).train()
        self.average = Average(self.prompted, recipe.average)
        self.ranks = distributed.get_world_size() if distributed.is_initialized() else 1
        self.rank = distributed.get_rank() if distributed.is_initialized() else 0
        self.images = self.steps = 0
        self.minutes = 0.0
        # All gradients are views of one tensor, so that sharing and clipping are one operation each. Its last number
        # tells the other processes that this one wants to stop.
        parameters = {name: p for name, p in self.prompted.named_parameters() if p.requires_grad}
        self._gradient = torch.zeros(sum(p.numel() for p in parameters.values()) + 1, device=device)
        parts = self._gradient[:-1].split([p.numel() for p in parameters.values()])
        for parameter, part in zip(parameters.values(), parts, strict=True):
            parameter.grad = part.view_as(parameter)
        self.optimisers = optimisers(self.prompted, recipe)

    def step(self, batch: Batch, stop: bool = False) -> tuple[dict[str, Tensor], bool]:
        """Learn from a batch. Returns the losses with gradient norm, and whether any process wants to stop."""
        parts = self._backward(replace(batch, images=batch.images.to(self.device, non_blocking=True)))
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
            for optimiser in self.optimisers:
                for group in optimiser.param_groups:
                    group["lr"] = self.rate * group["scale"]
                optimiser.step()
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
        recipe, model = self.recipe, self.prompted.model
        seed = np.random.SeedSequence((recipe.seed, self.rank, self.images))
        generator = torch.Generator().manual_seed(seed.generate_state(1).item())
        asked = ask(
            batch.targets,
            self.data,
            np.random.default_rng(seed),
            classes=recipe.classes,
            few=recipe.few,
            rewording=recipe.rewording,
            shares=recipe.shares,
        )
        count = len(asked.skeletons)
        noised = None
        if model.guess is None:  # whose queries' logits begin with its own
            noised = add_noise(asked.targets, count, recipe.noise_groups, recipe.noise_slots, generator).to(self.device)
        asked = asked.to(self.device)
        grouping = Grouping.draw(asked.targets, generator)
        # On a CPU the fused attention is slower than plain products: there are few tokens in many groups.
        plain = sdpa_kernel(SDPBackend.MATH) if self.device.type == "cpu" else nullcontext()
        with plain:
            # The frozen body is float32, and processors without matrix units are slower in bfloat16.
            with torch.autocast(self.device.type, torch.bfloat16, enabled=model.guess is None):
                levels = model.levels(batch.images)
                instances, keypoints, contrast = self.prompted.prompts(levels, asked)
                stages = model.stages(
                    batch.images,
                    instances,
                    keypoints,
                    asked.mask,
                    denoise=None if noised is None else noised.queries,
                    levels=levels,
                    choose=grouping,
                )
                seeds = model.projection_kpt(keypoints)
            losses = Losses(asked.sigmas, model.config.proposal_size, model.config.levels, guess=model.guess)
            total, parts = losses(stages, asked.targets, noised, seeds)
            total = total + recipe.contrast * contrast
            total.backward()
        return {"loss": total.detach(), "contrast": contrast.detach()} | parts

    def save(self, path: Path) -> None:
        """Write everything needed to go on, atomically."""
        state = {
            "start": self.start,
            "recipe": asdict(self.recipe),
            "prompted": self.prompted.state_dict(),
            "average": self.average.module.state_dict(),
            "average_steps": self.average.steps,
            "optimisers": [optimiser.state_dict() for optimiser in self.optimisers],
            "images": self.images,
            "steps": self.steps,
            "minutes": self.minutes,
        }
        partial = path.with_name(path.name + ".partial")
        torch.save(state, partial)
        os.replace(partial, path)

    @property
    def start(self) -> dict[str, Any]:
        """What the numbers mean: sizes of the model, and the word of every row of the text encoder."""
        text = self.prompted.text
        start: dict[str, Any] = {"config": self.prompted.model.config.as_dict()}
        if isinstance(text, WordEncoder):
            start |= {"vocabulary": list(text.vocabulary), "categories": list(text.categories)}
        return start

    def load(self, path: Path) -> Recipe:
        """Go on where `save` was called, and the recipe until there.

        Raises DataError when the state is damaged, or that of another model or of one with other words.
        """
        try:
            state: dict[str, Any] = torch.load(path, map_location=self.device, weights_only=True)
            if state["start"] != self.start:
                raise DataError(
                    f"{path} is of a training that began with other data or weights; give the same --data and "
                    "--weights, or choose another --out."
                )
            self.prompted.load_state_dict(state["prompted"])
            self.average.module.load_state_dict(state["average"])
            self.average.steps = state["average_steps"]
            for optimiser, kept in zip(self.optimisers, state["optimisers"], strict=True):
                optimiser.load_state_dict(kept)
            self.images, self.steps, self.minutes = state["images"], state["steps"], state["minutes"]
            return Recipe(**state["recipe"] | {"shares": tuple(state["recipe"]["shares"])})
        except DataError:
            raise
        except (EOFError, OSError, RuntimeError, ValueError, LookupError, pickle.UnpicklingError) as error:
            raise DataError(
                f"{path} is damaged, or of a training with other data or by an earlier version; choose another --out."
            ) from error


def optimisers(model: nn.Module, recipe: Recipe) -> tuple[torch.optim.Optimizer, ...]:
    """Muon for the matrices between hidden features, AdamW for all else; `scale` is a group's share of the rate.

    Source: Jordan et al., Muon (2024); with the rates of Liu et al. (2025), which are AdamW's.
    """
    tables = {id(module.weight) for module in model.modules() if isinstance(module, nn.Embedding)}
    tables |= {id(module.learned) for module in model.modules() if isinstance(module, Rows)}
    matrices, offsets, others = [], [], []
    for name, parameter in ((name, p) for name, p in model.named_parameters() if p.requires_grad):
        if "sampling_offsets" in name:
            offsets.append(parameter)
        elif parameter.dim() == 2 and min(parameter.shape) >= LEAST_SIDE and id(parameter) not in tables:
            matrices.append(parameter)
        else:
            others.append(parameter)
    common: dict[str, Any] = {"lr": recipe.rate, "weight_decay": recipe.weight_decay}
    groups = [{"params": others, "scale": 1.0}, {"params": offsets, "scale": recipe.offsets_rate}]
    return (
        torch.optim.Muon([{"params": matrices, "scale": 1.0}], adjust_lr_fn="match_rms_adamw", **common),
        torch.optim.AdamW(groups, betas=(0.9, 0.98), fused=True, **common),
    )
