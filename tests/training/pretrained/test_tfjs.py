"""The reader of TensorFlow.js graphs."""

from __future__ import annotations

import base64
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from xpose_stream.training.pretrained.tfjs import read_convolutions


def test_a_convolution_is_read_with_its_bias_and_activation(tmp_path: Path) -> None:
    weight = np.arange(12, dtype=np.float16).reshape(1, 1, 3, 4)
    bias = np.array((1, 2, 3, 4), np.float16)
    (tmp_path / "w.bin").write_bytes(weight.tobytes() + bias.tobytes())
    entries = [
        {"name": n, "shape": list(a.shape), "dtype": "float32", "quantization": {"dtype": "float16"}}
        for n, a in (("w", weight), ("b", bias))
    ]
    fused = [base64.b64encode(name).decode() for name in (b"BiasAdd", b"Relu6")]
    node = {"name": "c", "op": "_FusedConv2D", "input": ["x", "w", "b"], "attr": {"fused_ops": {"list": {"s": fused}}}}
    graph = {"weightsManifest": [{"paths": ["w.bin"], "weights": entries}], "modelTopology": {"node": [node]}}
    (tmp_path / "g.json").write_text(json.dumps(graph))
    found = read_convolutions(tmp_path / "g.json")["c"]
    assert found.weight.shape == (4, 3, 1, 1)
    assert float(found.weight[1, 2, 0, 0]) == 9.0
    assert found.bias.dtype == torch.float32
    assert found.activation == "Relu6"


def test_another_file_is_refused_in_words(tmp_path: Path) -> None:
    (tmp_path / "g.json").write_text("{}")
    with pytest.raises(ValueError, match="no graph of TensorFlow"):
        read_convolutions(tmp_path / "g.json")
