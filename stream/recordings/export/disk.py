"""A disk that has no room, for libraries that break on it, or do not notice."""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any


class Lenient(io.FileIO):
    """A new file for HDF5, which crashes where it cannot write, or reads other than it wrote: it goes on in memory.

    `check` and `close` raise what kept it from the disk: an OSError, or what stops the program. Call `check` often.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path, "w+")
        self._failure: BaseException | None = None
        self._kept: list[tuple[int, bytes]] = []  # what is not on the disk, and from which byte on

    def write(self, data: Any) -> int:
        """All of `data`."""
        rest = memoryview(data).cast("B")
        while rest and not self._failure:
            try:
                rest = rest[super().write(rest) :]
            except BaseException as error:
                self._failure = error
        if rest:
            self._kept.append((self.tell(), bytes(rest)))
            self.seek(len(rest), os.SEEK_CUR)
        return len(data)

    def readinto(self, into: Any) -> int:
        """As many bytes as there is room for, 0 where there is nothing."""
        start, view = self.tell(), memoryview(into).cast("B")
        count = super().readinto(view)
        view[count:] = bytes(len(view) - count)
        for at, data in self._kept:
            first, last = max(at, start), min(at + len(data), start + len(view))
            if first < last:
                view[first - start : last - start] = data[first - at : last - at]
        return len(view)

    def truncate(self, size: int | None = None) -> int:
        """Make it so long, if that can be."""
        try:
            return super().truncate(size)
        except BaseException as error:
            self._failure = self._failure or error
            return size or 0

    def check(self) -> None:
        """Raise it."""
        if self._failure:
            raise self._failure

    def close(self) -> None:
        """See above; a second call does nothing."""
        if not self.closed:
            super().close()
            self.check()


def reserve(path: Path, size: int) -> None:
    """Raise OSError unless a file of `size` bytes can be written at `path`; nothing is there then."""
    try:
        with open(path, "wb") as file:
            os.posix_fallocate(file.fileno(), 0, size)
    finally:
        path.unlink(missing_ok=True)
