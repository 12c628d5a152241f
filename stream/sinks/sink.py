"""What every sink has in common: the error it raises and the check of the file it is about to write."""

from __future__ import annotations

import os
import re
from io import FileIO
from pathlib import Path

from xpose_stream.error import UserError

HIGHEST_PORT = 65535
ASTRAY = "is a link that leads nowhere; make what it leads to, or choose another name"


class SinkError(UserError):
    """A sink cannot be opened or written to; the message is one sentence for the user."""


class TakenError(SinkError):
    """What is to be written is there already, or somebody else writes it."""


def claim(path: str | Path, overwrite: bool = False) -> Path:
    """Check, without creating anything, that a sink may write the file `path`.

    Raises SinkError as `reach` does, and TakenError when it exists and `overwrite` is False.
    """
    path = reach(path)
    if os.path.lexists(path) and not overwrite:
        raise TakenError(f"{path} exists already and is not overwritten; move it away or choose another name")
    if path.is_symlink() and not Path(os.path.realpath(path)).parent.is_dir():
        raise SinkError(f"cannot write {path}: {path} {ASTRAY}")
    return path


def reach(path: str | Path) -> Path:
    """Check that a file can be written where `path` says.

    Raises SinkError when it is a folder, its folder is missing or not writable, or its name is too long or not UTF-8.
    """
    path = Path(path)
    try:
        str(path).encode()
    except UnicodeEncodeError:
        told = str(path).encode(errors="surrogateescape").decode(errors="replace")
        raise SinkError(f"cannot write {told}: its name is not UTF-8; choose another, or set LC_ALL=C.UTF-8") from None
    try:
        folder = path.is_dir()
    except OSError as error:
        raise unwritable(path, error) from None
    if folder:
        raise SinkError(f"{path} is a folder; name a file to write")
    if path.parent.exists() and not path.parent.is_dir():
        raise SinkError(f"cannot write {path}: {path.parent} is a file and no folder")
    if not path.parent.is_dir():
        raise SinkError(f"cannot write {path}: {missing(path.parent)}")
    if not os.access(path.parent, os.W_OK | os.X_OK):
        raise SinkError(f"cannot write {path}: no permission to write in the folder {path.parent}")
    return path


def missing(folder: Path) -> str:
    """Why there is no such folder, and what to do."""
    for place in (folder, *folder.parents):
        if place.is_symlink() and not place.exists():
            return f"{place} {ASTRAY}"
    return f"the folder {folder} does not exist; create it first"


def beside(path: Path) -> Path:
    """Where to write what is to take the place of `path` when it is finished: <path>.partial, or one with a number.

    What is there of this user is left from a killed run and may be replaced; what is another's is let alone.
    """
    place, number = path.with_name(path.name + ".partial"), 2
    while os.path.lexists(place) and os.lstat(place).st_uid != os.geteuid():
        place, number = path.with_name(f"{path.name}.{number}.partial"), number + 1
    return place


def deleted(file: FileIO) -> bool:
    """Whether somebody has deleted a file that is still being written, so that nobody will ever read it."""
    return os.fstat(file.fileno()).st_nlink == 0


def unwritable(path: Path, error: OSError) -> SinkError:
    """The SinkError for what the system said while `path` was written; Arrow hands that on within words of its own."""
    quoted = re.search(r"\[errno (\d+)\]", str(error))
    reason = os.strerror(int(quoted[1])) if quoted else error.strerror or error
    return SinkError(f"cannot write {path}: {reason}")


def append(file: FileIO, data: bytes) -> None:
    """Add all of `data` to the end of `file`, or leave it as it was and raise OSError, for example on a full disk."""
    size = os.fstat(file.fileno()).st_size
    rest = memoryview(data)
    try:
        while rest:
            rest = rest[file.write(rest) :]
    except OSError:
        os.truncate(file.fileno(), size)
        file.seek(size)
        raise
