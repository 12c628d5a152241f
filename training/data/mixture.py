"""Several sources of pictures as one, with one list of classes."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence
from itertools import accumulate
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from xpose_stream.engines.prompts.bank import Skeleton, instance_text
from xpose_stream.training.data.dataset import DataError, Unreadable
from xpose_stream.training.data.picture import Picture


class Source(Protocol):
    """Pictures whose classes are indices into `skeletons`; keypoints are padded to the largest of them with v = -1."""

    skeletons: tuple[Skeleton, ...]

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> Picture: ...

    def ids(self, index: int) -> tuple[Any, tuple[Any, ...]]:
        """Ids of a picture and of the classes, as results in COCO's format have them."""

    def refresh(self) -> None:
        """Take what has been added since."""


class Mixture:
    """The pictures of all sources; the same category with the same keypoints is one class, whatever the source.

    Attributes:
        skeletons: of the C classes.
        sigmas: [C, K] of their keypoints, 1 where a class has fewer.
        mask: [C, K] True where a class has the keypoint.
        mirrored: [C, K] which keypoint takes whose place in a mirror.
        unreadable: indices of the pictures that `readable` left out so far.
    """

    def __init__(self, sources: Sequence[Source], without: Sequence[str] = ()) -> None:
        """Instances of the categories in `without` are left out, as if they had not been annotated."""
        self.sources = tuple(sources)
        self.unreadable: set[int] = set()
        hidden = {instance_text(name) for name in without}
        found: dict[tuple[str, tuple[str, ...]], Skeleton] = {}
        for source in self.sources:
            for skeleton in source.skeletons:
                if instance_text(skeleton.category) not in hidden:
                    found.setdefault(_identity(skeleton), skeleton)
        self.skeletons = tuple(found.values())
        rank = {identity: i for i, identity in enumerate(found)}
        self._classes = [np.array([rank.get(_identity(s), -1) for s in source.skeletons]) for source in self.sources]
        lengths = np.array([len(skeleton.keypoints) for skeleton in self.skeletons])
        count, room = len(lengths), int(lengths.max(initial=1))
        self.mask = np.arange(room) < lengths[:, None]
        self.sigmas = np.ones((count, room), np.float32)
        self.mirrored = np.tile(np.arange(room), (count, 1))
        for i, skeleton in enumerate(self.skeletons):
            self.sigmas[i, : lengths[i]] = skeleton.sigmas
            for a, b in skeleton.pairs:
                self.mirrored[i, [a, b]] = b, a

    def require_room(self, keypoints: int) -> None:
        """Raises DataError where a class has more keypoints than that."""
        for skeleton in self.skeletons:
            if len(skeleton.keypoints) > keypoints:
                count = len(skeleton.keypoints)
                raise DataError(f"A {skeleton.category} has {count} keypoints; these weights take {keypoints}.")

    def refresh(self) -> None:
        """Take what has been added to the sources since."""
        for source in self.sources:
            source.refresh()

    def __len__(self) -> int:
        return sum(map(len, self.sources))

    def __getitem__(self, index: int) -> Picture:
        number, index = self._find(index)
        picture = self.sources[number][index]
        classes = self._classes[number][picture.classes]
        kept = classes >= 0
        count, room = int(kept.sum()), self.mask.shape[1]
        keypoints = np.tile(np.array((0, 0, -1), np.float32), (count, room, 1))
        shared = min(room, picture.keypoints.shape[1])
        keypoints[:, :shared] = picture.keypoints[kept, :shared]
        areas = None if picture.areas is None else picture.areas[kept]
        trust = np.ones((count, room), np.float32)
        if picture.trust is not None:
            trust[:, :shared] = picture.trust[kept, :shared]
        return Picture(picture.rgb, picture.boxes[kept], keypoints, classes[kept], picture.ignore[kept], areas, trust)

    def readable(self, index: int) -> Picture | None:
        """The picture, or None where it cannot be read and may be left out, which is told once."""
        try:
            return self[index]
        except Unreadable as error:
            if index not in self.unreadable:
                print(f"{error} It is left out.", flush=True)
                self.unreadable.add(index)
            return None

    def ids(self, index: int) -> tuple[int, Any, dict[int, Any]]:
        """Number of a picture's source, its id there, and those of the classes that the source has."""
        number, place = self._find(index)
        picture, classes = self.sources[number].ids(place)
        known = zip(self._classes[number].tolist(), classes, strict=True)
        return number, picture, {label: category for label, category in known if label >= 0}

    def known(self, index: int) -> NDArray[np.bool_]:
        """[C] True for the classes whose every instance in that picture is annotated: those of its source."""
        number, _ = self._find(index)
        known = np.zeros(len(self.skeletons), bool)
        known[self._classes[number][self._classes[number] >= 0]] = True
        return known

    def _find(self, index: int) -> tuple[int, int]:
        ends = list(accumulate(map(len, self.sources)))
        number = bisect_right(ends, index)
        return number, index - (ends[number] - len(self.sources[number]))


def _identity(skeleton: Skeleton) -> tuple[str, tuple[str, ...]]:
    return instance_text(skeleton.category), skeleton.keypoints
