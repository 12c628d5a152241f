"""Who serves a camera: files that only one living process can hold, and the number of each camera's run."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import quote


class Life:
    """A file that a process locks for as long as it lives, and in which it says its number.

    The lock belongs to whoever has the file open: a process that was given it keeps it when the one that took it ends.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    @property
    def lived(self) -> bool:
        """Whether a process has it now."""
        with suppress(FileNotFoundError), open(self.path) as file:
            try:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except BlockingIOError:
                return True
        return False

    @property
    def pid(self) -> int | None:
        """Of the process that has it; None when nobody has, or has not said yet."""
        with suppress(OSError, ValueError):
            number = int(self.path.read_text())
            return number if self.lived else None
        return None

    @contextmanager
    def taken(self) -> Iterator[int | None]:
        """A descriptor to hand to the process that is to have it; None when another has it."""
        descriptor = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                yield None
                return
            os.truncate(descriptor, 0)
            yield descriptor
        finally:
            os.close(descriptor)


class Leases:
    """The leases of cameras in a folder that all who might serve them share.

    A lease names the Life of the process that serves the camera, so it ends with that process, however it ends. It
    also counts the camera's runs.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def take(self, camera: str, life: Life, floor: int = 0) -> int | None:
        """The number of the run that begins now, at least `floor`; None while another process serves the camera."""
        with self._alone():
            path = self._path(camera)
            holder, run = _read(path)
            if holder != str(life.path) and holder and Life(Path(holder)).lived:
                return None
            run = max(run + 1, floor)
            _write(path, {"life": str(life.path), "run": run})
            return run

    def run(self, camera: str, life: Life) -> int | None:
        """The number of the run that `life` serves; None when it does not."""
        holder, run = _read(self._path(camera))
        return run if holder == str(life.path) else None

    def release(self, camera: str, life: Life) -> None:
        """Give it back, when it is had."""
        with self._alone():
            holder, run = _read(self._path(camera))
            if holder == str(life.path):
                _write(self._path(camera), {"life": "", "run": run})

    def _path(self, camera: str) -> Path:
        return self._folder / f"{quote(camera, safe=' ')}.json"

    @contextmanager
    def _alone(self) -> Iterator[None]:
        with open(self._folder / ".lock", "w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def _read(path: Path) -> tuple[str, int]:
    """Whose it is, and the number of the run."""
    with suppress(FileNotFoundError, ValueError, KeyError):
        told = json.loads(path.read_text())
        return str(told["life"]), int(told["run"])
    return "", 0


def _write(path: Path, told: dict[str, object]) -> None:
    new = path.with_suffix(".new")
    with open(new, "w") as file:
        json.dump(told, file)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
