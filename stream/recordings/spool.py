"""Rows that wait on disk until there is use for all of them."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


class Spool:
    """A hidden file in `folder` of rows of the fields of `kind`, to which more are added; `len` of them."""

    def __init__(self, folder: Path, kind: np.dtype[np.void]) -> None:
        self.kind = kind
        self._count = 0
        self._path = folder / f".{uuid.uuid4().hex}"

    def add(self, count: int, **fields: NDArray[Any]) -> None:
        """Add `count` rows; fields that are shorter belong to the last of them, before which they are NaN or 0."""
        rows = np.zeros(count, self.kind)
        for name, values in fields.items():
            if rows[name].dtype.kind == "f":
                rows[name] = np.nan
            rows[name][count - len(values) :] = values
        with open(self._path, "ab") as file:
            file.write(rows.data)  # tofile would not notice that the disk is full
        self._count += count

    def rows(self, start: int, count: int) -> NDArray[np.void]:
        """`count` rows from `start` on, or as many as there are."""
        return np.fromfile(self._path, self.kind, count, offset=start * self.kind.itemsize)

    def parts(self, most: int) -> Iterator[tuple[int, NDArray[np.void]]]:
        """All rows, at `most` so many at a time: which is the first, and they."""
        for start in range(0, self._count, most):
            yield start, self.rows(start, most)

    def __len__(self) -> int:
        return self._count

    def remove(self) -> None:
        """Delete the file."""
        self._path.unlink()
