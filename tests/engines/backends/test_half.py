"""Float16 where the time goes: what moves, what stays, and how far the numbers go."""

from __future__ import annotations

import av
import pytest
import torch
from torch import Tensor, nn

from xpose_stream.engines import NANO, load, prompts_for
from xpose_stream.engines.backends.half import halve, is_half
from xpose_stream.engines.engine import fold_batch_norms
from xpose_stream.engines.prompts.example import normalised
from xpose_stream.engines.xpose import XPose, XPoseConfig
from xpose_stream.engines.xpose.deformable import Places

IMAGES = torch.randn(1, 3, 70, 100, generator=torch.Generator().manual_seed(1))


@pytest.fixture(scope="module")
def tiny() -> XPose:
    torch.manual_seed(0)
    return XPose(XPoseConfig.tiny()).eval().requires_grad_(False)


def dtypes(model: nn.Module, names: list[str]) -> set[torch.dtype]:
    modules = dict(model.named_modules())
    return {parameter.dtype for name in names for parameter in modules[name].parameters()}


def test_products_are_half_and_what_decides_is_not(tiny: XPose) -> None:
    half = halve(tiny)
    moved = [
        "backbone.patch_embed.proj",
        "backbone.layers.2.blocks.0.mlp.fc1",
        "backbone.layers.2.blocks.0.attn",
        "input_proj.0.0",
        "encoder.layers.0.linear1",
        "encoder.layers.0.self_attn.value_proj",
        "decoder.layers.1.self_attn",
    ]
    kept = [
        "backbone.norm1",
        "input_proj.0.1",
        "encoder.fusion_layers",
        "encoder.layers.0.self_attn.sampling_offsets",
        "encoder.layers.0.self_attn.attention_weights",
        "enc_output",
        "decoder.ref_point_head",
        "bbox_embed",
        "pose_embed",
        "projection",
    ]
    assert dtypes(half, moved) == {torch.float16}
    assert dtypes(half, kept) == {torch.float32}
    assert dtypes(tiny, moved) == {torch.float32}, "the model given stays as it is"


def test_most_weights_of_the_published_model_are_half() -> None:
    with torch.device("meta"):
        model = XPose(XPoseConfig.swin_t())
    half = {id(p) for name, m in model.named_modules() if is_half(name, m) for p in m.parameters()}
    counts = {id(p): p.numel() for p in model.parameters()}
    assert sum(counts[i] for i in half) > 0.7 * sum(counts.values())


@torch.no_grad()
def test_positions_of_samples_are_float32(tiny: XPose) -> None:
    half, seen = halve(tiny), []
    attention = half.encoder.layers[0].self_attn

    def look(value: Tensor, sizes: object, places: Places, weights: Tensor) -> Tensor:
        seen.extend((value.dtype, places[0].dtype, places[1].dtype, weights.dtype))
        return weights.new_zeros(*weights.shape[:2], value.shape[2] * value.shape[3])

    attention.sample = look
    half(IMAGES, torch.randn(1, 512), torch.randn(3, 512))
    assert seen == [torch.float16, torch.float32, torch.float32, torch.float32]


@torch.no_grad()
def test_features_stay_within_half_precision(tiny: XPose) -> None:
    prompts = torch.randn(2, 512), torch.randn(3, 512)
    expected, found = tiny.stages(IMAGES, *prompts), halve(tiny).stages(IMAGES, *prompts)
    for name in ("memory", "memory_text", "token_logits"):
        a, b = getattr(expected, name), getattr(found, name)
        assert b.dtype == torch.float32
        assert (a - b).abs().max() < 5e-3 * a.abs().max(), name


@torch.no_grad()
def test_nano_keeps_its_pixels() -> None:
    checkpoint = load(NANO)
    model = fold_batch_norms(checkpoint.model.eval())
    bank = prompts_for(checkpoint, "person")
    with av.open(str(NANO.parents[1] / "demo" / "crossing.mp4")) as video:
        picture = next(video.decode(video=0)).to_ndarray(format="rgb24", width=224, height=168)
    images, prompts = torch.from_numpy(normalised(picture))[None], (bank.instances, bank.keypoints)
    expected, found = model(images, *prompts), halve(model)(images, *prompts)
    assert found.keypoints.dtype == found.boxes.dtype == found.logits.dtype == torch.float32
    # Groups of nothing, whose scores are nearly equal, may change places.
    best = expected.logits[0, :, 0].topk(3).indices
    same = (found.boxes[0] - expected.boxes[0, best, None]).abs().sum(-1).argmin(1)
    assert (found.keypoints[0, same] - expected.keypoints[0, best]).abs().max() * 224 < 0.5
