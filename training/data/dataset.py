"""The rendered bank as pictures to train on."""

from __future__ import annotations

import os
from bisect import bisect_right
from pathlib import Path
from typing import Any

import numpy as np

from xpose_stream.engines.prompts.bank import PromptError, find_skeletons
from xpose_stream.error import UserError
from xpose_stream.training.data.picture import Picture
from xpose_stream.training.data.shard import Shard, read_shard, shards


class DataError(UserError):
    """Data that cannot be trained on or evaluated with; the message is one sentence."""


class Unreadable(DataError):
    """A picture that cannot be read, and that may be left out."""


def make_folder(path: Path) -> None:
    """Make the folder of results where there is none yet; raises DataError when nothing can be written there."""
    try:
        path.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise DataError(f"{path} cannot be the folder of results ({error.strerror}); choose another --out.") from None
    if not os.access(path, os.W_OK | os.X_OK):
        raise DataError(f"{path} cannot be the folder of results (no permission); choose another --out.")


class Bank:
    """All pictures of a folder of shards, compressed in memory.

    `skeletons` are those of the categories that occur in the shards there are at first.
    """

    def __init__(self, folder: str | Path) -> None:
        """Raises DataError when there is no shard in the folder, or one is damaged or of another format."""
        self.folder = Path(folder)
        self._shards: dict[Path, Shard] = {}
        self._ends: list[int] = []
        self._names: list[str] = []
        self.refresh()
        if not len(self):
            raise DataError(f"There are no shard-*.npz in {self.folder}; render some with `python -m training.bank`.")
        present = {name for shard in self._shards.values() for name in shard.categories[np.unique(shard.category)]}
        try:
            self.skeletons = tuple(find_skeletons(sorted(present)))
        except PromptError as error:
            raise DataError(f"{self.folder}: {error}") from error
        self._names = [skeleton.category for skeleton in self.skeletons]

    def refresh(self) -> None:
        """Read the shards that have appeared since."""
        for path in shards(self.folder):
            if path not in self._shards:
                try:
                    self._shards[path] = read_shard(path)
                except (OSError, ValueError) as error:
                    raise DataError(f"{path} cannot be read ({error}); render it again.") from error
                self._ends.append(len(self) + len(self._shards[path]))

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def ids(self, index: int) -> tuple[Any, tuple[Any, ...]]:
        """Of a picture and of the classes: their numbers from 0 and from 1."""
        return index, tuple(range(1, len(self.skeletons) + 1))

    def __getitem__(self, index: int) -> Picture:
        number = bisect_right(self._ends, index)
        shard = list(self._shards.values())[number]
        picture = index - (self._ends[number] - len(shard))
        first = shard.instances(picture).start
        names = shard.categories[shard.category[shard.instances(picture)]]
        rows = np.array([first + i for i, name in enumerate(names) if name in self._names], np.int64)
        classes = np.array([self._names.index(name) for name in names if name in self._names], np.int64)
        room = max(len(skeleton.keypoints) for skeleton in self.skeletons)
        lengths = np.array([len(skeleton.keypoints) for skeleton in self.skeletons])
        keypoints = shard.keypoints[rows, :room].copy()
        keypoints[np.arange(room) >= lengths[classes][:, None]] = (0, 0, -1)
        try:
            rgb = shard.picture(picture)
        except ValueError as error:
            raise Unreadable(f"{list(self._shards)[number]}: {error}.") from None
        return Picture(rgb, shard.box[rows], keypoints, classes, shard.ignore[rows])
