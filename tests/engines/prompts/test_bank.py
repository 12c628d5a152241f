"""Prompts in words or from a bank file become embeddings that fit the model, or are refused in one sentence."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from xpose_stream.engines.checkpoint import Checkpoint, save
from xpose_stream.engines.prompts.bank import (
    PromptBank,
    embed,
    find_skeletons,
    instance_text,
    keypoint_text,
    prompts_for,
)
from xpose_stream.engines.prompts.skeleton import Skeleton
from xpose_stream.engines.xpose import XPose, XPoseConfig
from xpose_stream.engines.xpose.text import PromptError, UnknownPrompt, WordEncoder, words_of

PERSON = find_skeletons(["person"])[0]
ARM = Skeleton("robot arm", ("base", "left_tip", "right_tip"), ((0, 1), (0, 2)), ((1, 2),), (0.1, 0.05, 0.05))
DIM = 128


def encoder(*skeletons: Skeleton, seed: int = 0) -> WordEncoder:
    """A text encoder that knows the words of these skeletons."""
    torch.manual_seed(seed)
    texts = [text for skeleton in skeletons for text in (skeleton.category, *skeleton.keypoints)]
    words = sorted({word for text in texts for word in words_of(text)})
    return WordEncoder(words, DIM, [skeleton.category for skeleton in skeletons]).eval()


@pytest.fixture(scope="module")
def nano() -> Checkpoint:
    return Checkpoint(XPose(XPoseConfig.nano()).eval(), encoder(PERSON))


@pytest.fixture(scope="module")
def published() -> Checkpoint:
    return Checkpoint(XPose(XPoseConfig.tiny()).eval())


class Letters:
    """A text encoder of 512 numbers that tells texts apart, in place of CLIP."""

    name = "letters"

    def __call__(self, texts: Sequence[str]) -> Tensor:
        rows = [torch.frombuffer(bytearray(text.encode().ljust(512)), dtype=torch.uint8) for text in texts]
        return torch.stack(rows).double()

    def state_dict(self) -> dict[str, Tensor]:
        return {}


def test_words_reach_the_encoder_as_the_published_model_reads_them() -> None:
    assert instance_text("Robot_Arm-left") == "robot arm left" and instance_text(" dog  house ") == "dog house"
    assert keypoint_text("Left_Knee") == "left knee" and keypoint_text("T-shirt_hem") == "t-shirt hem"


def test_the_small_model_reads_its_category(nano: Checkpoint) -> None:
    bank = prompts_for(nano, "Person")
    assert bank.skeletons == (PERSON,) and (bank.name, bank.version, bank.encoder) == ("person", 1, "words")
    assert bank.instances.shape == (1, DIM) and bank.keypoints.shape == (1, 17, DIM) and bank.keypoint_mask.all()
    assert nano.text_encoder is not None
    with torch.no_grad():
        expected = nano.text_encoder(["person", *(name.replace("_", " ") for name in PERSON.keypoints)])
    torch.testing.assert_close(torch.cat((bank.instances, bank.keypoints[0])), expected)
    assert not bank.instances.requires_grad and not bank.keypoints.is_inference()
    with torch.no_grad():
        output = nano.model(torch.zeros(1, 3, 144, 192), bank.instances, bank.keypoints, bank.keypoint_mask)
    assert output.keypoints.shape[2:] == (17, 2)


def test_each_category_has_its_own_keypoints() -> None:
    bank = embed([ARM, PERSON], encoder(ARM, PERSON))
    assert bank.name == "robot arm, person" and bank.keypoints.shape == (2, 17, DIM)
    assert bank.keypoint_mask.sum(1).tolist() == [3, 17] and not bank.keypoint_mask[0, 3:].any()
    assert not bank.keypoints[0, 3:].any()
    alone = embed([PERSON], encoder(ARM, PERSON))
    torch.testing.assert_close(bank.keypoints[1], alone.keypoints[0])
    torch.testing.assert_close(bank.instances[1], alone.instances[0])


@pytest.mark.parametrize("prompt", ["giraffe", "person, giraffe", "robot arm"])
def test_the_small_model_says_what_it_knows(nano: Checkpoint, prompt: str) -> None:
    with pytest.raises(UnknownPrompt, match="they know: person") as error:
        prompts_for(nano, prompt)
    assert prompt.split(", ")[-1] in one_sentence(error)


def test_a_category_without_a_skeleton_is_refused_with_those_there_are(published: Checkpoint) -> None:
    with pytest.raises(PromptError, match=r"unicorn.*there are:.*person") as error:
        prompts_for(published, "person, unicorn")
    one_sentence(error)


@pytest.mark.parametrize("prompt", ["", " , ", "person, Person", "person, people", "a person; persons."])
def test_a_prompt_that_names_nothing_or_the_same_twice_is_refused(nano: Checkpoint, prompt: str) -> None:
    with pytest.raises(PromptError, match=r"names nothing|name it once") as error:
        prompts_for(nano, prompt)
    one_sentence(error)


def test_a_skeleton_with_a_word_the_encoder_lacks_is_refused() -> None:
    with pytest.raises(UnknownPrompt, match="The word 'robot' of the prompt 'robot arm'"):
        embed([ARM], encoder(PERSON))


def test_a_bank_survives_its_file_and_serves_as_the_prompt(nano: Checkpoint, tmp_path: Path) -> None:
    bank = replace(prompts_for(nano, "person"), name="team", version=4)
    path = tmp_path / "team.safetensors"
    bank.save(path)
    assert list(tmp_path.iterdir()) == [path]
    assert_same(PromptBank.load(path), bank)
    assert_same(prompts_for(nano, str(path)), bank)


def test_a_bank_of_several_categories_survives_its_file(tmp_path: Path, published: Checkpoint) -> None:
    bank = embed([PERSON, ARM], Letters(), name="mixed", version=2)
    path = tmp_path / "mixed.safetensors"
    bank.save(path)
    assert_same(prompts_for(published, str(path)), bank)


def test_a_bank_for_other_weights_is_refused(nano: Checkpoint, published: Checkpoint, tmp_path: Path) -> None:
    path = tmp_path / "bank.safetensors"
    prompts_for(nano, "person").save(path)
    with pytest.raises(PromptError, match="width 128 where these weights take 512") as error:
        prompts_for(published, str(path))
    one_sentence(error)
    retrained = Checkpoint(nano.model, encoder(PERSON, seed=1))
    with pytest.raises(PromptError, match="other weights") as error:
        prompts_for(retrained, str(path))
    one_sentence(error)


def test_more_keypoints_than_the_model_takes_are_refused(published: Checkpoint, tmp_path: Path) -> None:
    names = tuple(f"point {i}" for i in range(69))
    path = tmp_path / "many.safetensors"
    embed([Skeleton("cloud", names, (), (), (0.1,) * 69)], Letters()).save(path)
    with pytest.raises(PromptError, match="69 keypoints") as error:
        prompts_for(published, str(path))
    one_sentence(error)


def test_a_file_that_is_no_bank_is_refused(nano: Checkpoint, tmp_path: Path) -> None:
    path = tmp_path / "bank.safetensors"

    def refused() -> str:
        with pytest.raises(PromptError) as error:
            prompts_for(nano, str(path))
        assert str(path) in str(error.value)
        return one_sentence(error)

    refused()
    path.write_text("no bank")
    refused()
    assert nano.text_encoder is not None
    save(path, Checkpoint(nano.model, nano.text_encoder, {}))
    assert "xpose-stream/1" in refused()
    prompts_for(nano, "person").save(path)
    path.write_bytes(path.read_bytes()[:-5])
    refused()
    for prompt in ("{}", "[]", '{"name": "a"}', '{"skeletons": [{"category": "x"}]}'):
        save_file({"instances": torch.zeros(1)}, path, {"format": "xpose-prompts/1", "prompt": prompt})
        refused()


def test_a_bank_whose_parts_do_not_fit_cannot_be_made() -> None:
    bank = embed([PERSON], Letters())
    for parts in (
        {"skeletons": ()},
        {"skeletons": (PERSON, PERSON)},
        {"skeletons": (ARM,)},
        {"keypoints": bank.keypoints[..., :-1]},
        {"keypoint_mask": ~bank.keypoint_mask},
        {"instances": bank.instances * torch.nan},
    ):
        with pytest.raises(PromptError):
            replace(bank, **parts)


def test_a_bank_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PromptError, match="cannot be written") as error:
        embed([PERSON], Letters()).save(tmp_path / "none" / "bank.safetensors")
    one_sentence(error)


def one_sentence(error: pytest.ExceptionInfo[PromptError]) -> str:
    text = str(error.value)
    assert text.endswith(".") and "\n" not in text
    return text


def assert_same(found: PromptBank, expected: PromptBank) -> None:
    for name in ("name", "version", "skeletons", "encoder", "weights"):
        assert getattr(found, name) == getattr(expected, name)
    for name in ("instances", "keypoints", "keypoint_mask"):
        assert torch.equal(getattr(found, name), getattr(expected, name))
