"""What must hold of any X-Pose, whatever its weights."""

from __future__ import annotations

from dataclasses import replace
from itertools import product

import pytest
import torch
from torch import Tensor

from xpose_stream.engines.xpose import Stages, XPose, XPoseConfig, XPoseOutput
from xpose_stream.engines.xpose.model import SPREAD_COUNTS, USUAL_SPREAD

NANO = XPoseConfig.nano()
TINY = replace(XPoseConfig.tiny(), num_queries=60, num_groups=12)
SIZES = {NANO: (144, 192), TINY: (70, 100)}  # with and without padding inside the backbone


@pytest.fixture(scope="module", params=[NANO, TINY], ids=["nano", "tiny"])
def model(request: pytest.FixtureRequest) -> XPose:
    """Random weights, float64, so that only errors of thought show."""
    torch.manual_seed(0)
    model = XPose(request.param).double().eval()
    with torch.no_grad():
        for norm in model.modules():  # statistics and biases as if trained
            if isinstance(norm, torch.nn.BatchNorm2d):
                norm.running_mean.normal_(0, 0.1)
                norm.running_var.uniform_(0.5, 2)
    return model


def pictures(model: XPose, count: int, seed: int = 1) -> Tensor:
    return pictures_of(count, *SIZES[model.config], seed=seed)


def pictures_of(count: int, height: int, width: int, seed: int = 1) -> Tensor:
    return torch.randn(count, 3, height, width, generator=torch.Generator().manual_seed(seed)).double()


def words(model: XPose, *shape: int, seed: int = 2) -> Tensor:
    return torch.randn(*shape, model.config.prompt_dim, generator=torch.Generator().manual_seed(seed)).double()


@torch.no_grad()
def run(model: XPose, *args: Tensor | None) -> XPoseOutput:
    output: XPoseOutput = model(*args)
    return output


@torch.no_grad()
def stages_of(model: XPose, *args: Tensor) -> Stages:
    return model.stages(*args)


def assert_close(found: XPoseOutput, expected: XPoseOutput) -> None:
    for name, a, b in zip(XPoseOutput._fields[:3], found[:3], expected[:3], strict=True):
        torch.testing.assert_close(a, b, rtol=0, atol=1e-9, msg=lambda text, name=name: f"{name}: {text}")


def test_shapes_and_ranges_are_as_documented(model: XPose) -> None:
    output = run(model, pictures(model, 2), words(model, 3), words(model, 5, seed=3))
    groups = model.config.num_groups
    assert output.logits.shape == (2, groups, 3)
    assert output.boxes.shape == (2, groups, 4) and output.keypoints.shape == (2, groups, 5, 2)
    for coordinates in (output.boxes, output.keypoints):
        assert coordinates.min() >= 0 and coordinates.max() <= 1


def test_the_best_image_token_that_is_no_padding_counts_half_where_it_is_asked(model: XPose) -> None:
    images, prompts = pictures(model, 1), (words(model, 3), words(model, 5, seed=3))
    padding = torch.zeros(1, *SIZES[model.config], dtype=torch.bool)
    padding[..., SIZES[model.config][1] // 2 :] = True
    own = run(model, images, *prompts, None, padding)
    with torch.no_grad():
        stages = model.stages(images, *prompts, None, padding)
    best = stages.token_logits[:, stages.token_valid[0]].amax(1, keepdim=True)
    config = model.config
    model.config = replace(config, score="image")
    try:
        found = run(model, images, *prompts, None, padding)
    finally:
        model.config = config
    torch.testing.assert_close(found.logits, (own.logits + best) / 2)
    assert torch.equal(found.boxes, own.boxes) and torch.equal(found.keypoints, own.keypoints)


@torch.no_grad()
def test_of_two_groups_the_one_surer_of_its_own_keypoints_scores_higher() -> None:
    torch.manual_seed(0)
    model = XPose(replace(NANO, score="image", confidence="learned")).double().eval()
    args = pictures_of(2, 144, 192), words(model, 2), words(model, 2, 3, seed=3)
    mask = torch.tensor([[True, True, True], [True, False, False]])
    stages, found = model.stages(*args, mask), model(*args, mask)
    best = stages.token_logits.amax(1, keepdim=True)
    for image, group in product(range(2), range(NANO.num_groups)):
        own = mask[stages.group_classes[image, group]]
        unsure = found.spread[image, group, own].mean() - USUAL_SPREAD
        expected = (stages.output.logits[image, group] + best[image, 0]) / 2 - SPREAD_COUNTS * unsure
        torch.testing.assert_close(found.logits[image, group], expected)


def test_equal_lists_per_class_are_as_good_as_one_list(model: XPose) -> None:
    images, classes, points = pictures(model, 2), words(model, 3), words(model, 5, seed=3)
    expected = run(model, images, classes, points)
    assert_close(run(model, images, classes, points.expand(3, -1, -1)), expected)
    assert_close(run(model, images, classes, points.expand(3, -1, -1), torch.ones(3, 5, dtype=torch.bool)), expected)
    per_image = run(model, images, classes.expand(2, -1, -1), points.expand(2, 3, -1, -1))
    assert_close(per_image, expected)


def test_masked_keypoints_change_nothing_real(model: XPose) -> None:
    images, classes, points = pictures(model, 1), words(model, 2), words(model, 3, seed=3)
    expected = run(model, images, classes, points)
    mask = (torch.arange(7) < 3).expand(2, -1)
    for seed in (4, 5):
        padded = torch.cat((points, 100 * words(model, 4, seed=seed))).expand(2, -1, -1)
        found = run(model, images, classes, padded, mask)
        assert_close(found._replace(keypoints=found.keypoints[:, :, :3]), expected)


def test_a_group_uses_the_keypoints_of_its_class(model: XPose) -> None:
    images, classes = pictures(model, 1), words(model, 2)
    lists = words(model, 2, 6, seed=3)
    mask = torch.arange(6) < torch.tensor([[6], [2]])
    found = run(model, images, classes, lists, mask)
    for c in range(2):
        count = int(mask[c].sum())
        alone = run(model, images, classes, lists[c, :count])
        stages = stages_of(model, images, classes, lists, mask)
        last_box = stages.hidden[model.config.box_decoder_layers - 1] @ stages.memory_text.transpose(1, 2)
        mine = last_box[0, stages.group_index[0]].argmax(-1) == c
        assert mine.any()
        torch.testing.assert_close(found.keypoints[0, mine, :count], alone.keypoints[0, mine], rtol=0, atol=1e-9)
        torch.testing.assert_close(found.boxes[0, mine], alone.boxes[0, mine], rtol=0, atol=1e-9)


def test_images_of_a_batch_do_not_see_each_other(model: XPose) -> None:
    one, other = pictures(model, 1), pictures(model, 1, seed=9)
    classes, points = words(model, 2), words(model, 4, seed=3)
    expected = run(model, one, classes, points)
    batch = run(model, torch.cat((one, other, one)), classes, points)
    for i in (0, 2):
        assert_close(batch.rows(i, i + 1), expected)


def test_a_mask_without_padding_changes_nothing(model: XPose) -> None:
    images, classes, points = pictures(model, 2), words(model, 2), words(model, 4, seed=3)
    mask = torch.zeros(2, *images.shape[-2:], dtype=torch.bool)
    assert_close(run(model, images, classes, points, None, mask), run(model, images, classes, points))


def test_moving_the_model_keeps_its_constants_exact(model: XPose) -> None:
    images, classes, points = pictures(model, 1), words(model, 2), words(model, 4, seed=3)
    single = XPose(model.config).eval()
    single.load_state_dict(model.state_dict())
    run(single, images.float(), classes.float(), points.float())
    fresh = XPose(model.config).eval()
    fresh.load_state_dict(model.state_dict())
    found, expected = (run(moved.double(), images, classes, points) for moved in (single, fresh))
    assert_close(found, expected)


def test_the_exported_graph_is_static_functional_and_equal(model: XPose) -> None:
    args = (
        pictures(model, 2),
        words(model, 2),
        words(model, 2, 5, seed=3),
        torch.tensor([[True] * 5, [True] * 3 + [False] * 2]),
    )
    expected = run(model, *args)  # also makes the constants of this size
    with torch.no_grad():
        program = torch.export.export(model, args, strict=False)
    assert not program.range_constraints
    operators = {node.target for node in program.graph.nodes if node.op == "call_function"}
    names = {target.__name__ if callable(target) else str(target) for target in operators}
    writes = {name for name in names if name.split(".")[0].endswith("_") and not name.startswith("__")}
    costly = {name for name in names if name.split(".")[0] in ("slice_scatter", "index_put", "nonzero", "cumsum")}
    assert not writes and not costly
    assert_close(XPoseOutput(*program.module()(*args)), expected)
