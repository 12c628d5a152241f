"""The model gives the published model's numbers, at every stage."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor

from tests.engines.recipe import Golden, Inputs
from xpose_stream.engines.checkpoint import load_published
from xpose_stream.engines.xpose import XPose
from xpose_stream.engines.xpose.grid import Grid, shrink_mask

CASES = ("a_tiny", "b_tiny", "c_swin_t")


class Case:
    """A golden case with its model in float64."""

    def __init__(self, name: str) -> None:
        self.golden = Golden(name)
        self.weights = self.golden.weights()
        self.inputs = self.golden.inputs()
        self.model = load_published(self.weights, self.golden.config)


@pytest.fixture(scope="module", params=CASES)
def case(request: pytest.FixtureRequest) -> Case:
    return Case(request.param)


def summary(values: NDArray[Any]) -> list[float]:
    flat = values.reshape(-1)
    return [flat.sum(), np.abs(flat).sum(), flat[0], flat[-1]]


def test_the_recipe_still_draws_the_same_numbers(case: Case) -> None:
    names, arrays, inputs = case.golden.meta["fingerprint_names"], case.golden.arrays, case.inputs
    found = np.array([summary(case.weights[name].numpy()) for name in names])
    np.testing.assert_allclose(found, arrays["weight_fingerprint"], rtol=1e-9, atol=1e-9)
    images = [
        inputs.images[i, :, :height, :width].numpy() for i, (height, width) in enumerate(case.golden.meta["sizes"])
    ]
    parts = [*images, *inputs.instances.numpy(), *inputs.keypoints[:, 0].numpy()]
    found = np.array([summary(part) for part in parts])
    np.testing.assert_allclose(found, arrays["input_fingerprint"], rtol=1e-9, atol=1e-9)


def test_in_float64_every_stored_array_agrees(case: Case) -> None:
    computed = run(case.model, case.inputs)
    expected = {name: array for name, array in case.golden.arrays.items() if not name.endswith("_fingerprint")}
    assert computed.keys() == expected.keys()
    for name, array in expected.items():
        stride = case.golden.meta["arrays"].get(name, {"stride": 1})["stride"]
        found = computed[name].numpy().reshape(-1)[::stride]
        if np.issubdtype(array.dtype, np.floating):
            np.testing.assert_allclose(found, array.reshape(-1), rtol=0, atol=1e-9, err_msg=name)
        else:
            np.testing.assert_array_equal(found, array.reshape(-1), name)


def test_in_float32_boxes_and_keypoints_agree(case: Case) -> None:
    images, instances, keypoints, padding = case.inputs
    single = load_published({n: t.float() for n, t in case.weights.items()}, case.golden.config)
    with torch.no_grad():
        stages = single.stages(images.float(), instances.float(), keypoints.float(), None, padding)
    index, expected = stages.query_index.numpy(), case.golden.arrays["enc_index"]
    if (index != expected).any():  # a rank decides a query: rounding may swap two neighbours, and all after is void
        scores = case.golden.arrays["enc_score"]
        gaps = np.minimum(np.diff(scores, prepend=np.inf, axis=1) * -1, np.diff(scores, append=-np.inf, axis=1) * -1)
        assert (gaps[index != expected] < 4e-5).all()
        return
    arrays = case.golden.arrays
    np.testing.assert_allclose(stages.output.boxes.numpy(), arrays["pred_boxes"], rtol=0, atol=1e-4)
    found = stages.output.keypoints.flatten(2).numpy()
    np.testing.assert_allclose(found, arrays["pred_keypoints"], rtol=0, atol=1e-4)


@torch.no_grad()
def run(model: XPose, inputs: Inputs) -> dict[str, Tensor]:
    """Everything a golden file stores, under its names."""
    seen: dict[str, Tensor] = {}
    grids: list[Grid] = []
    hooks = [
        model.backbone.register_forward_hook(lambda m, i, out: seen.update(numbered("backbone", out))),
        model.projection.register_forward_hook(lambda m, i, out: seen.update(text_proj=out)),
        model.projection_kpt.register_forward_hook(lambda m, i, out: seen.update(kpt_proj=out[:, 0])),
        model.encoder.register_forward_pre_hook(lambda m, args: grids.append(args[3])),
        model.encoder.fusion_layers[0].register_forward_hook(
            lambda m, i, out: seen.update(fusion1_v=out[0], fusion1_l=out[1])
        ),
        model.encoder.text_layers[0].register_forward_hook(lambda m, i, out: seen.update(text1=out)),
        model.encoder.layers[0].register_forward_hook(lambda m, i, out: seen.update(enc1=out)),
    ]
    hooks += [
        projection.register_forward_hook(lambda m, i, out, level=level: seen.update({f"input_proj{level}": out}))
        for level, projection in enumerate(model.input_proj)
    ]
    images, instances, keypoints, padding = inputs
    stages = model.stages(images, instances, keypoints, None, padding)
    for hook in hooks:
        hook.remove()

    seen |= {"memory": stages.memory, "memory_text": stages.memory_text}
    if padding is not None:
        padded = grids[0].padding
        assert padded is not None
        for name in ("fusion1_v", "enc1", "memory"):
            seen[name] = seen[name].masked_fill(padded.unsqueeze(-1), 0.0)
    seen |= levels(grids[0], images, padding)
    seen |= {
        "enc_index": stages.query_index,
        "enc_score": stages.token_logits.amax(-1).gather(1, stages.query_index),
        "enc_box": stages.references[0],
        "dec_index": stages.group_index,
        "dec_score": (stages.hidden[model.config.box_decoder_layers - 1] @ stages.memory_text.transpose(1, 2))
        .amax(-1)
        .gather(1, stages.group_index),
        "hs_last": stages.normed,
        "pred_logits": stages.output.logits,
        "pred_boxes": stages.output.boxes,
        "pred_keypoints": stages.output.keypoints,
    }
    return seen | numbered("dec", stages.hidden, 1) | numbered("ref", stages.references[1:], 1)


def levels(grid: Grid, images: Tensor, padding: Tensor | None) -> dict[str, Tensor]:
    """What is known of the levels before the image is looked at."""
    sizes = grid.sizes
    batch = len(images)
    positions = grid.positions.expand(batch, -1, -1)
    if padding is None:
        ratios = torch.ones(batch, len(sizes), 2)
        masks = [torch.zeros(batch, *size, dtype=torch.bool) for size in sizes]
    else:
        assert grid.valid_ratios is not None and grid.padding is not None
        ratios = grid.valid_ratios
        masks = [shrink_mask(padding, size) for size in sizes]
        assert torch.equal(torch.cat([mask.flatten(1) for mask in masks], 1), grid.padding)
        positions = positions.masked_fill(grid.padding.unsqueeze(-1), 0.0)
    split = positions.transpose(1, 2).split([height * width for height, width in sizes], -1)
    return (
        {"spatial_shapes": torch.tensor(sizes), "valid_ratios": ratios}
        | numbered("mask", masks)
        | numbered("pos", split)
    )


def numbered(name: str, tensors: Any, first: int = 0) -> dict[str, Tensor]:
    return {f"{name}{i}": tensor for i, tensor in enumerate(tensors, first)}
