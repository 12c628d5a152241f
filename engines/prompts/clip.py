"""CLIP's text tower (Radford et al., 2021), which reads the prompts of the published weights."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import Tensor, nn

from xpose_stream.engines.xpose.text import PromptError

if TYPE_CHECKING:
    from transformers import CLIPTextModelWithProjection, PreTrainedTokenizerBase

HUB = "openai/clip-vit-base-patch32"
_HEAD_WIDTH = 64
_ADVICE = "give a folder with its files (--clip FOLDER), or a prompt bank as the prompt"
_WITHIN_BLOCK = {
    "layer_norm1": "ln_1",
    "layer_norm2": "ln_2",
    "mlp.fc1": "mlp.c_fc",
    "mlp.fc2": "mlp.c_proj",
    "self_attn.out_proj": "attn.out_proj",
}


class ClipTextEncoder(nn.Module):
    """Texts to CLIP's text features, float32, not normalised; each text is put into "a photo of …" first."""

    name = "clip"

    def __init__(self, tower: CLIPTextModelWithProjection, tokenizer: PreTrainedTokenizerBase) -> None:
        super().__init__()
        self.tower = tower.float().eval()
        self.tokenizer = tokenizer

    @classmethod
    def read(cls, folder: str | Path | None = None, weights: Mapping[str, Tensor] | None = None) -> ClipTextEncoder:
        """The tokenizer from `folder` or, without one, the hub; the weights likewise unless given in OpenAI's names.

        Raises PromptError with one sentence when a part is missing or does not fit.
        """
        try:
            from transformers import CLIPTokenizer
        except ImportError as error:
            raise PromptError(
                "Words for these weights need CLIP: install xpose-stream[clip], or give a prompt bank as the prompt."
            ) from error
        tokenizer = _from_pretrained(CLIPTokenizer, folder)
        own = weights is not None and "text_projection" in weights
        encoder = cls(tower_of(weights) if own and weights is not None else _tower_from(folder), tokenizer)
        if len(tokenizer) > encoder.tower.config.vocab_size:
            raise PromptError(f"The tokenizer of {folder or HUB} does not belong to these weights of CLIP; {_ADVICE}.")
        return encoder

    def forward(self, texts: Sequence[str]) -> Tensor:
        """Features [len(texts), P]. A text of more tokens than the tower takes is cut."""
        tokens = self.tokenizer(
            [f"a photo of {text}" for text in texts],
            padding=True,
            truncation=True,
            max_length=self.tower.config.max_position_embeddings,
            return_tensors="pt",
        )
        return self.tower(tokens.input_ids).text_embeds  # padding comes after the end token, which sees only before it


def tower_of(weights: Mapping[str, Tensor]) -> CLIPTextModelWithProjection:
    """A text tower from tensors in OpenAI's names; those of the image tower are left alone. Raises PromptError."""
    from transformers import CLIPTextConfig, CLIPTextModelWithProjection

    try:
        vocabulary, width = weights["token_embedding.weight"].shape
        blocks = {name.split(".")[2] for name in weights if name.startswith("transformer.resblocks.")}
        config = CLIPTextConfig(
            vocab_size=vocabulary,
            hidden_size=width,
            intermediate_size=len(weights["transformer.resblocks.0.mlp.c_fc.weight"]),
            projection_dim=weights["text_projection"].shape[1],
            num_hidden_layers=len(blocks),
            num_attention_heads=max(width // _HEAD_WIDTH, 1),
            max_position_embeddings=len(weights["positional_embedding"]),
            hidden_act="quick_gelu",
            bos_token_id=vocabulary - 2,
            eos_token_id=vocabulary - 1,
        )
        tower = CLIPTextModelWithProjection(config)
        tower.load_state_dict({name: _openai(name, weights) for name in tower.state_dict()})
    except (KeyError, RuntimeError, ValueError) as error:
        detail = " ".join(str(error).split())
        raise PromptError(f"The CLIP text tower in the checkpoint is not complete ({detail}).") from error
    return tower


def _openai(name: str, weights: Mapping[str, Tensor]) -> Tensor:
    """The tensor that transformers calls `name` from weights in OpenAI's names."""
    if name == "text_projection.weight":
        return weights["text_projection"].T
    name = name.removeprefix("text_model.")
    if name.startswith("embeddings."):
        return weights["positional_embedding" if "position" in name else "token_embedding.weight"]
    if name.startswith("final_layer_norm."):
        return weights[name.replace("final_layer_norm", "ln_final")]
    _, _, block, rest = name.split(".", 3)
    part, _, kind = rest.rpartition(".")
    if part in _WITHIN_BLOCK:
        return weights[f"transformer.resblocks.{block}.{_WITHIN_BLOCK[part]}.{kind}"]
    packed = weights[f"transformer.resblocks.{block}.attn.in_proj_{kind}"]
    return packed.chunk(3)[("self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj").index(part)]


def _tower_from(folder: str | Path | None) -> CLIPTextModelWithProjection:
    from transformers import CLIPTextModelWithProjection

    tower, report = _from_pretrained(CLIPTextModelWithProjection, folder, output_loading_info=True)
    if report["missing_keys"]:
        raise PromptError(f"{folder or HUB} lacks parts of CLIP's text tower; {_ADVICE}.")
    return tower


def _from_pretrained(kind: Any, folder: str | Path | None, **options: Any) -> Any:
    """What transformers reads from the folder, or from the hub when its files are here or within reach."""
    from huggingface_hub import get_hf_file_metadata, hf_hub_url

    try:
        try:
            with _quiet():
                return kind.from_pretrained(folder or HUB, local_files_only=True, **options)
        except OSError:
            if folder is not None:
                raise
            get_hf_file_metadata(hf_hub_url(HUB, "config.json"), timeout=5.0)  # else it retries for minutes
            return kind.from_pretrained(HUB, **options)
    except Exception as error:  # transformers and the hub report trouble by a dozen unrelated types
        raise PromptError(f"CLIP's text encoder cannot be read from {folder or HUB}; {_ADVICE}.") from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Neither progress bars nor lists of the image tower's unused weights."""
    from transformers.utils import logging

    verbosity, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    finally:
        logging.set_verbosity(verbosity)
        if bars:
            logging.enable_progress_bar()
