"""A pipe as FFmpeg reads it, whose beginning can be read again."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable

from xpose_stream.stream.sources.error import SourceError
from xpose_stream.stream.sources.place import located

_KEPT = 8_000_000  # bytes that can be read again; more than FFmpeg looks at before it knows what a stream is
_BOXES = {b"ftyp", b"free", b"skip", b"wide", b"uuid", b"pnot", b"styp"}  # of an MP4, before what matters


class Pipe:
    """Standard input ("-"), a named pipe, `<(…)`: bytes that come once. Opening a named one waits for its writer."""

    def __init__(self, spec: str, name: str) -> None:
        """Raises SourceError."""
        self._begin = bytearray()
        self._at = 0
        self._keeps = True
        try:
            self._file = os.dup(0) if spec == "-" else _open(located(spec))
            if os.isatty(self._file):
                raise SourceError(f"{name} is a terminal: lead a video into it, as in `cat clip.ts | … -`")
        except OSError as error:
            closed = error.errno == errno.EBADF
            raise SourceError(f"{name} {'is closed' if closed else f'cannot be read: {error.strerror}'}") from None

    def read(self, size: int) -> bytes:
        """The next bytes, at most so many; none at the end."""
        if self._at < len(self._begin):
            data = bytes(self._begin[self._at : self._at + size])
        else:
            data = os.read(self._file, size)
            if self._keeps:
                self._begin += data
                self._keeps = len(self._begin) < _KEPT
        self._at += len(data)
        if not self._keeps and self._at >= len(self._begin):
            self._begin, self._at = bytearray(), 0
        return data

    def rewind(self) -> bool:
        """Begin anew with the first byte; False when it is no longer there."""
        if not self._begin:
            return False
        self._at = 0
        return True

    def forget(self) -> None:
        """Nobody will read the beginning again."""
        self._keeps = False

    def ends_with_index(self) -> bool:
        """Whether this is an MP4 with its pictures before its index, which one would have to go back for."""
        return index_comes_last(self._peek)

    def _peek(self, place: int, size: int) -> bytes:
        while len(self._begin) < place + size and (data := os.read(self._file, 4096)):
            self._begin += data
        return bytes(self._begin[place : place + size])

    def close(self) -> None:
        """Give back the file. Idempotent."""
        if self._file >= 0:
            os.close(self._file)
        self._file = -1


def index_comes_last(peek: Callable[[int, int], bytes]) -> bool:
    """Whether an MP4 has its pictures before its index; `peek` gives so many bytes from a place on."""
    place = 0
    while len(head := peek(place, 16)) == 16:
        size, kind = int.from_bytes(head[:4], "big"), head[4:8]
        if kind == b"mdat":
            return True
        if kind not in _BOXES or size < 8 or size > _KEPT // 2:
            return False
        place += size
    return False


def _open(path: str) -> int:
    """A socket (a service's standard input) cannot be opened by its name, but it is there by its number."""
    if stat.S_ISSOCK(os.stat(path).st_mode):
        number = 0 if path == "/dev/stdin" else int(os.path.basename(path)) if path.startswith("/dev/fd/") else None
        if number is not None:
            return os.dup(number)
    return os.open(path, os.O_RDONLY)
