"""Prompts by example: from pictures to embeddings, by our own encoder and by the published one's reconstruction."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from xpose_stream.engines.checkpoint import Checkpoint, load, save
from xpose_stream.engines.prompts.bank import embed_prompts, find_skeletons, prompts_for
from xpose_stream.engines.prompts.clip_visual import ClipVisualEncoder
from xpose_stream.engines.prompts.example import Example
from xpose_stream.engines.prompts.prompt import Prompt
from xpose_stream.engines.prompts.recognition import EXAMPLE_SHARE
from xpose_stream.engines.prompts.skeleton import Skeleton
from xpose_stream.engines.xpose import Marked, XPose, XPoseConfig
from xpose_stream.engines.xpose.text import PromptError, WordEncoder, words_of

FORK = Skeleton("fork", ("handle", "left tip", "right tip"), ((0, 1), (0, 2)), ((1, 2),), (0.05,) * 3)
CUP = Skeleton("cup", ("rim", "foot"), ((0, 1),), (), (0.05,) * 2)
WORDS = ["fork", "handle", "left", "right", "tip", "cup", "rim", "foot"]


@pytest.fixture(scope="module")
def checkpoint() -> Checkpoint:
    torch.manual_seed(0)
    config = replace(XPoseConfig.nano(), visual_layers=2)
    return Checkpoint(XPose(config).eval(), WordEncoder(WORDS, 128, ["fork", "cup"]).eval())


def example(count: int = 3, seed: int = 0, absent: int | None = None) -> Example:
    rng = np.random.default_rng(seed)
    points = rng.uniform((30, 30), (90, 70), (count, 2))
    if absent is not None:
        points[absent] = np.nan
    return Example(rng.integers(0, 256, (100, 140, 3), np.uint8), np.array([25, 25, 95, 75.0]), points)


def marked(points: Tensor, present: Tensor) -> Marked:
    return Marked(torch.tensor([[0.5, 0.5, 0.5, 0.6]]).expand(len(points), -1), points, present)


def test_the_encoder_sees_places_the_picture_and_only_what_is_around_the_box(checkpoint: Checkpoint) -> None:
    torch.manual_seed(1)
    pictures, points = torch.randn(1, 3, 144, 192), torch.rand(1, 4, 2) * 0.4 + 0.3
    present = torch.tensor([[True, True, False, True]])
    with torch.no_grad():
        instance, keypoints = checkpoint.model.prompts_of(pictures, marked(points, present))
        assert instance.shape == (1, 128) and keypoints.shape == (1, 4, 128)
        moved = points.clone()
        moved[0, 0] += 0.1
        elsewhere = checkpoint.model.prompts_of(pictures, marked(moved, present))[1]
        assert (elsewhere[0, 0] - keypoints[0, 0]).abs().max() > 1e-3
        moved = points.clone()
        moved[0, 2] = 0.9  # absent, so it may be said to be anywhere
        torch.testing.assert_close(checkpoint.model.prompts_of(pictures, marked(moved, present))[1], keypoints)
        levels = checkpoint.model.levels(pictures)
        assert checkpoint.model.visual is not None
        for level in levels:
            level[..., 0] = 100.0  # the left border, outside the box and its surroundings
        torch.testing.assert_close(checkpoint.model.visual(levels, marked(points, present))[0], instance)


def test_examples_make_a_bank_that_the_model_takes(checkpoint: Checkpoint, tmp_path: Path) -> None:
    prompts = [Prompt(FORK, words=False, examples=(example(absent=1),)), Prompt(CUP, examples=(example(2),))]
    bank = embed_prompts(prompts, checkpoint)
    assert bank.keypoint_mask.tolist() == [[True, False, True], [True, True, False]]
    assert bank.encoder == "words+examples" and bank.name == "fork, cup"
    bank.save(tmp_path / "bank.safetensors")
    again = prompts_for(checkpoint, str(tmp_path / "bank.safetensors"))
    assert torch.equal(again.keypoints, bank.keypoints) and torch.equal(again.keypoint_mask, bank.keypoint_mask)
    with torch.no_grad():
        out = checkpoint.model(torch.zeros(1, 3, 144, 192), bank.instances, bank.keypoints, bank.keypoint_mask)
    assert out.keypoints.shape == (1, 10, 3, 2)


def test_examples_are_their_mean_and_words_stand_in_for_absent_keypoints(checkpoint: Checkpoint) -> None:
    one, two = example(absent=1), example(seed=2, absent=2)
    words = embed_prompts([Prompt(FORK)], checkpoint)
    first, second = (embed_prompts([Prompt(FORK, words=False, examples=(e,))], checkpoint) for e in (one, two))
    both = embed_prompts([Prompt(FORK, examples=(one,))], checkpoint)
    torch.testing.assert_close(both.instances, torch.lerp(words.instances, first.instances, EXAMPLE_SHARE))
    torch.testing.assert_close(
        both.keypoints[0, 0], torch.lerp(words.keypoints[0, 0], first.keypoints[0, 0], EXAMPLE_SHARE)
    )
    torch.testing.assert_close(both.keypoints[0, 1], words.keypoints[0, 1])
    shots = embed_prompts([Prompt(FORK, words=False, examples=(one, two))], checkpoint)
    assert shots.keypoint_mask.all()
    torch.testing.assert_close(shots.keypoints[0, 0], (first.keypoints[0, 0] + second.keypoints[0, 0]) / 2)
    torch.testing.assert_close(shots.keypoints[0, 2], first.keypoints[0, 2])


def test_an_example_of_something_known_is_taken_for_its_words(checkpoint: Checkpoint) -> None:
    mug = find_skeletons(["mug"])[0]
    words = ["mug", *(word for keypoint in mug.keypoints for word in words_of(keypoint))]
    known = Checkpoint(deepcopy(checkpoint.model), WordEncoder(words, 128, ["mug"]).eval())
    said = embed_prompts([Prompt(mug)], known)
    assert known.model.visual is not None
    with torch.no_grad():  # as if it had learnt that every picture shows a mug
        known.model.visual.output.weight.zero_()
        known.model.visual.output.bias.copy_(said.instances[0])
    found = embed_prompts([Prompt(mug, words=False, examples=(example(len(mug.keypoints)),))], known)
    assert torch.equal(found.instances, said.instances)


def test_a_category_nobody_has_words_for_can_be_shown(checkpoint: Checkpoint) -> None:
    spoon = Skeleton("spoon", ("bowl", "handle"), (), (), (0.05,) * 2)
    assert embed_prompts([Prompt(spoon, words=False, examples=(example(2),))], checkpoint).name == "spoon"
    with pytest.raises(PromptError, match="they know: fork, cup"):
        embed_prompts([Prompt(spoon, examples=(example(2),))], checkpoint)


def test_weights_without_the_encoder_say_so() -> None:
    plain = Checkpoint(XPose(XPoseConfig.nano()).eval(), WordEncoder(WORDS, 128, ["fork"]).eval())
    with pytest.raises(PromptError, match="no encoder of prompts by example"):
        embed_prompts([Prompt(FORK, words=False, examples=(example(),))], plain)


def test_the_encoder_travels_with_its_weights(checkpoint: Checkpoint, tmp_path: Path) -> None:
    save(tmp_path / "own.safetensors", Checkpoint(checkpoint.model, checkpoint.text_encoder, {}))
    prompts = [Prompt(FORK, examples=(example(),))]
    again = embed_prompts(prompts, load(tmp_path / "own.safetensors"))
    assert torch.equal(again.keypoints, embed_prompts(prompts, checkpoint).keypoints)


def clip_weights(width: int = 64, side: int = 4, blocks: int = 2, features: int = 512) -> dict[str, Tensor]:
    """The published file's names for visual prompts, small."""
    torch.manual_seed(5)
    shapes: dict[str, tuple[int, ...]] = {
        "visual.conv1.weight": (width, 3, 8, 8),
        "visual.class_embedding": (width,),
        "visual.positional_embedding": (side * side + 1, width),
        "visual.proj": (width, features),
        "pos_proj.weight": (width, 256),
        "pos_proj.bias": (width,),
        "padding.weight": (1, width),
    }
    for name in ("visual.ln_pre", "visual.ln_post"):
        shapes |= {f"{name}.weight": (width,), f"{name}.bias": (width,)}
    for i in range(blocks):
        block = f"visual.transformer.resblocks.{i}"
        linear = {"attn.in_proj_": (3 * width, width), "attn.out_proj.": (width, width)}
        linear |= {"mlp.c_fc.": (4 * width, width), "mlp.c_proj.": (width, 4 * width)}
        for name, (rows, columns) in linear.items():
            shapes |= {f"{block}.{name}weight": (rows, columns), f"{block}.{name}bias": (rows,)}
        for name in ("ln_1", "ln_2"):
            shapes |= {f"{block}.{name}.weight": (width,), f"{block}.{name}.bias": (width,)}
    return {name: torch.randn(shape) / shape[-1] ** 0.5 for name, shape in shapes.items()}


def test_the_published_reconstruction_keeps_clips_image_feature_and_reads_keypoints() -> None:
    encoder = ClipVisualEncoder(clip_weights())
    few, many = example(1), example(5)
    instance, keypoints = encoder(Example(few.rgb, few.box, many.keypoints))
    assert instance.shape == (512,) and keypoints.shape == (5, 512)
    torch.testing.assert_close(encoder(few)[0], instance)  # the image does not see the marks
    one, other = encoder(example(5, absent=2))[1], encoder(example(5, absent=2))[1]
    torch.testing.assert_close(one, other)
    assert (one[2] - keypoints[2]).abs().max() > 1e-3


def test_published_weights_take_examples_and_say_what_they_lack() -> None:
    published = Checkpoint(XPose(XPoseConfig.tiny()).eval(), clip=clip_weights())
    bank = embed_prompts([Prompt(FORK, words=False, examples=(example(),))], published)
    assert bank.keypoints.shape == (1, 3, 512) and bank.encoder == "examples"
    lacking = {name: tensor for name, tensor in clip_weights().items() if not name.startswith("pos_proj")}
    with pytest.raises(PromptError, match="lacks parts of the visual prompt encoder"):
        embed_prompts([Prompt(FORK, words=False, examples=(example(),))], Checkpoint(published.model, clip=lacking))
