"""A category and its keypoints, as `configs/skeletons/*.yaml` state them."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import yaml

from xpose_stream.engines.xpose.text import PromptError
from xpose_stream.settings import parse, why

_TOLD = 5  # fields that are unknown
FIELDS = ("category", "keypoints", "edges", "left_right", "sigmas")

# Of keypoints whose annotations nobody has measured: the median of the shipped skeletons' medians.
USUAL_SIGMA = 0.06

Pairs = tuple[tuple[int, int], ...]


class Mistakes:
    """What is wrong with what a user wrote, so that all of it is told at once.

    As a context it notes the PromptError of its block and goes on behind it.
    """

    def __init__(self) -> None:
        self._sentences: list[str] = []

    def add(self, sentence: str) -> None:
        """Note one, unless it is known."""
        if sentence not in self._sentences:
            self._sentences.append(sentence)

    def tell(self) -> None:
        """Raise PromptError with all of them, if there are any."""
        if self._sentences:
            raise PromptError("; ".join(sentence.removesuffix(".") for sentence in self._sentences) + ".")

    def __enter__(self) -> Mistakes:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        if isinstance(error, PromptError):
            self.add(str(error))
            return True
        return False


@dataclass(frozen=True)
class Skeleton:
    """The K keypoints of a category; edges and left-right pairs are pairs of indices into `keypoints`.

    `sigmas` [K]: standard deviation of a keypoint's annotation as a share of the square root of the object's area,
    as in COCO's object keypoint similarity.
    """

    category: str
    keypoints: tuple[str, ...]
    edges: Pairs
    pairs: Pairs
    sigmas: tuple[float, ...]

    @classmethod
    def load(cls, path: str | Path) -> Skeleton:
        """Read a YAML file with the fields of FIELDS. Raises PromptError naming file and field."""
        try:
            values = parse(Path(path).read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise PromptError(f"{path} cannot be read ({error}).") from error
        except yaml.YAMLError as error:
            raise PromptError(f"{path} is no YAML: {why(error)}.") from error
        try:
            return cls.from_dict(values)
        except PromptError as error:
            raise PromptError(f"{path}: {error}") from None

    @classmethod
    def from_dict(cls, values: Any) -> Skeleton:
        """Check plain values and build a skeleton; `as_dict` is its inverse.

        Without edges there are none to draw, without left_right those pairs are taken that are named left and right,
        without sigmas all are USUAL_SIGMA. Raises PromptError naming all fields that are wrong.
        """
        if not isinstance(values, dict):
            raise PromptError(f"a skeleton must be a mapping with {', '.join(FIELDS)}.")
        wrong = Mistakes()
        for field in ("category", "keypoints"):
            if field not in values:
                wrong.add(f"the field '{field}' is missing.")
        if unknown := [str(field) for field in values if field not in FIELDS]:
            told = ", ".join(f"'{field}'" for field in unknown[:_TOLD]) + (", …" if unknown[_TOLD:] else "")
            what = "the fields" if unknown[1:] else "the field"
            wrong.add(f"{what} {told} {'are' if unknown[1:] else 'is'} unknown; a skeleton has {', '.join(FIELDS)}.")
        category = values.get("category", "?")
        names: tuple[str, ...] = ("?",)
        if not isinstance(category, str) or not category.strip() or "," in category:
            wrong.add("the field 'category' must be one name without a comma.")
        with wrong:
            names = names_of(values.get("keypoints", ["?"]))
            edges: Pairs = ()
            pairs, sigmas = sides(names), (USUAL_SIGMA,) * len(names)
            with wrong:
                edges = _pairs(values.get("edges", []), names, "edges")
            with wrong:
                pairs = _pairs(values["left_right"], names, "left_right") if "left_right" in values else pairs
            with wrong:
                sigmas = _sigmas(values["sigmas"], len(names)) if "sigmas" in values else sigmas
        wrong.tell()
        return cls(category.strip(), names, edges, pairs, sigmas)

    def as_dict(self) -> dict[str, Any]:
        """Plain values with the fields of FIELDS; pairs by name."""
        return {
            "category": self.category,
            "keypoints": list(self.keypoints),
            "edges": [[self.keypoints[a], self.keypoints[b]] for a, b in self.edges],
            "left_right": [[self.keypoints[a], self.keypoints[b]] for a, b in self.pairs],
            "sigmas": list(self.sigmas),
        }


def sides(names: tuple[str, ...]) -> Pairs:
    """Pairs of names that differ in left and right alone."""
    places = {name.lower(): place for place, name in enumerate(names)}
    mirrored = {place: re.sub(r"(?<![^\W_])left(?![^\W_])", "right", name) for name, place in places.items()}
    return tuple((a, places[b]) for a, b in mirrored.items() if b in places and places[b] != a)


def names_of(value: Any) -> tuple[str, ...]:
    """The keypoints in a list; raises PromptError when it is none."""
    if not isinstance(value, list) or not value or not all(isinstance(name, str) and name.strip() for name in value):
        raise PromptError("the field 'keypoints' must be a list of names.")
    if len(set(value)) < len(value):
        twice = next(name for name in value if value.count(name) > 1)
        raise PromptError(f"the field 'keypoints' names '{twice}' twice.")
    return tuple(value)


def _pairs(value: Any, names: tuple[str, ...], field: str) -> Pairs:
    if not isinstance(value, list) or not all(isinstance(pair, list) and len(pair) == 2 for pair in value):
        raise PromptError(f"the field '{field}' must be a list of pairs of keypoint names.")
    for pair in value:
        for name in pair:
            if name not in names:
                raise PromptError(f"the field '{field}' names '{name}', which is no keypoint of this skeleton.")
        if pair[0] == pair[1]:
            raise PromptError(f"the field '{field}' pairs '{pair[0]}' with itself.")
    return tuple((names.index(a), names.index(b)) for a, b in value)


def _sigmas(value: Any, count: int) -> tuple[float, ...]:
    if not isinstance(value, list) or len(value) != count:
        raise PromptError(f"the field 'sigmas' must be a list of {count} numbers, one per keypoint.")
    for sigma in value:
        if isinstance(sigma, bool) or not isinstance(sigma, int | float) or not 0 < sigma < math.inf:
            raise PromptError(f"the field 'sigmas' has {sigma!r} where a number above 0 is needed.")
    return tuple(float(sigma) for sigma in value)
