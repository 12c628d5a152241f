"""Pinned prompts: categories and keypoints embedded once, from words or from a prompt bank file."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from engines.checkpoint import Checkpoint
from engines.skeleton import Skeleton
from engines.tensorfile import TensorFileError, fingerprint, read_tensors, write_tensors
from engines.text import PromptError, UnknownPrompt

__all__ = ["PromptBank", "PromptError", "Skeleton", "UnknownPrompt", "embed", "prompts_for"]

FORMAT = "xpose-prompts/1"
SKELETONS = Path(__file__).parents[1] / "configs" / "skeletons"


class TextEncoder(Protocol):
    """Texts to embeddings [len(texts), P]."""

    name: str

    def __call__(self, texts: Sequence[str]) -> Tensor: ...

    def state_dict(self) -> Mapping[str, Any]: ...


@dataclass(frozen=True, eq=False)
class PromptBank:
    """C categories, each with its own up to K keypoints, as the model takes them: float32 on the CPU.

    `version` grows with every change of the prompt called `name`. `encoder` and `weights` tell which text encoder made
    the embeddings (its kind, and the fingerprint of its weights). Raises PromptError when the parts do not fit.
    """

    name: str
    version: int
    skeletons: tuple[Skeleton, ...]
    instances: Tensor  # [C, P]
    keypoints: Tensor  # [C, K, P], zero where a category has fewer
    keypoint_mask: Tensor  # [C, K] bool, True where the category has the keypoint
    encoder: str
    weights: str

    def __post_init__(self) -> None:
        lengths = [len(skeleton.keypoints) for skeleton in self.skeletons]
        if not lengths:
            raise PromptError("a prompt needs at least one category.")
        width = self.instances.shape[-1]
        shapes = (self.instances.shape, self.keypoints.shape, self.keypoint_mask.shape)
        needed = ((len(lengths), width), (len(lengths), max(lengths), width), (len(lengths), max(lengths)))
        if shapes != needed or not torch.equal(self.keypoint_mask, _mask(lengths)):
            raise PromptError("the embeddings do not fit the skeletons.")
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
    """The prompt of a stream: the path of a prompt bank (`*.safetensors`), or categories such as "person, dog".

    Words go through the checkpoint's own text encoder or, for published weights, through CLIP: its weights from the
    checkpoint when there, else, like its tokenizer, from the folder `clip` or the hub. Raises PromptError with one
    sentence when the prompt is unknown, the bank does not fit the weights, or CLIP is not to be had.
    """
    bank = PromptBank.load(prompt) if prompt.endswith(".safetensors") else _read(checkpoint, prompt, clip)
    _check_fit(bank, checkpoint)
    return bank


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


def instance_text(category: str) -> str:
    """A category as the text encoders read it: lower case, `_` and `-` are blanks."""
    return " ".join(category.lower().replace("_", " ").replace("-", " ").split())


def keypoint_text(keypoint: str) -> str:
    """A keypoint's name as the text encoders read it: lower case, `_` is a blank, `-` stays."""
    return " ".join(keypoint.lower().replace("_", " ").split())


def find_skeletons(categories: Sequence[str], folder: Path = SKELETONS) -> list[Skeleton]:
    """The skeleton file of every category. Raises PromptError listing those there are when one has none."""
    files = {instance_text(path.stem): path for path in sorted(folder.glob("*.yaml"))}
    for category in categories:
        if category not in files:
            raise PromptError(f"There is no skeleton for '{category}' in {folder}; there are: {', '.join(files)}.")
    return [Skeleton.load(files[category]) for category in categories]


def _read(checkpoint: Checkpoint, prompt: str, clip: str | Path | None) -> PromptBank:
    categories = [instance_text(part) for part in prompt.split(",")]
    if not all(categories) or len(set(categories)) < len(categories):
        raise PromptError(f"The prompt '{prompt}' must be different categories with commas between them.")
    if checkpoint.text_encoder is not None:
        for category in categories:
            checkpoint.text_encoder.require(category)
        return embed(find_skeletons(categories), checkpoint.text_encoder)
    skeletons = find_skeletons(categories)
    from engines.clip import ClipTextEncoder  # here, because it imports an optional and slow package

    return embed(skeletons, ClipTextEncoder.read(clip, checkpoint.clip))


def _check_fit(bank: PromptBank, checkpoint: Checkpoint) -> None:
    config, own = checkpoint.model.config, checkpoint.text_encoder
    width, count = bank.instances.shape[-1], bank.keypoints.shape[1]
    if width != config.prompt_dim:
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
