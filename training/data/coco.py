"""Annotations in COCO's format as pictures: COCO, Human-Art, AP-10K, MP-100, and UniKPT's one file for many categories.

They differ in small ways, all of which are taken: keypoint names per category or none (then `keypoint 1` and on),
keypoints flat or as triples, file names that begin with the data set's folder or are of Windows, categories without any
keypoint. Pictures are as large and as turned as the file states: labels of a picture that was made smaller since are
scaled with it, and EXIF turns nothing that was labelled unturned.
"""

from __future__ import annotations

import json
import os
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path, PureWindowsPath
from typing import Any, Literal

import cv2
import numpy as np
from numpy.typing import NDArray

from xpose_stream.engines.prompts.bank import SKELETONS, Skeleton, instance_text
from xpose_stream.training.data.dataset import DataError, Unreadable
from xpose_stream.training.data.picture import Picture

SIGMA = 0.05  # of keypoints of which no skeleton file tells more
Problems = Literal["skip", "refuse"]
_ID = "an id is a whole number or a text"


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
    """One instance: box [4] xyxy px, keypoints [K, 3] with v as in Picture, class; area px^2, trust [K] if given."""

    box: NDArray[np.float64]
    keypoints: NDArray[np.float64]
    label: int
    ignore: bool
    area: float | None = None
    trust: NDArray[np.float32] | None = None


@dataclass(slots=True)
class _Image:
    path: Path
    id: int | str
    size: tuple[float, float] | None  # width and height, where the file tells them
    annotations: list[Annotation] = field(default_factory=list)
    spoilt: bool = False  # a label of it was left out, and so nobody knows what else is in it


class CocoFile:
    """The pictures of an annotation file.

    Attributes:
        skeletons: of the categories that have keypoints.
        problems: what was malformed and left out.
    """

    def __init__(
        self, path: Path, images: Path | None = None, problems: Problems = "skip", empty: bool = False
    ) -> None:
        """`images` is the folder of the pictures, by default that of the file; `empty` keeps those without instances,
        but none of which a label was left out, where what is found would seem to be wrong.

        Raises DataError when the file is none of the kind, when nothing in it can be used, and, where problems are
        to be refused, for the first one.
        """
        self.path, self.folder = Path(path), Path(images) if images is not None else Path(path).parent
        self.problems: list[Problem] = []
        self._refuse = problems == "refuse"
        content = _read(self.path)
        self.skeletons, self._labels = self._categories(content)
        found = self._pictures(content)
        self._images = [image for image in found if (not image.spoilt if empty else image.annotations)]
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
        bgr, scale = self._pixels(image)
        room = max(len(skeleton.keypoints) for skeleton in self.skeletons)
        keypoints = np.tile(np.array((0, 0, -1), np.float32), (len(image.annotations), room, 1))
        trust = np.ones((len(image.annotations), room), np.float32)
        for row, sure, annotation in zip(keypoints, trust, image.annotations, strict=True):
            row[: len(annotation.keypoints)] = annotation.keypoints
            if annotation.trust is not None:
                sure[: len(annotation.trust)] = annotation.trust
        keypoints[..., :2] *= scale
        height, width = bgr.shape[:2]
        boxes = np.array([a.box for a in image.annotations], np.float32).reshape(-1, 4) * np.tile(scale, 2)
        return Picture(
            cv2.cvtColor(bgr, cv2.COLOR_BGR2RGB),
            boxes.clip(0, (width, height, width, height)),
            keypoints,
            np.array([a.label for a in image.annotations], np.int64),
            np.array([a.ignore for a in image.annotations], bool),
            np.array([a.area or np.nan for a in image.annotations], np.float32) * scale.prod(),
            trust,
        )

    def _pixels(self, image: _Image) -> tuple[NDArray[Any], NDArray[np.float32]]:
        """The picture, blue first, and what its labels are to be multiplied with (x, y). Raises as reading does."""
        kind = DataError if self._refuse else Unreadable
        here = f"{self.path}: the picture {image.path} of image {image.id}"
        bgr: Any = cv2.imread(str(image.path), cv2.IMREAD_COLOR)
        if bgr is None:
            reason = "it is damaged or no picture" if image.path.is_file() else "it is gone"
            raise kind(f"{here} cannot be read ({reason}).")
        if (scale := _scale(bgr, image.size)) is None:
            # Labelled with a program that takes pictures as they are stored.
            bgr = cv2.imread(str(image.path), cv2.IMREAD_COLOR | cv2.IMREAD_IGNORE_ORIENTATION)
            scale = _scale(bgr, image.size)
        if scale is None:
            height, width = bgr.shape[:2]
            stated = "{:g}x{:g}".format(*image.size or ())
            raise kind(f"{here} is {width}x{height}, and its labels are for {stated}, which has other proportions.")
        return bgr, scale

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
                self._problem(f"category {_short(entry)}", f"has no id or no name ({_ID})")
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
        twice: set[Any] = set()  # whose labels are, nobody can tell
        for entry in content["images"]:
            told = isinstance(entry, dict) and _is_id(entry.get("id")) and isinstance(entry.get("file_name"), str)
            if not told:
                self._problem(f"image {_short(entry)}", f"has no id or no file name ({_ID})")
                continue
            path = self._picture(entry["file_name"])
            if path is None:
                self._problem(f"image {entry['id']}", f"is not in {self.folder} ({entry['file_name']})")
                continue
            if other := found.get(entry["id"]):
                twice.add(entry["id"])
                self._problem(f"image {entry['id']}", f"is there twice ({other.path.name}, {path.name})")
            found[entry["id"]] = _Image(path, entry["id"], _size(entry))
        found = {number: image for number, image in found.items() if number not in twice}
        ids = [entry.get("id") for entry in content["images"] if isinstance(entry, dict)]
        missing = {number for number in ids if _is_id(number)} - found.keys()
        # Those that may have labels: most of COCO's have no keypoints.
        given = [entry for entry in content["categories"] if isinstance(entry, dict) and _is_id(entry.get("id"))]
        labelled = {entry["id"]: bool(entry.get("keypoints")) for entry in given}
        first: dict[tuple[Any, ...], str] = {}  # of those that are equal
        for entry in content["annotations"]:
            if not isinstance(entry, dict):
                self._problem(f"annotation {_short(entry)}", "is no mapping")
                continue
            name = f"annotation {entry.get('id', '?')}"
            if not _is_id(entry.get("category_id")) or not _is_id(entry.get("image_id")):
                self._problem(name, f"has no id of a category or of an image ({_ID})")
                continue
            label, image = self._labels.get(entry["category_id"]), found.get(entry["image_id"])
            if entry["image_id"] in missing:
                continue  # already told
            if image is None:
                self._problem(name, f"is of image {entry['image_id']}, which is not there")
                continue
            if label is None:
                image.spoilt |= labelled.get(entry["category_id"], True)
                if entry["category_id"] not in labelled:
                    self._problem(name, f"is of category {entry['category_id']}, which is not there")
                continue
            same = image.id, label, repr(entry.get("keypoints")), repr(entry.get("bbox"))
            if same in first:
                self._problem(name, f"is {first[same]} once more")
                continue
            first[same] = name
            try:
                image.annotations.append(_annotation(entry, label, len(self.skeletons[label].keypoints), image.size))
            except (TypeError, ValueError) as error:
                image.spoilt = True
                self._problem(name, str(error))
        return list(found.values())

    def _picture(self, name: str) -> Path | None:
        """The picture of that name; Human-Art's and MP-100's names may begin with folders that are not there."""
        spellings = (Path(name).parts, PureWindowsPath(name).parts)
        candidates = (self.folder.joinpath(*parts[i:]) for parts in spellings for i in range(len(parts)))
        return next((path for path in candidates if os.path.isfile(path)), None)  # also of names that can be none


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_bytes())  # in any UTF, with or without a mark of it
    except OSError as error:
        raise DataError(f"The annotations {path} cannot be read ({error.strerror}).") from error
    except RecursionError:
        raise DataError(f"{path} is no annotation file: it is nested too deeply.") from None
    except ValueError as error:
        raise DataError(f"{path} is no JSON ({error}).") from error
    for name in ("images", "annotations", "categories"):
        if not isinstance(content, dict) or not isinstance(content.get(name), list):
            raise DataError(f"{path} is no annotation file in COCO's format: it has no list '{name}'.")
        content[name] = [_with_whole_ids(entry) for entry in content[name]]
    return content


def _with_whole_ids(entry: Any) -> Any:
    """The same with 1 for 1.0, which a table with gaps makes of ids."""
    if not isinstance(entry, dict):
        return entry
    ids = ((key, entry.get(key)) for key in ("id", "image_id", "category_id"))
    return entry | {key: int(value) for key, value in ids if isinstance(value, float) and value.is_integer()}


def _short(entry: Any) -> str:
    text = repr(entry)
    return text if len(text) <= 60 else f"{text[:59]}…"


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


def _scale(bgr: Any, stated: tuple[float, float] | None) -> NDArray[np.float32] | None:
    """By how much the picture is larger than stated (x, y); None when its proportions are others."""
    if stated is None:
        return np.ones(2, np.float32)
    width, height = bgr.shape[1], bgr.shape[0]
    # A picture made smaller is rounded to whole px.
    agree = abs(width - height * stated[0] / stated[1]) <= 1 or abs(height - width * stated[1] / stated[0]) <= 1
    return np.array((width / stated[0], height / stated[1]), np.float32) if agree else None


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
    trust = _trust(entry.get("trust"), count)
    # The format does not tell what is outside the picture from what was left out; who tells trust has looked at all.
    keypoints[~given] = (0, 0, -1 if trust is None else 0)
    area = entry.get("area")
    return Annotation(
        np.array([x, y, x + width, y + height]),
        keypoints,
        label,
        bool(entry.get("iscrowd")),
        float(area) if isinstance(area, int | float) and area > 0 else None,
        trust,
    )


def _trust(given: Any, count: int) -> NDArray[np.float32] | None:
    """How far keypoints are to be trusted, ours beside COCO's fields. Raises ValueError or TypeError."""
    if given is None:
        return None
    trust = np.array(given, np.float32)
    if trust.shape != (count,) or not ((trust >= 0) & (trust <= 1)).all():
        raise ValueError(f"has a trust that is not {count} numbers from 0 to 1")
    return trust


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
