"""Built engines on disk: each beside a JSON file that says what it is, and by whose hash it is believed."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import shutil
import tempfile
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from rich.table import Table
from rich.text import Text

Key = Mapping[str, str]  # everything an engine depends on: weights, shapes, precision, versions, device


@dataclass(frozen=True)
class Built:
    """An engine on disk."""

    path: Path
    key: Key
    size: int  # bytes


class EngineCache:
    """A folder of engines by key. A file that is cut short, changed or not ours is never given out.

    folder  None where this user has none: then nothing is kept.
    """

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = folder or default_folder()

    def get(self, key: Key, build: Callable[[Path], None]) -> Path:
        """The engine of `key`; `build` writes it to the path it is given when there is no good one.

        Raises OSError when it cannot be kept.
        """
        if self.folder is None:
            raise OSError(errno.ENOENT, "this user has no home folder")
        path = self.folder / f"{key['backend']}-{_digest(json.dumps(dict(key), sort_keys=True).encode())[:16]}.pt2"
        if not self._good(path, key):
            self.folder.mkdir(parents=True, exist_ok=True)
            partial = path.with_name(f"{uuid.uuid4().hex}-{path.name}")  # another process may build the same
            try:
                build(partial)
                note = {"key": dict(key), "sha256": _digest(partial.read_bytes()), "bytes": partial.stat().st_size}
                _note(path).unlink(missing_ok=True)
                os.replace(partial, path)
                _write(_note(path), json.dumps(note, indent=1))
            finally:
                partial.unlink(missing_ok=True)
        return path

    def __iter__(self) -> Iterator[Built]:
        """All good engines, the newest first."""
        if self.folder is None:
            return
        notes = sorted(self.folder.glob("*.json"), key=lambda note: note.stat().st_mtime, reverse=True)
        for note in notes:
            path = note.with_suffix(".pt2")
            if (values := _read(note)) and self._good(path, values["key"]):
                yield Built(path, values["key"], values["bytes"])

    def _good(self, path: Path, key: Key) -> bool:
        values = _read(_note(path))
        if values is None or values.get("key") != dict(key) or not path.is_file():
            return False
        return path.stat().st_size == values.get("bytes") and _digest(path.read_bytes()) == values.get("sha256")


def table_of(cache: EngineCache) -> Table:
    """What is in the cache, for people."""
    table = Table(
        "engine",
        "shapes",
        "precision",
        "device",
        "MB",
        "weights",
        title=Text(str(cache.folder or "no folder to keep engines in"), "table.title"),
    )
    for column in table.columns:
        column.overflow = "fold"
    for built in cache:
        key = built.key
        table.add_row(
            key["backend"],
            key["shapes"],
            key["precision"],
            Text(key["device"]),
            f"{built.size / 1e6:.1f}",
            key["weights"],
        )
    return table


@contextmanager
def unkept(name: str) -> Iterator[Path]:
    """Where an engine may be written that is loaded at once and not kept: in a temporary folder, else in memory."""
    try:
        folder = tempfile.mkdtemp(prefix="xpose-")
    except OSError:  # a process that may write nowhere
        memory = os.memfd_create(name)
        try:
            yield Path(f"/proc/self/fd/{memory}")
        finally:
            os.close(memory)
        return
    try:
        yield Path(folder) / name
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def default_folder() -> Path | None:
    """`XPOSE_CACHE`, else `xpose-stream` in the user's cache folder, if there is one."""
    if own := os.environ.get("XPOSE_CACHE"):
        return Path(own)
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "xpose-stream"
    except RuntimeError:  # no HOME, and the system does not know this user
        return None


def _note(path: Path) -> Path:
    return path.with_suffix(".json")


def _read(note: Path) -> dict | None:
    try:
        values = json.loads(note.read_text())
    except (OSError, ValueError):
        return None
    return values if isinstance(values, dict) and isinstance(values.get("key"), dict) else None


def _write(path: Path, text: str) -> None:
    partial = path.with_name(f"{uuid.uuid4().hex}-{path.name}.partial")
    partial.write_text(text)
    os.replace(partial, path)


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
