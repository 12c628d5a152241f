"""Synthetic weights and inputs of the golden cases, drawn from their names and a seed (tests/data/README.md)."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from xpose_stream.engines.xpose import XPoseConfig

DATA = Path(__file__).parents[1] / "data"
CONFIGS: dict[str, Callable[[], XPoseConfig]] = {"tiny": XPoseConfig.tiny, "swin_t": XPoseConfig.swin_t}

Array = NDArray[np.float64]


class Inputs(NamedTuple):
    """What a model is called with, float64."""

    images: Tensor  # [B, 3, H, W]
    instances: Tensor  # [B, C, 512]
    keypoints: Tensor  # [B, C, K, 512]
    padding: Tensor | None  # [B, H, W], None when all images have one size


class Golden:
    """One case: the arrays of its file, and the weights and inputs that made them."""

    def __init__(self, name: str) -> None:
        self.arrays: dict[str, NDArray[Any]] = dict(np.load(DATA / f"golden_{name}.npz"))
        self.meta: dict[str, Any] = json.loads(str(self.arrays.pop("meta")))
        self.config = CONFIGS[self.meta["config"]]()
        self.seed: int = self.meta["seed"]

    def weights(self) -> dict[str, Tensor]:
        """Every tensor of the published layout, float64."""
        return weights(self.meta["config"], self.seed)

    def inputs(self) -> Inputs:
        sizes, classes, keypoints = self.meta["sizes"], self.meta["C"], self.meta["K"]
        height, width = (max(side) for side in zip(*sizes, strict=True))
        images = torch.zeros(len(sizes), 3, height, width, dtype=torch.float64)
        padding = torch.ones(len(sizes), height, width, dtype=torch.bool)
        for i, (h, w) in enumerate(sizes):
            images[i, :, :h, :w] = torch.from_numpy(image(self.seed, i, h, w))
            padding[i, :h, :w] = False
        rows = [embedding(self.seed, f"instance{i}", classes) for i in range(len(sizes))]
        lists = [embedding(self.seed, f"keypoint{i}", keypoints) for i in range(len(sizes))]
        one_list = torch.from_numpy(np.stack(lists)).unsqueeze(1).expand(-1, classes, -1, -1)
        return Inputs(images, torch.from_numpy(np.stack(rows)), one_list, padding if padding.any() else None)


def layout(config: str) -> dict[str, Any]:
    """`parameters` and `buffers` of the published state dict, name to shape, and the groups of `tied` names."""
    content: dict[str, Any] = json.loads(gzip.decompress((DATA / f"state_dict_{config}.json.gz").read_bytes()))
    return content


def weights(config: str, seed: int) -> dict[str, Tensor]:
    """A state dict in the published layout; tied names share one tensor."""
    names = layout(config)
    canonical = {name: min(group) for group in names["tied"] for name in group}
    drawn: dict[str, Tensor] = {}
    state: dict[str, Tensor] = {}
    for name, shape in names["parameters"].items():
        source = canonical.get(name, name)
        if source not in drawn:
            drawn[source] = torch.from_numpy(value(source, tuple(shape), seed))
        state[name] = drawn[source]
    return state | {name: torch.zeros(shape, dtype=torch.int64) for name, shape in names["buffers"].items()}


def published_file(path: Path, config: str = "tiny", seed: int = 3) -> Path:
    """Write a checkpoint as it is published: float32 weights under "model", each name with the prefix `module.`."""
    model = {f"module.{n}": t.float() if t.is_floating_point() else t for n, t in weights(config, seed).items()}
    torch.save({"model": model}, path)
    return path


def value(name: str, shape: tuple[int, ...], seed: int) -> Array:
    """The parameter with this (canonical) name."""
    n = generator(name, seed).standard_normal(shape)
    if len(shape) < 2:
        return _vector(name, n)
    if name.endswith(
        (
            "tgt_embed.weight",
            "label_enc.weight",
            "padding.weight",
            "decoder.hw.weight",
            "decoder.hw_append.weight",
            "level_embed",
            "relative_position_bias_table",
        )
    ):
        return 0.5 * n
    factor = 2 if name.endswith("sampling_offsets.weight") else 1
    return factor * n / np.sqrt(np.prod(shape[1:]))


def _vector(name: str, n: Array) -> Array:
    if name.endswith(("gamma_v", "gamma_l")):
        return 0.3 * n
    if name.endswith("sampling_offsets.bias"):
        return 1.5 * n
    if ".text_layers." in name and name.endswith("norm2.weight"):
        return 0.25 * (1 + 0.1 * n)
    return 1 + 0.1 * n if name.endswith("weight") else 0.05 * n


def image(seed: int, i: int, height: int, width: int) -> Array:
    """Image number i of a case, [3, H, W]."""
    rng = generator(f"image{i}", seed)
    low = rng.standard_normal((3, -(-height // 16), -(-width // 16)))
    fine = rng.standard_normal((3, height, width))
    return 0.8 * low.repeat(16, 1).repeat(16, 2)[:, :height, :width] + 0.4 * fine


def embedding(seed: int, tag: str, rows: int) -> Array:
    """Prompt embeddings of norm 10, [rows, 512]."""
    e = generator(tag, seed).standard_normal((rows, 512))
    return 10 * e / np.linalg.norm(e, axis=1, keepdims=True)


def generator(tag: str, seed: int) -> np.random.Generator:
    """Random numbers that belong to a name and a seed."""
    return np.random.Generator(np.random.Philox(key=zlib.crc32(tag.encode()) + 1000003 * seed))
