"""Annotations in COCO's format as pictures: COCO, Human-Art, AP-10K, MP-100, and UniKPT's one file for many categories.

They differ in small ways, all of which are taken: keypoint names per category or none (then `keypoint 1` and on),
keypoints flat or as triples, file names that begin with the data set's folder, and categories without any keypoint.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from engines.prompts import SKELETONS, Skeleton, instance_text
from training.dataset import DataError, Unreadable
from training.picture import Picture

SIGMA = 0.05  # of keypoints of which no skeleton file tells more
Problems = Literal["skip", "refuse"]


@dataclass(frozen=True, slots=True)
class Problem:
    """A malformed entry: which file, which entry (`annotation 7`), and what is wrong with it."""

    file: Path
    entry: str
    reason: str

    def __str__(self) -> str:
        return f"{self.file}: {self.entry} {self.reason}."


@dataclass(slots=True)
class Annotation:
    """One instance: box [4] xyxy px, keypoints [K, 3] with v as in Picture, its class, area px^2 where it is given."""

    box: NDArray[np.float64]
    keypoints: NDArray[np.float64]
    label: int
    ignore: bool
    area: float | None = None


@dataclass(slots=True)
class _Image:
    path: Path
    id: int | str
    size: tuple[float, float] | None  # width and height, where the file tells them
    annotations: list[Annotation] = field(default_factory=list)


class CocoFile:
    """The pictures of an annotation file.

    Attributes:
        skeletons: of the categories that have keypoints.
        problems: what was malformed and left out.
    """

    def __init__(
        self, path: Path, images: Path | None = None, problems: Problems = "skip", empty: bool = False
    ) -> None:
        """`images` is the folder of the pictures, by default that of the file; `empty` keeps those without instances.

        Raises DataError when the file is none of the kind, when nothing in it can be used, and, where problems are
        to be refused, for the first one.
        """
        self.path, self.folder = Path(path), Path(images) if images is not None else Path(path).parent
        self.problems: list[Problem] = []
        self._refuse = problems == "refuse"
        content = _read(self.path)
        self.skeletons, self._labels = self._categories(content)
        found = self._pictures(content)
        self._images = [image for image in found if empty or image.annotations]
        if not any(image.annotations for image in found):
            first = f" The first problem: {self.problems[0]}" if self.problems else ""
            raise DataError(f"{self.path} has no picture with keypoints that can be used.{first}")

    def __len__(self) -> int:
        return len(self._images)

    def refresh(self) -> None:
        """A file does not grow."""

    def __getitem__(self, index: int) -> Picture:
        """Raises DataError when the picture cannot be read, Unreadable where problems are to be skipped."""
        image = self._images[index]
        bgr = cv2.imread(str(image.path), cv2.IMREAD_COLOR)
        if bgr is None:
            reason = "it is damaged or no picture" if image.path.is_file() else "it is gone"
            kind = DataError if self._refuse else Unreadable
            raise kind(f"{self.path}: the picture {image.path} of image {image.id} cannot be read ({reason}).")
        room = max(len(skeleton.keypoints) for skeleton in self.skeletons)
        keypoints = np.tile(np.array((0, 0, -1), np.float32), (len(image.annotations), room, 1))
        for row, annotation in zip(keypoints, image.annotations, strict=True):
            row[: len(annotation.keypoints)] = annotation.keypoints
        height, width = bgr.shape[:2]
        boxes = np.array([a.box for a in image.annotations], np.float32).reshape(-1, 4)
        return Picture(
            cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB),
            boxes.clip(0, (width, height, width, height)),
            keypoints,
            np.array([a.label for a in image.annotations], np.int64),
            np.array([a.ignore for a in image.annotations], bool),
            np.array([a.area or np.nan for a in image.annotations], np.float32),
        )

    def ids(self, index: int) -> tuple[Any, tuple[Any, ...]]:
        """The file's own, of a picture and of the classes."""
        return self._images[index].id, tuple(self._labels)

    def summary(self) -> str:
        """What was left out and why, for a log; empty when nothing was."""
        reasons = Counter(problem.reason for problem in self.problems)
        return "; ".join(f"{count} x {reason}" for reason, count in reasons.most_common(5))

    def _problem(self, entry: str, reason: str) -> None:
        problem = Problem(self.path, entry, reason)
        if self._refuse:
            raise DataError(str(problem))
        self.problems.append(problem)

    def _categories(self, content: dict[str, Any]) -> tuple[tuple[Skeleton, ...], dict[Any, int]]:
        """Skeletons, and their indices by the ids of categories."""
        counts = _keypoint_counts(content["annotations"])
        skeletons: list[Skeleton] = []
        labels: dict[Any, int] = {}
        for entry in content["categories"]:
            if not isinstance(entry, dict) or not _is_id(entry.get("id")) or not str(entry.get("name", "")).strip():
                self._problem(f"category {entry!r:.60}", "has no id or no name")
                continue
            name, edges = f"category {entry['id']}", entry.get("skeleton") or []
            if entry["id"] in labels:
                self._problem(name, "is there twice")
                continue
            names = entry.get("keypoints") or [f"keypoint {i + 1}" for i in range(counts[entry["id"]])]
            if not names:
                continue  # a category without keypoints, as most of COCO's
            if not isinstance(names, list):
                self._problem(name, "has keypoints that are no list of names")
                continue
            names = [str(name) for name in names]
            if len(set(names)) < len(names):
                self._problem(name, "names a keypoint twice")
                continue
            if not _are_edges(edges):
                self._problem(name, "has a skeleton that is no list of pairs of numbers")
                edges = []  # which training can do without
            labels[entry["id"]] = len(skeletons)
            skeletons.append(_skeleton(str(entry["name"]).replace(",", " "), names, edges))
        return tuple(skeletons), labels

    def _pictures(self, content: dict[str, Any]) -> list[_Image]:
        found: dict[Any, _Image] = {}
        for entry in content["images"]:
            told = isinstance(entry, dict) and _is_id(entry.get("id")) and isinstance(entry.get("file_name"), str)
            if not told:
                self._problem(f"image {entry!r:.60}", "has no id or no file name")
                continue
            path = self._picture(entry["file_name"])
            if path is None:
                self._problem(f"image {entry['id']}", f"is not in {self.folder} ({entry['file_name']})")
                continue
            found[entry["id"]] = _Image(path, entry["id"], _size(entry))
        ids = [entry.get("id") for entry in content["images"] if isinstance(entry, dict)]
        missing = {number for number in ids if _is_id(number)} - found.keys()
        for entry in content["annotations"]:
            if not isinstance(entry, dict):
                self._problem(f"annotation {entry!r:.60}", "is no mapping")
                continue
            name = f"annotation {entry.get('id', '?')}"
            if not _is_id(entry.get("category_id")) or not _is_id(entry.get("image_id")):
                self._problem(name, "has no id of a category or of an image")
                continue
            label, image = self._labels.get(entry["category_id"]), found.get(entry["image_id"])
            if label is None or entry["image_id"] in missing:
                continue  # of a category without keypoints, or already told
            if image is None:
                self._problem(name, f"is of image {entry['image_id']}, which is not there")
                continue
            try:
                image.annotations.append(_annotation(entry, label, len(self.skeletons[label].keypoints), image.size))
            except (TypeError, ValueError) as error:
                self._problem(name, str(error))
        return list(found.values())

    def _picture(self, name: str) -> Path | None:
        """The picture of that name; Human-Art's and MP-100's names may begin with folders that are not there."""
        parts = Path(name).parts
        candidates = (self.folder.joinpath(*parts[i:]) for i in range(len(parts)))
        return next((path for path in candidates if path.is_file()), None)


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise DataError(f"The annotations {path} cannot be read ({error.strerror}).") from error
    except ValueError as error:
        raise DataError(f"{path} is no JSON ({error}).") from error
    for name in ("images", "annotations", "categories"):
        if not isinstance(content, dict) or not isinstance(content.get(name), list):
            raise DataError(f"{path} is no annotation file in COCO's format: it has no list '{name}'.")
    return content


def _keypoint_counts(annotations: Iterable[Any]) -> dict[Any, int]:
    """Keypoints of every category, by its first annotation that has some."""
    counts: dict[Any, int] = defaultdict(int)
    for entry in annotations:
        category, points = (
            (entry.get(name) for name in ("category_id", "keypoints")) if isinstance(entry, dict) else (0, 0)
        )
        if isinstance(points, list) and points and _is_id(category) and not counts[category]:
            counts[category] = len(points) if isinstance(points[0], list) else len(points) // 3
    return counts


def _is_id(value: Any) -> bool:
    return isinstance(value, int | str)


def _are_edges(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(edge, list) and len(edge) == 2 and all(isinstance(end, int) for end in edge) for edge in value
    )


def _size(entry: dict[str, Any]) -> tuple[Any, Any] | None:
    width, height = entry.get("width"), entry.get("height")
    told = all(isinstance(side, int | float) and side > 0 for side in (width, height))
    return (width, height) if told else None


def _annotation(entry: dict[str, Any], label: int, count: int, size: tuple[float, float] | None) -> Annotation:
    """Raises ValueError or TypeError saying what is wrong."""
    box, points = entry.get("bbox"), entry.get("keypoints")
    if points is None:
        raise ValueError("has no keypoints")
    try:
        keypoints = np.array(points, np.float64).reshape(-1, 3)
    except (TypeError, ValueError):
        raise ValueError("has keypoints that are no triples of numbers") from None
    if len(keypoints) != count:
        raise ValueError(f"has {len(keypoints)} keypoints where its category has {count}")
    if not isinstance(box, list) or len(box) != 4 or not all(isinstance(x, int | float) for x in box):
        raise ValueError("has no box of four numbers")
    x, y, width, height = map(float, box)
    if not (np.isfinite([x, y, width, height]).all() and width > 0 and height > 0):
        raise ValueError("has an empty box")
    if size is not None and not (x < size[0] and y < size[1] and x + width > 0 and y + height > 0):
        raise ValueError("has a box outside its picture")
    given = keypoints[:, 2] > 0
    if not np.isfinite(keypoints[given]).all() or not np.isin(keypoints[given, 2], (1, 2)).all():
        raise ValueError("has keypoints that are not finite or a visibility other than 0, 1 and 2")
    keypoints[~given] = (0, 0, -1)  # the format does not tell what is outside the picture from what was left out
    area = entry.get("area")
    return Annotation(
        np.array([x, y, x + width, y + height]),
        keypoints,
        label,
        bool(entry.get("iscrowd")),
        float(area) if isinstance(area, int | float) and area > 0 else None,
    )


def _skeleton(category: str, names: list[str], edges: list[list[int]]) -> Skeleton:
    """From our own file when there is one with these keypoints, which knows sigmas; else from the annotation file."""
    path = SKELETONS / f"{instance_text(category).replace(' ', '_')}.yaml"
    for known in (path, SKELETONS / "person.yaml", SKELETONS / "animal.yaml"):  # AP-10K has one skeleton for all
        own = Skeleton.load(known) if known.is_file() else None
        if own is not None and list(map(_plain, own.keypoints)) == list(map(_plain, names)):
            return Skeleton(category, own.keypoints, own.edges, own.pairs, own.sigmas)
    place = {_plain(name): i for i, name in enumerate(names)}
    pairs = [(i, place[other]) for name, i in place.items() if (other := _opposite(name)) in place]
    fit = [(a - 1, b - 1) for a, b in edges if 0 < a <= len(names) and 0 < b <= len(names) and a != b]
    return Skeleton(category, tuple(names), tuple(fit), tuple(pairs), (SIGMA,) * len(names))


def _plain(name: str) -> str:
    """A keypoint's name without its spelling; AP-10K writes L_Eye where others write left_eye."""
    words = instance_text(name).split()
    return " ".join({"l": "left", "r": "right"}.get(word, word) for word in words)


def _opposite(name: str) -> str | None:
    """The right one of a left keypoint."""
    words = name.split()
    return " ".join("right" if word == "left" else word for word in words) if "left" in words else None
