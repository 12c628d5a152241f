"""CLIP's text tower gives the features of OpenAI's, from a checkpoint or a folder; else a sentence says what to do."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn
from transformers import CLIPConfig, CLIPModel, CLIPTokenizer

from xpose_stream.engines.checkpoint import Checkpoint
from xpose_stream.engines.prompts import clip
from xpose_stream.engines.prompts.bank import prompts_for
from xpose_stream.engines.prompts.clip import ClipTextEncoder
from xpose_stream.engines.xpose import XPose, XPoseConfig
from xpose_stream.engines.xpose.text import PromptError

LETTERS = "abcdefghijklmnopqrstuvwxyz"
VOCABULARY = [*LETTERS, *(f"{letter}</w>" for letter in LETTERS), "<|startoftext|>", "<|endoftext|>"]
WIDTH, HEADS, LAYERS, CONTEXT, FEATURES = 128, 2, 3, 40, 512


class OpenAiTower(nn.Module):
    """The text tower as OpenAI's CLIP defines it, with its names."""

    def __init__(self) -> None:
        super().__init__()
        self.token_embedding = nn.Embedding(len(VOCABULARY), WIDTH)
        self.positional_embedding = nn.Parameter(0.3 * torch.randn(CONTEXT, WIDTH))
        self.transformer = nn.Module()
        self.transformer.resblocks = nn.ModuleList(OpenAiBlock() for _ in range(LAYERS))
        self.ln_final = nn.LayerNorm(WIDTH)
        self.text_projection = nn.Parameter(torch.randn(WIDTH, FEATURES) / WIDTH**0.5)

    def forward(self, text: str) -> Tensor:
        letters = [letter if not end else f"{letter}</w>" for letter, end in spelled(text)]
        tokens = [VOCABULARY.index(token) for token in ("<|startoftext|>", *letters, "<|endoftext|>")]
        padded = torch.tensor([tokens + [0] * (CONTEXT - len(tokens))])
        x = self.token_embedding(padded) + self.positional_embedding
        for block in self.transformer.resblocks:
            x = block(x)
        end = padded.argmax(-1)
        return (self.ln_final(x)[torch.arange(1), end] @ self.text_projection)[0]


class OpenAiBlock(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.attn = nn.MultiheadAttention(WIDTH, HEADS, batch_first=True)
        self.ln_1, self.ln_2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.mlp = nn.ModuleDict({"c_fc": nn.Linear(WIDTH, 4 * WIDTH), "c_proj": nn.Linear(4 * WIDTH, WIDTH)})

    def forward(self, x: Tensor) -> Tensor:
        future = torch.full((CONTEXT, CONTEXT), -torch.inf).triu(1)
        y = self.ln_1(x)
        x = x + self.attn(y, y, y, need_weights=False, attn_mask=future)[0]
        y = self.mlp["c_fc"](self.ln_2(x))
        return x + self.mlp["c_proj"](y * torch.sigmoid(1.702 * y))


def spelled(text: str) -> list[tuple[str, bool]]:
    """Letters of a text, and whether each ends a word: how a byte-pair encoding without merges cuts it."""
    return [(letter, i + 1 == len(word)) for word in text.split() for i, letter in enumerate(word)]


@pytest.fixture(scope="module")
def tower() -> OpenAiTower:
    torch.manual_seed(3)
    tower = OpenAiTower().eval()
    with torch.no_grad():
        for parameter in tower.parameters():
            if parameter.dim() == 1:
                parameter += 0.2 * torch.randn(parameter.shape)
    return tower


@pytest.fixture(scope="module")
def tokenizer_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tokenizer")
    (folder / "vocab.json").write_text(json.dumps({token: i for i, token in enumerate(VOCABULARY)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    return folder


TEXTS = ["person", "left knee", "x", "the tip of the nose"]


@torch.no_grad()
def expected(tower: OpenAiTower) -> Tensor:
    return torch.stack([tower(f"a photo of {text}") for text in TEXTS])


def test_a_checkpoint_with_clip_needs_a_tokenizer_only(tower: OpenAiTower, tokenizer_folder: Path) -> None:
    image_tower = {"visual.proj": torch.zeros(2), "visual.transformer.resblocks.0.ln_1.weight": torch.zeros(2)}
    encoder = ClipTextEncoder.read(tokenizer_folder, tower.state_dict() | image_tower | {"logit_scale": torch.ones(())})
    with torch.no_grad():
        found = encoder(TEXTS)
        alone = torch.cat([encoder([text]) for text in TEXTS])
    torch.testing.assert_close(found, expected(tower), rtol=0, atol=2e-5)
    torch.testing.assert_close(alone, expected(tower), rtol=0, atol=2e-5)
    assert found.norm(dim=1).std() > 0.01  # not normalised


def test_half_precision_weights_are_run_in_float32(tower: OpenAiTower, tokenizer_folder: Path) -> None:
    encoder = ClipTextEncoder.read(tokenizer_folder, {n: t.half() for n, t in tower.state_dict().items()})
    with torch.no_grad():
        found = encoder(TEXTS)
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, expected(tower), rtol=0.02, atol=0.02)


@pytest.fixture(scope="module")
def clip_folder(tower: OpenAiTower, tokenizer_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Text and image tower with a tokenizer, as a folder of the hub holds them."""
    folder = tmp_path_factory.mktemp("clip")
    text = ClipTextEncoder.read(tokenizer_folder, tower.state_dict()).tower
    vision = {"hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 1}
    config = CLIPConfig(
        text_config=text.config.to_dict(),
        vision_config=vision | {"image_size": 32, "patch_size": 16},
        projection_dim=FEATURES,
    )
    model = CLIPModel(config)
    model.load_state_dict(text.state_dict(), strict=False)
    model.save_pretrained(folder)
    CLIPTokenizer.from_pretrained(tokenizer_folder).save_pretrained(folder)
    return folder


def test_a_folder_gives_tokenizer_and_weights(
    tower: OpenAiTower, clip_folder: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with torch.no_grad():
        found = ClipTextEncoder.read(clip_folder)(TEXTS)
    torch.testing.assert_close(found, expected(tower), rtol=0, atol=2e-5)
    assert capfd.readouterr().err == ""


def test_published_weights_read_words_through_clip(
    tower: OpenAiTower, tokenizer_folder: Path, clip_folder: Path, tmp_path: Path
) -> None:
    model = XPose(XPoseConfig.tiny()).eval()
    bank = prompts_for(Checkpoint(model, clip=tower.state_dict()), "person", tokenizer_folder)
    assert bank.encoder == "clip" and bank.keypoints.shape == (1, 17, FEATURES)
    with torch.no_grad():
        torch.testing.assert_close(bank.instances[0], tower("a photo of person"), rtol=0, atol=2e-5)
        torch.testing.assert_close(bank.keypoints[0, 13], tower("a photo of left knee"), rtol=0, atol=2e-5)
    again = prompts_for(Checkpoint(model), "person", clip_folder)
    torch.testing.assert_close(again.keypoints, bank.keypoints)
    assert again.weights == bank.weights
    bank.save(tmp_path / "person.safetensors")
    served = prompts_for(Checkpoint(model), str(tmp_path / "person.safetensors"))
    assert torch.equal(served.keypoints, bank.keypoints)


def refusal(folder: Path | None, weights: dict[str, Tensor] | None = None) -> str:
    with pytest.raises(PromptError) as error:
        ClipTextEncoder.read(folder, weights)
    text = str(error.value)
    assert text.endswith(".") and "\n" not in text
    return text


def test_a_folder_without_clip_is_refused(tokenizer_folder: Path, tmp_path: Path) -> None:
    assert "--clip" in refusal(tmp_path) and str(tmp_path) in refusal(tmp_path)
    assert "--clip" in refusal(tmp_path / "none")
    assert "--clip" in refusal(tokenizer_folder)


def test_clip_out_of_reach_is_refused_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clip, "HUB", "xpose-stream/there-is-no-such-model")
    assert "--clip FOLDER" in refusal(None) and "prompt bank" in refusal(None)


def test_a_tower_with_a_part_missing_is_refused_by_name(tower: OpenAiTower, tokenizer_folder: Path) -> None:
    weights = tower.state_dict()
    for name in ("transformer.resblocks.1.attn.in_proj_bias", "ln_final.weight", "token_embedding.weight"):
        assert name in refusal(tokenizer_folder, {n: t for n, t in weights.items() if n != name})
    assert "complete" in refusal(tokenizer_folder, weights | {"ln_final.weight": torch.zeros(3)})


def test_a_tokenizer_of_another_clip_is_refused(tower: OpenAiTower, tmp_path: Path) -> None:
    longer = [*VOCABULARY[:-2], "ab", *VOCABULARY[-2:]]
    (tmp_path / "vocab.json").write_text(json.dumps({token: i for i, token in enumerate(longer)}))
    (tmp_path / "merges.txt").write_text("#version: 0.2\n")
    assert "tokenizer" in refusal(tmp_path, tower.state_dict())


def test_without_transformers_the_sentence_names_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    assert "xpose-stream[clip]" in refusal(None)
