"""What every sink has in common: the error it raises and the check of the file it is about to write."""

from __future__ import annotations

import os
from io import FileIO
from pathlib import Path


class SinkError(Exception):
    """A sink cannot be opened or written to; the message is one sentence for the user."""


def claim(path: str | Path, overwrite: bool = False) -> Path:
    """Check, without creating anything, that a sink may write the file `path`.

    Raises SinkError when it is a folder, its folder is missing or not writable, or it exists and `overwrite` is False.
    """
    path = Path(path)
    if path.is_dir():
        raise SinkError(f"{path} is a folder; name a file to write")
    if not path.parent.is_dir():
        raise SinkError(f"cannot write {path}: the folder {path.parent} does not exist; create it first")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise SinkError(f"cannot write {path}: no permission to write in the folder {path.parent}")
    if path.exists() and not overwrite:
        raise SinkError(f"{path} exists already and is not overwritten; move it away or choose another name")
    return path


def unwritable(path: Path, error: OSError) -> SinkError:
    """The SinkError for what the system said while `path` was written."""
    return SinkError(f"cannot write {path}: {error.strerror or error}")


def append(file: FileIO, data: bytes) -> None:
    """Add all of `data` to the end of `file`, or leave it as it was and raise OSError, for example on a full disk."""
    size = os.fstat(file.fileno()).st_size
    rest = memoryview(data)
    try:
        while rest:
            rest = rest[file.write(rest) :]
    except OSError:
        os.truncate(file.fileno(), size)
        raise
