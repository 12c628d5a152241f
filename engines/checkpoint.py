"""Weights on disk: the published file and our own safetensors, read with one clear error when something is off."""

from __future__ import annotations

import json
import re
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from xpose_stream.engines.tensorfile import TensorFileError, read_tensors, write_tensors
from xpose_stream.engines.xpose import XPose, XPoseConfig
from xpose_stream.engines.xpose.text import WordEncoder
from xpose_stream.error import UserError
from xpose_stream.trackers import TrackerConfig

FORMAT = "xpose-stream/1"
_WITHOUT_EFFECT = re.compile(
    r"clip_model\..+|(label_enc|padding)\.weight|pos_proj\.(weight|bias)"
    r"|backbone\.0\.layers\.\d+\.blocks\.\d+\.attn\.relative_position_index"
)
_FIRST_SIZES = 17  # rows of keypoint sizes that the published file keeps in `hw`; the others are in `hw_append`


class CheckpointError(UserError):
    """A file that is no usable checkpoint."""


@dataclass(frozen=True)
class Checkpoint:
    """A model ready to run, with what its file said about prompts, origin and tracking.

    tracker: the fields of TrackerConfig in which what these weights find wants to be tracked otherwise than usual.
    """

    model: XPose
    text_encoder: WordEncoder | None = None
    provenance: dict[str, Any] = field(default_factory=dict)
    tracker: dict[str, Any] = field(default_factory=dict)
    # Of a published file: `clip_model.*`, prefix cut, and what its visual prompts need beside CLIP.
    clip: dict[str, Tensor] = field(default_factory=dict)


class _Place(NamedTuple):
    """Where a tensor of the published file goes: rows `first` on of our tensor `name`, from its own rows `skip` on."""

    name: str
    shape: tuple[int, ...]
    first: int = 0
    skip: int = 0


def load(path: str | Path) -> Checkpoint:
    """Read a checkpoint: ours when it ends in `.safetensors`, else the published layout (Swin-T).

    Raises CheckpointError with one sentence when the file is missing, of another kind, or its tensors do not fit.
    """
    path = Path(path)
    if not path.is_file():
        raise CheckpointError(f"There is no checkpoint file {path}; give the path of a .pth or .safetensors file.")
    return _load_own(path) if path.suffix == ".safetensors" else _load_published_file(path)


def save(path: str | Path, checkpoint: Checkpoint) -> None:
    """Write our own checkpoint: one safetensors file with configuration, text encoder, provenance and tracker settings.

    Without a text encoder CLIP reads the prompts. The file appears whole or not at all. Raises CheckpointError when it
    cannot be written.
    """
    path = Path(path)
    model, text_encoder = checkpoint.model, checkpoint.text_encoder
    tensors = {f"model.{name}": _shortest(tensor) for name, tensor in model.state_dict().items()}
    metadata = {
        "format": FORMAT,
        "config": json.dumps(model.config.as_dict()),
        "provenance": json.dumps(checkpoint.provenance),
        "tracker": json.dumps(checkpoint.tracker),
    }
    if text_encoder is not None:
        tensors |= {f"text.{name}": tensor for name, tensor in text_encoder.state_dict().items()}
        metadata["vocabulary"] = json.dumps(text_encoder.vocabulary)
        metadata["categories"] = json.dumps(text_encoder.categories)
    try:
        write_tensors(path, tensors, metadata)
    except TensorFileError as error:
        raise CheckpointError(str(error)) from error


def _shortest(tensor: Tensor) -> Tensor:
    """The same numbers in half the space, where float16 holds them all, as MoveNet's body is published."""
    short = tensor.half() if tensor.dtype == torch.float32 and tensor.dim() > 1 else tensor
    return short if torch.equal(short.to(tensor.dtype), tensor) else tensor


def load_published(state_dict: Mapping[str, Tensor], config: XPoseConfig) -> XPose:
    """A model from tensors named as in the published file; float64 stays float64, anything else becomes float32.

    Tied copies must agree; tensors without effect on the output are ignored. Raises CheckpointError naming tensors
    that are missing, unexpected, misshapen or in disagreement.
    """
    given = {name.removeprefix("module."): tensor for name, tensor in state_dict.items()}
    given = {name: tensor for name, tensor in given.items() if not _WITHOUT_EFFECT.fullmatch(name)}
    layout = published_layout(config)
    _check_names(given, {name: place.shape for name, place in layout.items()}, "the checkpoint")
    dtype = torch.float64 if any(t.dtype == torch.float64 for t in given.values()) else torch.float32
    model = XPose(config).to(dtype).eval()
    own = model.state_dict()
    filled: dict[tuple[str, int], str] = {}
    for name, place in layout.items():
        tensor = given[name].to(dtype)[place.skip :] if place.skip else given[name].to(dtype)
        target = own[place.name]
        if target.dim():
            target = target[place.first : place.first + len(tensor)]
        twin = filled.setdefault((place.name, place.first), name)
        if twin != name and not torch.equal(target, tensor):
            raise CheckpointError(f"The tied tensors {twin} and {name} of the checkpoint differ; they must be equal.")
        target.copy_(tensor)
    return model


@cache
def published_layout(config: XPoseConfig) -> dict[str, _Place]:
    """Every tensor name of the published file that has an effect, with its shape and its place in our model."""
    with torch.device("meta"):
        own = XPose(config).state_dict()
    layout = {}
    for name, tensor in own.items():
        shape = tuple(tensor.shape)
        for published in _published_names(name, config):
            if name.endswith("keypoint_size"):
                appended = published.endswith("hw_append.weight")
                rows = shape[0] - _FIRST_SIZES if appended else _FIRST_SIZES
                layout[published] = _Place(name, (rows, 2), first=_FIRST_SIZES if appended else 0)
            elif "in_proj_" in published and "text_layers" in published:
                layout[published] = _Place(name, (3 * shape[0], *shape[1:]), skip=2 * shape[0])
            else:
                layout[published] = _Place(name, shape)
    return layout


def _published_names(name: str, config: XPoseConfig) -> list[str]:
    """The names under which the published file holds our tensor; tied heads stand there once per decoder layer."""
    head, _, rest = name.partition(".")
    layers = config.box_decoder_layers + config.keypoint_decoder_layers
    copies = {"bbox_embed": layers, "pose_embed": layers - 1, "pose_hw_embed": layers - 2}
    if head in copies:
        return [f"{where}{head}.{i}.{rest}" for where in ("", "transformer.decoder.") for i in range(copies[head])]
    if head == "backbone":
        return [f"backbone.0.{rest}"]
    if head in ("input_proj", "projection", "projection_kpt"):
        return [name]
    if name == "decoder.keypoint_size":
        return ["transformer.decoder.hw.weight", "transformer.decoder.hw_append.weight"]
    if "text_layers" in name:
        name = name.replace("value_proj.", "self_attn.in_proj_").replace(".out_proj", ".self_attn.out_proj")
    return [f"transformer.{name}"]


def _check_names(given: Mapping[str, Tensor], expected: Mapping[str, tuple[int, ...]], where: str) -> None:
    for problem, names in (
        ("Missing from", sorted(expected.keys() - given.keys())),
        ("Unexpected in", sorted(given.keys() - expected.keys())),
    ):
        if names:
            more = f" and {len(names) - 3} more" if len(names) > 3 else ""
            raise CheckpointError(f"{problem} {where}: {', '.join(names[:3])}{more}.")
    for name, shape in expected.items():
        if tuple(given[name].shape) != shape:
            found = list(given[name].shape)
            raise CheckpointError(f"The tensor {name} of {where} has shape {found} where {list(shape)} is needed.")


def _load_published_file(path: Path) -> Checkpoint:
    try:
        with warnings.catch_warnings(action="ignore"):  # guesses at what is wrong with a file that is no checkpoint
            content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch reports a wrong file by half a dozen unrelated types
        raise CheckpointError(
            f"{path} is no PyTorch checkpoint of plain tensors; give the published .pth file."
        ) from error
    weights = content.get("model") if isinstance(content, dict) else None
    if not isinstance(weights, dict) or not all(isinstance(t, Tensor) for t in weights.values()):
        raise CheckpointError(f"{path} holds no weights under the key 'model'; give the published .pth file.")
    weights = {name.removeprefix("module."): tensor for name, tensor in weights.items()}
    try:
        model = load_published(weights, replace(config_of(weights), confidence="estimated"))
    except CheckpointError as error:
        raise CheckpointError(f"{path}: {error}") from None
    clip = {name[len("clip_model.") :]: tensor for name, tensor in weights.items() if name.startswith("clip_model.")}
    clip |= {name: tensor for name, tensor in weights.items() if name.startswith(("pos_proj.", "padding."))}
    return Checkpoint(model, provenance={"file": path.name}, clip=clip)


def config_of(weights: Mapping[str, Tensor]) -> XPoseConfig:
    """The known configuration whose patch embedding has the width found in `weights`; Swin-T when in doubt."""
    patch = weights.get("backbone.0.patch_embed.proj.weight")
    tiny = XPoseConfig.tiny()
    return tiny if patch is not None and len(patch) == tiny.embed_dim else XPoseConfig.swin_t()


def _load_own(path: Path) -> Checkpoint:
    try:
        tensors, metadata = read_tensors(path, FORMAT)
    except TensorFileError as error:
        raise CheckpointError(str(error)) from error
    try:
        model = XPose(XPoseConfig.from_dict(json.loads(metadata["config"])))
        text_encoder = None
        if "vocabulary" in metadata:
            vocabulary, categories = json.loads(metadata["vocabulary"]), json.loads(metadata["categories"])
            text_encoder = WordEncoder(vocabulary, model.config.prompt_dim, categories)
        provenance = json.loads(metadata["provenance"])
        tracker = json.loads(metadata.get("tracker", "{}"))
        TrackerConfig(**tracker)
    except (ArithmeticError, AssertionError, AttributeError, LookupError, RuntimeError, TypeError, ValueError) as error:
        raise CheckpointError(f"{path} has damaged metadata ({error}); copy it again.") from error
    expected = {f"model.{name}": tuple(t.shape) for name, t in model.state_dict().items()}
    words = {} if text_encoder is None else text_encoder.state_dict()
    expected |= {f"text.{name}": tuple(t.shape) for name, t in words.items()}
    _check_names(tensors, expected, str(path))
    model.load_state_dict({n.removeprefix("model."): t for n, t in tensors.items() if n.startswith("model.")})
    if text_encoder is not None:
        text_encoder.eval().load_state_dict({name: tensors[f"text.{name}"] for name in words})
    return Checkpoint(model.eval(), text_encoder, provenance, tracker)
