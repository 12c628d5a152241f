"""Named tensors and text metadata in one safetensors file, written whole or not at all."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from xpose_stream.error import UserError


class TensorFileError(UserError):
    """A file that cannot be read or written; the message is one sentence."""


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: dict[str, str]) -> None:
    """Write `path` in one step: it holds either what it held before or everything. Raises TensorFileError."""
    partial = path.with_name(path.name + ".partial")
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    try:
        partial.touch()  # with the mode of a new file, where save_file gives one that nobody else can read
        mode = partial.stat().st_mode
        save_file(plain, partial, metadata)
        partial.chmod(mode)
        os.replace(partial, path)
    except (OSError, SafetensorError) as error:
        raise TensorFileError(f"{path} cannot be written ({error}).") from error
    finally:
        partial.unlink(missing_ok=True)


def read_tensors(path: Path, form: str) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Tensors and metadata of a file whose metadata give `form` as its format.

    Raises TensorFileError when the file is missing, damaged or of another format.
    """
    if not path.is_file():
        raise TensorFileError(f"There is no file {path}.")
    try:
        with safe_open(path, "pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
    except (SafetensorError, OSError) as error:
        raise TensorFileError(f"{path} is no safetensors file, or is cut short; copy it again.") from error
    found = metadata.get("format", "not stated")
    if found != form:
        raise TensorFileError(f"{path} has the format {found} where {form} is needed.")
    return tensors, metadata


def fingerprint(tensors: Mapping[str, Tensor]) -> str:
    """16 hexadecimal digits that tell these tensors, by name and value, from others."""
    digest = hashlib.sha256()
    for name in sorted(tensors):
        digest.update(name.encode())
        digest.update(tensors[name].detach().cpu().contiguous().flatten().view(torch.uint8).numpy().data)
    return digest.hexdigest()[:16]
