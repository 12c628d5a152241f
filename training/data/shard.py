"""A file of rendered pictures with their truth."""

from __future__ import annotations

import os
import zipfile
from dataclasses import dataclass, fields
from pathlib import Path

import cv2
import numpy as np


@dataclass(frozen=True, slots=True)
class Shard:
    """N pictures and the P instances in them; pixels with (0, 0) at the top-left corner of the picture.

    jpeg uint8 [bytes]: the JPEG files one after another, 256 x 192; offsets int64 [N + 1]: where each begins.
    categories str [C]: names of categories; those of `world.category`, whether or not they occur.
    image int32 [P]: picture of each instance, ascending; category int16 [P]: index into `categories`; identity int32
    [P]: which instance of its picture it is, unique there over all categories; box float32 [P, 4]: xyxy px, the whole
    body's extent (occluded parts too) clipped to the picture; keypoints float32 [P, K, 3]: x, y px and v (2 visible, 1
    occluded, 0 outside the picture, where x and y still are the projection), in the order of the category's skeleton
    file; K is the largest number of all categories, and the rows beyond the category's own are NaN, NaN, 0;
    ignore bool [P]: too little shows to be asked for: fewer than 3 visible keypoints or a box below 100 px².
    """

    jpeg: np.ndarray
    offsets: np.ndarray
    categories: np.ndarray
    image: np.ndarray
    category: np.ndarray
    identity: np.ndarray
    box: np.ndarray
    keypoints: np.ndarray
    ignore: np.ndarray

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def picture(self, index: int) -> np.ndarray:
        """Picture uint8 [192, 256, 3] RGB. Raises ValueError when it is damaged."""
        coded = self.jpeg[self.offsets[index] : self.offsets[index + 1]]
        bgr = cv2.imdecode(coded, cv2.IMREAD_COLOR)
        if bgr is None:
            raise ValueError(f"picture {index} of the shard is no JPEG; render the shard again")
        return cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB)

    def instances(self, index: int) -> slice:
        """The rows of a picture's instances in the arrays [P, …]."""
        first, last = np.searchsorted(self.image, [index, index + 1])
        return slice(int(first), int(last))

    def present(self, index: int) -> list[str]:
        """The names of the categories of which a picture shows anything; of all others it shows nothing."""
        return sorted(set(self.categories[self.category[self.instances(index)]].tolist()))


def shards(folder: Path) -> list[Path]:
    """The complete shards of a bank, in order."""
    return sorted(Path(folder).glob("shard-*.npz"))


def read_shard(path: Path) -> Shard:
    """A shard from its file. Raises FileNotFoundError, or ValueError when the file is damaged or no shard."""
    try:
        with np.load(path) as arrays:
            missing = [field.name for field in fields(Shard) if field.name not in arrays]
            if missing:
                raise ValueError(f"{path} is no shard of a bank: it lacks {', '.join(missing)}")
            return Shard(**{field.name: arrays[field.name] for field in fields(Shard)})
    except (EOFError, zipfile.BadZipFile) as error:
        raise ValueError(f"{path} is damaged: {error}") from None


def write_shard(path: Path, shard: Shard) -> None:
    """Writes a shard's file, all at once."""
    part = path.with_name(f".{path.name}.{os.getpid()}")
    with part.open("wb") as file:
        np.savez(file, **{field.name: getattr(shard, field.name) for field in fields(Shard)})
    part.replace(path)
