"""Checkpoints are read exactly, or refused in one sentence that names what is wrong."""

from __future__ import annotations

import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import Tensor

from tests.engines.recipe import CONFIGS, layout, published_file, weights
from xpose_stream.engines.checkpoint import Checkpoint, CheckpointError, load, load_published, save
from xpose_stream.engines.xpose import XPose, XPoseConfig
from xpose_stream.engines.xpose.text import WordEncoder

WITHOUT_EFFECT = {"label_enc.weight", "pos_proj.weight", "pos_proj.bias", "padding.weight"}


def zeros(config: str) -> dict[str, Tensor]:
    """A state dict with the published names and shapes that takes no memory."""
    names = layout(config)
    state = {name: torch.zeros(()).expand(shape) for name, shape in names["parameters"].items()}
    return state | {name: torch.zeros((), dtype=torch.int64).expand(s) for name, s in names["buffers"].items()}


def refusal(state: dict[str, Tensor], config: str = "tiny") -> str:
    with pytest.raises(CheckpointError) as error:
        load_published(state, CONFIGS[config]())
    return one_sentence(str(error.value))


def one_sentence(text: str) -> str:
    assert text.endswith(".") and "\n" not in text and "Traceback" not in text
    return text


@pytest.mark.parametrize("config", CONFIGS)
def test_the_published_names_and_shapes_are_taken(config: str) -> None:
    model = load_published(zeros(config), CONFIGS[config]())
    assert all(not parameter.any() for parameter in model.parameters())


@pytest.mark.parametrize("config", CONFIGS)
def test_every_missing_tensor_is_refused_by_name(config: str) -> None:
    state = zeros(config)
    for name in layout(config)["parameters"].keys() - WITHOUT_EFFECT:
        assert name in refusal({n: t for n, t in state.items() if n != name}, config)


@pytest.mark.parametrize("config", CONFIGS)
def test_every_misshapen_tensor_is_refused_by_name(config: str) -> None:
    state = zeros(config)
    for name in layout(config)["parameters"].keys() - WITHOUT_EFFECT:
        shape = list(state[name].shape)
        text = refusal(state | {name: torch.zeros(()).expand(*shape[:-1], shape[-1] + 1)}, config)
        assert f" {name} " in text and str(shape) in text and str([*shape[:-1], shape[-1] + 1]) in text


@pytest.mark.parametrize("name", ["head.weight", "transformer.encoder.layers.2.linear1.bias", "pos_proj.extra"])
def test_an_extra_tensor_is_refused_by_name(name: str) -> None:
    assert name in refusal(zeros("tiny") | {name: torch.zeros(3)})


def test_many_wrong_names_still_make_a_short_sentence() -> None:
    text = refusal({})
    assert len(text) < 300 and "more" in text


@pytest.mark.parametrize("group", range(0, 18, 5))
def test_tied_tensors_that_differ_are_refused_by_name(group: int) -> None:
    names = layout("tiny")["tied"][group]
    state = zeros("tiny")
    text = refusal(state | {names[-1]: torch.ones(state[names[-1]].shape)})
    named = set(text.split()) & set(names)
    assert names[-1] in named and len(named) == 2


def test_what_has_no_effect_may_be_absent_or_of_any_shape() -> None:
    state = {name: tensor for name, tensor in zeros("tiny").items() if "relative_position_index" not in name}
    state |= {name: torch.zeros(1) for name in WITHOUT_EFFECT} | {"clip_model.visual.proj": torch.zeros(2)}
    load_published(state, XPoseConfig.tiny())


def test_prefixes_and_clip_are_taken_from_a_published_file(tmp_path: Path) -> None:
    plain = {name: tensor.float() for name, tensor in weights("tiny", 3).items()}
    clip = {"text_projection": torch.randn(4, 4), "ln_final.weight": torch.ones(4)}
    path = tmp_path / "published.pth"
    torch.save({"model": {f"module.{n}": t.half() for n, t in {**plain, **with_prefix(clip)}.items()}}, path)
    found = load(path)
    expected = load_published({name: tensor.half() for name, tensor in plain.items()}, XPoseConfig.tiny())
    assert found.model.config == replace(XPoseConfig.tiny(), confidence="estimated") and not found.model.training
    assert_equal(found.model.state_dict(), expected.state_dict())
    assert all(tensor.dtype == torch.float32 for tensor in found.model.parameters())
    for_examples = {name: plain[name] for name in ("pos_proj.weight", "pos_proj.bias", "padding.weight")}
    assert_equal(found.clip, {name: tensor.half() for name, tensor in (clip | for_examples).items()})
    assert found.text_encoder is None


def test_a_published_file_gives_the_weights_in_it(tmp_path: Path) -> None:
    found = load(published_file(tmp_path / "tiny.pth", "tiny", seed=3)).model
    expected = load_published(weights("tiny", 3), XPoseConfig.tiny()).float()
    assert_equal(found.state_dict(), expected.state_dict())


def test_our_own_file_gives_back_model_text_encoder_and_provenance(tmp_path: Path) -> None:
    model, text = XPose(XPoseConfig.nano()).eval(), WordEncoder(["left", "knee", "person"], 128, ["person"]).eval()
    save(tmp_path / "nano.safetensors", Checkpoint(model, text, {"seed": 5, "command": "train"}))
    assert [path.name for path in tmp_path.iterdir()] == ["nano.safetensors"]
    found = load(tmp_path / "nano.safetensors")
    assert found.model.config == model.config and found.provenance == {"seed": 5, "command": "train"}
    assert_equal(found.model.state_dict(), model.state_dict())
    assert found.text_encoder is not None and found.text_encoder.categories == ("person",)
    torch.testing.assert_close(found.text_encoder(["left knee"]), text(["left knee"]), rtol=0, atol=0)
    assert not found.model.training and not found.text_encoder.training


@pytest.fixture(scope="module")
def own(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("own") / "nano.safetensors"
    save(path, Checkpoint(XPose(XPoseConfig.nano()), WordEncoder(["person"], 128, ["person"]), {}))
    return path


def test_a_file_cut_short_is_refused(own: Path, tmp_path: Path) -> None:
    content = own.read_bytes()
    for length in (0, 7, 1000, len(content) // 2, len(content) - 1):
        cut = tmp_path / "cut.safetensors"
        cut.write_bytes(content[:length])
        assert str(cut) in load_refusal(cut)


def test_another_safetensors_file_is_refused(own: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.safetensors"
    save_file({"a": torch.zeros(1)}, other)
    assert "format" in load_refusal(other)
    save_file({"a": torch.zeros(1)}, other, {"format": "xpose-stream/1", "config": "{}"})
    assert "provenance" in load_refusal(other)
    save_file({"a": torch.zeros(1)}, other, {"format": "xpose-stream/1", "config": '{"depths": 3}'})
    assert "damaged metadata" in load_refusal(other)


def test_other_tensors_in_our_own_file_are_refused_by_name(tmp_path: Path) -> None:
    text = WordEncoder(["person"], 128, ["person"])
    text.extra = torch.nn.Parameter(torch.zeros(1))
    path = tmp_path / "extra.safetensors"
    save(path, Checkpoint(XPose(XPoseConfig.nano()), text, {}))
    assert "text.extra" in load_refusal(path) and str(path) in load_refusal(path)


@pytest.mark.filterwarnings("error")
def test_wrong_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    assert str(path) in load_refusal(path)
    path.write_text("this is no checkpoint")
    assert str(path) in load_refusal(path)
    torch.save({"weights": {}}, path)
    assert "'model'" in load_refusal(path)
    torch.save([1, 2], path)
    assert "'model'" in load_refusal(path)
    torch.save({"model": {"epoch": 3}}, path)
    assert "'model'" in load_refusal(path)
    torch.save({"model": Path("code to run")}, path)
    assert "plain tensors" in load_refusal(path)
    torch.save({"model": {"head.weight": torch.zeros(1)}}, path)
    assert str(path) in load_refusal(path) and "Missing" in load_refusal(path)


def test_a_folder_that_is_not_there_is_refused_when_saving(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError) as error:
        save(tmp_path / "none" / "x.safetensors", Checkpoint(XPose(XPoseConfig.nano()), WordEncoder(["a"], 128), {}))
    assert str(tmp_path / "none") in str(error.value)


def test_a_writer_killed_before_it_is_done_changes_nothing(own: Path, tmp_path: Path) -> None:
    path, partial = tmp_path / "saved.safetensors", tmp_path / "saved.safetensors.partial"
    save(path, Checkpoint(XPose(XPoseConfig.nano()), WordEncoder(["person"], 128, ["person"]), {"run": "old"}))
    dying = (
        "import os, sys, signal; from pathlib import Path; from safetensors.torch import load_file\n"
        "from xpose_stream.engines.tensorfile import write_tensors\n"
        "os.replace = lambda *paths: os.kill(os.getpid(), signal.SIGKILL)\n"
        "write_tensors(Path(sys.argv[2]), load_file(sys.argv[1]), {'format': 'xpose-stream/1'})"
    )
    died = subprocess.run([sys.executable, "-c", dying, str(own), str(path)], cwd=Path(__file__).parents[2])
    assert died.returncode == -signal.SIGKILL and partial.is_file()
    assert load(path).provenance == {"run": "old"}
    load_refusal(partial)
    save(path, Checkpoint(XPose(XPoseConfig.nano()), WordEncoder(["person"], 128, ["person"]), {"run": "new"}))
    assert load(path).provenance == {"run": "new"} and not partial.exists()


def load_refusal(path: Path) -> str:
    with pytest.raises(CheckpointError) as error:
        load(path)
    return one_sentence(str(error.value))


def with_prefix(clip: dict[str, Tensor]) -> dict[str, Tensor]:
    return {f"clip_model.{name}": tensor for name, tensor in clip.items()}


def assert_equal(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert torch.equal(found[name], tensor), name
