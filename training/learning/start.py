"""The model a training starts from: new and small, or weights that are to be fine-tuned."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from xpose_stream.engines.checkpoint import load
from xpose_stream.engines.prompts.bank import Skeleton
from xpose_stream.engines.xpose import XPose, XPoseConfig
from xpose_stream.engines.xpose.text import WordEncoder
from xpose_stream.training.data.wording import category_wordings, vocabulary
from xpose_stream.training.learning.initialise import initialise
from xpose_stream.training.learning.prompted import Prompted

VISUAL_LAYERS = 2
OVERLAP = 0.5


def start(
    skeletons: Sequence[Skeleton], weights: Path | None = None, clip: Path | None = None
) -> tuple[Prompted, dict[str, Tensor]]:
    """A model that takes words and examples and tells confidence, and the file's own CLIP where that reads the words.

    Raises CheckpointError when the weights cannot be read, PromptError when CLIP cannot.
    """
    words = vocabulary(skeletons)
    categories = list(dict.fromkeys(text for skeleton in skeletons for text in category_wordings(skeleton.category)))
    if weights is None:
        model = XPose(_with_prompts(XPoseConfig.nano()))
        initialise(model)
        return Prompted(model, WordEncoder(words, model.config.prompt_dim, categories)), {}
    found = load(weights)
    model = XPose(_with_prompts(found.model.config))
    initialise(model)  # what the weights do not have
    model.load_state_dict(found.model.state_dict(), strict=False)
    if found.text_encoder is not None and model.guess is not None:
        # Its rows belong to meanings, which therefore stay what they are.
        return Prompted(model, found.text_encoder.requires_grad_(False)), {}
    if found.text_encoder is not None:
        return Prompted(model, _extended(found.text_encoder, words, categories)), {}
    from xpose_stream.engines.prompts.clip import ClipTextEncoder  # an optional and slow package

    return Prompted(model, None, ClipTextEncoder.read(clip, found.clip)), found.clip


def _with_prompts(config: XPoseConfig) -> XPoseConfig:
    layers = config.visual_layers or VISUAL_LAYERS
    score: Literal["sure", "image"] = "sure" if config.guess else "image"
    kind: Literal["learned", "clued"] = "clued" if config.confidence == "clued" else "learned"
    return replace(config, visual_layers=layers, confidence=kind, score=score, overlap=OVERLAP)


def _extended(old: WordEncoder, words: Sequence[str], categories: Sequence[str]) -> WordEncoder:
    """An encoder that knows what the old one knew, and more words and categories."""
    every = [*old.vocabulary, *(word for word in words if word not in old.vocabulary)]
    new = WordEncoder(every, old.prompt_dim, list(dict.fromkeys((*old.categories, *categories))))
    state = old.state_dict()
    with torch.no_grad():
        rows = new.words.weight.clone()
        rows[: len(state["words.weight"])] = state["words.weight"]
    new.load_state_dict(state | {"words.weight": rows})
    return new
