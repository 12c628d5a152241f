"""Pinned prompts: what a user asks for, embedded once, or a prompt bank file in which that was kept."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from xpose_stream.engines.checkpoint import Checkpoint
from xpose_stream.engines.prompts.clip_visual import ClipVisualEncoder
from xpose_stream.engines.prompts.example import Example, normalised
from xpose_stream.engines.prompts.looks import finds, with_looks
from xpose_stream.engines.prompts.naming import can_read, read_prompts, worded
from xpose_stream.engines.prompts.prompt import (
    SKELETONS,
    Prompt,
    find_skeletons,
    instance_text,
    keypoint_text,
    skeleton_files,
)
from xpose_stream.engines.prompts.recognition import Embedded, combine, recognise
from xpose_stream.engines.prompts.skeleton import Skeleton
from xpose_stream.engines.tensorfile import TensorFileError, fingerprint, read_tensors, write_tensors
from xpose_stream.engines.xpose import Marked, XPose
from xpose_stream.engines.xpose.likeness import EXTRA
from xpose_stream.engines.xpose.text import PromptError, UnknownPrompt, WordEncoder

__all__ = [
    "SKELETONS", "Prompt", "PromptBank", "PromptError", "Skeleton", "UnknownPrompt", "bank_for", "can_read", "embed",
    "embed_examples", "embed_prompts", "example_encoder", "find_skeletons", "instance_text", "keypoint_text",
    "prompts_for",
]  # fmt: skip

FORMAT = "xpose-prompts/1"


Encode = Callable[[Example], tuple[Tensor, Tensor]]  # an instance [P] and its keypoints [K, P]


class TextEncoder(Protocol):
    """Texts to embeddings [len(texts), P]."""

    name: str

    def __call__(self, texts: Sequence[str]) -> Tensor: ...

    def state_dict(self) -> Mapping[str, Any]: ...


@dataclass(frozen=True, eq=False)
class PromptBank:
    """C categories, each with its own up to K keypoints, as the model takes them: float32 on the CPU.

    `version` grows with every change of the prompt called `name`. `encoder` and `weights` tell which encoders made the
    embeddings (their kinds, and the fingerprint of their weights). Raises PromptError when the parts do not fit.
    """

    name: str
    version: int
    skeletons: tuple[Skeleton, ...]
    instances: Tensor  # [C, P]
    keypoints: Tensor  # [C, K, P], zero where a category has fewer
    keypoint_mask: Tensor  # [C, K] bool, True where the category has the keypoint and the prompt says what it is
    encoder: str
    weights: str

    def __post_init__(self) -> None:
        lengths = [len(skeleton.keypoints) for skeleton in self.skeletons]
        if not lengths:
            raise PromptError("a prompt needs at least one category.")
        width = self.instances.shape[-1]
        shapes = (self.instances.shape, self.keypoints.shape, self.keypoint_mask.shape)
        needed = ((len(lengths), width), (len(lengths), max(lengths), width), (len(lengths), max(lengths)))
        if shapes != needed or bool((self.keypoint_mask & ~_mask(lengths)).any()):
            raise PromptError("the embeddings do not fit the skeletons.")
        if not bool(self.keypoint_mask.any(1).all()):
            raise PromptError("a category has no keypoint that the prompt tells anything of.")
        if not (self.instances.isfinite().all() and self.keypoints.isfinite().all()):
            raise PromptError("the embeddings are not finite.")

    def save(self, path: str | Path) -> None:
        """Write a prompt bank file (safetensors), whole or not at all. Raises PromptError when it cannot be written."""
        tensors = {"instances": self.instances, "keypoints": self.keypoints, "keypoint_mask": self.keypoint_mask}
        prompt = {
            "name": self.name,
            "version": self.version,
            "encoder": self.encoder,
            "weights": self.weights,
            "skeletons": [skeleton.as_dict() for skeleton in self.skeletons],
        }
        try:
            write_tensors(Path(path), tensors, {"format": FORMAT, "prompt": json.dumps(prompt)})
        except TensorFileError as error:
            raise PromptError(str(error)) from error

    @classmethod
    def load(cls, path: str | Path) -> PromptBank:
        """Read what `save` wrote. Raises PromptError when the file is missing, damaged or no prompt bank."""
        try:
            tensors, metadata = read_tensors(Path(path), FORMAT)
        except TensorFileError as error:
            raise PromptError(f"No prompt bank: {error}") from error
        try:
            prompt = json.loads(metadata["prompt"])
            prompt["skeletons"] = tuple(Skeleton.from_dict(values) for values in prompt["skeletons"])
            return cls(
                instances=tensors["instances"],
                keypoints=tensors["keypoints"],
                keypoint_mask=tensors["keypoint_mask"],
                **prompt,
            )
        except PromptError as error:
            raise PromptError(f"{path} is a damaged prompt bank: {error}") from error
        except (LookupError, RuntimeError, TypeError, ValueError) as error:
            raise PromptError(f"{path} is a damaged prompt bank; build it again.") from error


def prompts_for(checkpoint: Checkpoint, prompt: str, clip: str | Path | None = None) -> PromptBank:
    """The prompt of a stream: the path of a prompt bank (`*.safetensors`), or what to embed, with commas between.

    That is categories such as "person, dog" and prompt files (`*.yaml`, see `Prompt.load`). Words go through the
    checkpoint's own text encoder or, for published weights, through CLIP: its weights from the checkpoint when there,
    else, like its tokenizer, from the folder `clip` or the hub. Raises PromptError with one sentence when the prompt is
    unknown, the bank does not fit the weights, or CLIP is not to be had.
    """
    file = prompt.strip().rstrip(",").rstrip()
    if not file.endswith(".safetensors"):
        return bank_for(checkpoint, read_prompts(prompt, checkpoint.text_encoder), clip)
    bank = PromptBank.load(file)
    _check_fit(bank, checkpoint)
    return bank


def bank_for(checkpoint: Checkpoint, prompts: Sequence[Prompt], clip: str | Path | None = None) -> PromptBank:
    """What `prompts_for` makes of prompts that are read already. Raises PromptError."""
    bank = embed_prompts(prompts, checkpoint, clip)
    _check_fit(bank, checkpoint)
    return bank


def embed_prompts(prompts: Sequence[Prompt], checkpoint: Checkpoint, clip: str | Path | None = None) -> PromptBank:
    """Embed prompts in words, by examples or both with what belongs to the checkpoint; raises PromptError.

    Several examples are their mean. Without words it is taken for the words of the checkpoint's own that it comes
    nearest to; beside words it counts where it is unlike them. A keypoint that no example shows has its words alone,
    and is left out where there are none.
    """
    prompts = [worded(prompt, checkpoint.text_encoder) for prompt in prompts]
    texts = _text_encoder(prompts, checkpoint, clip)
    if texts is not None and not any(prompt.examples for prompt in prompts):
        return embed([prompt.skeleton for prompt in prompts], texts)
    encode = example_encoder(checkpoint)
    own = checkpoint.text_encoder
    unsaid = any(not prompt.words for prompt in prompts)
    words = _known_words(own) if own is not None and unsaid else None
    embedded = [_embed_one(prompt, texts, encode, words, checkpoint.model) for prompt in prompts]
    if checkpoint.model.guess is not None:
        embedded = _with_looks(prompts, embedded, words, checkpoint.model)
    return PromptBank(
        ", ".join(prompt.skeleton.category for prompt in prompts),
        1,
        tuple(prompt.skeleton for prompt in prompts),
        torch.stack([one.instance for one in embedded]),
        pad_sequence([one.keypoints for one in embedded], batch_first=True),
        pad_sequence([one.known for one in embedded], batch_first=True),
        "+".join(dict.fromkeys(([texts.name] if texts else []) + ["examples"])),
        fingerprint(checkpoint.clip if own is None else own.state_dict()),
    )


def _embed_one(
    prompt: Prompt, texts: TextEncoder | None, encode: Encode, words: Embedded | None, model: XPose
) -> Embedded:
    shown = embed_examples(prompt.examples, encode) if prompt.examples else None
    if prompt.words and texts is not None:
        bank = embed([prompt.skeleton], texts)
        said = Embedded(bank.instances[0], bank.keypoints[0], bank.keypoint_mask[0])
        return said if shown is None else combine(said, shown)
    assert shown is not None  # a prompt has one or the other
    if words is None:
        return shown
    taken = recognise(shown, words)
    by_words = taken.instance is not shown.instance
    return shown if by_words and model.guess is not None and not finds(model, taken, prompt.examples[0]) else taken


def _with_looks(
    prompts: Sequence[Prompt], embedded: Sequence[Embedded], words: Embedded | None, model: XPose
) -> list[Embedded]:
    """The prompts with how their examples look, where these are not taken for words; as they are where all are."""
    shares = []
    for prompt, one in zip(prompts, embedded, strict=True):
        known = words is not None and bool((one.instance == words.instance).all(1).any())
        shares.append(0.0 if not prompt.examples or known else 0.5 if prompt.words else 1.0)
    if not any(shares):
        return list(embedded)
    parts = zip(prompts, embedded, shares, strict=True)
    return [with_looks(model, one, prompt.examples, share) for prompt, one, share in parts]


def embed_examples(examples: Sequence[Example], encode: Encode) -> Embedded:
    """The mean of the examples of one category: instance [P], keypoints [K, P], and [K] True where one shows it."""
    parts = [Embedded(*encode(one), torch.from_numpy(one.present)) for one in examples]
    known = torch.stack([part.known for part in parts]).unsqueeze(-1)
    summed = (torch.stack([part.keypoints for part in parts]) * known).sum(0)
    instance = torch.stack([part.instance for part in parts]).mean(0)
    return Embedded(instance, summed / known.sum(0).clamp(min=1), known.any(0)[:, 0])


def _known_words(encoder: WordEncoder) -> Embedded | None:
    """The categories that have a skeleton file and that the weights can read: [N, P], [N, K, P], [N, K]."""
    skeletons = [Skeleton.load(path) for name, path in skeleton_files().items() if name in encoder.categories]
    readable = [skeleton for skeleton in skeletons if can_read(encoder, skeleton)]
    if not readable:
        return None
    bank = embed(readable, encoder)
    return Embedded(bank.instances, bank.keypoints, bank.keypoint_mask)


def embed(skeletons: Sequence[Skeleton], encoder: TextEncoder, name: str = "", version: int = 1) -> PromptBank:
    """Put the words of the skeletons through a text encoder. `name` is by default the list of categories."""
    texts = [instance_text(skeleton.category) for skeleton in skeletons]
    texts += [keypoint_text(keypoint) for skeleton in skeletons for keypoint in skeleton.keypoints]
    with torch.no_grad():
        embedded = encoder(texts).float().cpu()
    lengths = [len(skeleton.keypoints) for skeleton in skeletons]
    instances, *keypoints = embedded.split([len(skeletons), *lengths])
    return PromptBank(
        name or ", ".join(skeleton.category for skeleton in skeletons),
        version,
        tuple(skeletons),
        instances.clone(),
        pad_sequence(keypoints, batch_first=True),
        _mask(lengths),
        encoder.name,
        fingerprint(encoder.state_dict()),
    )


def _text_encoder(prompts: Sequence[Prompt], checkpoint: Checkpoint, clip: str | Path | None) -> TextEncoder | None:
    """What reads the words of these prompts; None when they have none."""
    categories = [prompt.skeleton.category for prompt in prompts if prompt.words]
    if not categories:
        return None
    if checkpoint.text_encoder is not None:
        return checkpoint.text_encoder
    from xpose_stream.engines.prompts.clip import (
        ClipTextEncoder,  # here, because it imports an optional and slow package
    )

    return ClipTextEncoder.read(clip, checkpoint.clip)


def example_encoder(checkpoint: Checkpoint) -> Encode:
    """What looks at examples; raises PromptError when these weights have nothing of the kind."""
    if checkpoint.model.visual is not None:
        return partial(encode_example, checkpoint.model)
    if "visual.proj" in checkpoint.clip:
        return ClipVisualEncoder(checkpoint.clip)
    raise PromptError("These weights have no encoder of prompts by example; give the prompt in words.")


@torch.no_grad()
def encode_example(model: XPose, example: Example) -> tuple[Tensor, Tensor]:
    """The embeddings [P] and [K, P] of an example by the model's own encoder, on the CPU."""
    config, device = model.config, next(model.parameters()).device
    size = np.array((config.long_side, config.short_side))
    view = example.view(*size.tolist())
    low, high = view.box[:2] / size, view.box[2:] / size
    marked = Marked(
        torch.from_numpy(np.concatenate(((low + high) / 2, high - low))).float()[None],
        torch.from_numpy(np.nan_to_num(view.keypoints / size)).float()[None],
        torch.from_numpy(view.present)[None],
    )
    picture = torch.from_numpy(normalised(view.rgb))[None]
    instance, keypoints = model.prompts_of(picture.to(device), Marked(*(part.to(device) for part in marked)))
    return instance[0].float().cpu(), keypoints[0].float().cpu()


def _check_fit(bank: PromptBank, checkpoint: Checkpoint) -> None:
    config, own = checkpoint.model.config, checkpoint.text_encoder
    width, count = bank.instances.shape[-1], bank.keypoints.shape[1]
    if width not in (config.prompt_dim, config.prompt_dim + EXTRA * bool(config.guess)):
        raise PromptError(
            f"The prompt '{bank.name}' has embeddings of width {width} where these weights take {config.prompt_dim}; "
            "build it with the text encoder of these weights."
        )
    if count > config.max_keypoints:
        raise PromptError(f"The prompt '{bank.name}' has {count} keypoints; these weights take {config.max_keypoints}.")
    if own is not None and bank.weights != fingerprint(own.state_dict()):
        raise PromptError(f"The prompt '{bank.name}' was built with other weights; build it again with these.")


def _mask(lengths: Sequence[int]) -> Tensor:
    return torch.arange(max(lengths)) < torch.tensor(lengths).unsqueeze(1)
