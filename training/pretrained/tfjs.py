"""TensorFlow.js graph models: a .json that describes the graph, and its weights one after the other in a .bin."""

from __future__ import annotations

import base64
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

TYPES = {"float32": np.float32, "float16": np.float16, "int32": np.int32, "uint8": np.uint8, "bool": np.bool_}


@dataclass(frozen=True, slots=True)
class Convolution:
    """A node that convolves: weight [out, in / groups, h, w], bias [out], and what it does afterwards ("Relu6")."""

    weight: Tensor
    bias: Tensor
    activation: str


def read_convolutions(path: Path) -> dict[str, Convolution]:
    """The convolutions of a graph by the names of their nodes. Raises OSError, or ValueError when it is none."""
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        weights = read_weights(path.parent, content["weightsManifest"])
        nodes = content["modelTopology"]["node"]
        return {node["name"]: _convolution(node, weights) for node in nodes if "Conv" in node["op"]}
    except (LookupError, TypeError, ValueError) as error:
        raise ValueError(f"{path} is no graph of TensorFlow.js ({type(error).__name__}: {error}).") from error


def read_weights(folder: Path, manifest: list[dict[str, Any]]) -> dict[str, Tensor]:
    """The weights of a manifest by name, as float32 or int32."""
    found: dict[str, Tensor] = {}
    for group in manifest:
        raw, start = b"".join((folder / part).read_bytes() for part in group["paths"]), 0
        for entry in group["weights"]:
            kind = TYPES[entry.get("quantization", entry)["dtype"]]
            values: NDArray[Any] = np.frombuffer(raw, kind, math.prod(entry["shape"]), start)
            start += values.nbytes
            wide = values.astype(np.int32 if entry["dtype"] in ("int32", "bool") else np.float32)
            found[entry["name"]] = torch.from_numpy(wide.reshape(entry["shape"]))
    return found


def _convolution(node: dict[str, Any], weights: dict[str, Tensor]) -> Convolution:
    weight = weights[node["input"][1]]
    depthwise = "epthwise" in node["op"]
    weight = weight.permute(2, 3, 0, 1).flatten(0, 1).unsqueeze(1) if depthwise else weight.permute(3, 2, 0, 1)
    fused = node["attr"].get("fused_ops", {}).get("list", {}).get("s", [])
    then = [base64.b64decode(name).decode() for name in fused]
    bias = weights[node["input"][2]] if "BiasAdd" in then else torch.zeros(len(weight))
    return Convolution(weight.contiguous(), bias, next((name for name in then if name.startswith("Relu")), ""))
