"""A category and its keypoints, as `configs/skeletons/*.yaml` state them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from engines.text import PromptError

FIELDS = ("category", "keypoints", "edges", "left_right", "sigmas")

Pairs = tuple[tuple[int, int], ...]


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
            values = yaml.safe_load(Path(path).read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise PromptError(f"{path} cannot be read ({error}).") from error
        except (ValueError, yaml.YAMLError) as error:  # ValueError: a date that is none
            raise PromptError(f"{path} is no YAML: {' '.join(str(error).split())}.") from error
        try:
            return cls.from_dict(values)
        except PromptError as error:
            raise PromptError(f"{path}: {error}") from None

    @classmethod
    def from_dict(cls, values: Any) -> Skeleton:
        """Check plain values and build a skeleton; `as_dict` is its inverse. Raises PromptError naming the field."""
        if not isinstance(values, dict):
            raise PromptError(f"a skeleton must be a mapping with {', '.join(FIELDS)}.")
        for field in FIELDS:
            if field not in values:
                raise PromptError(f"the field '{field}' is missing.")
        for field in values:
            if field not in FIELDS:
                raise PromptError(f"the field '{field}' is unknown; a skeleton has {', '.join(FIELDS)}.")
        category = values["category"]
        if not isinstance(category, str) or not category.strip() or "," in category:
            raise PromptError("the field 'category' must be one name without a comma.")
        names = _names(values["keypoints"])
        return cls(
            category.strip(),
            names,
            _pairs(values["edges"], names, "edges"),
            _pairs(values["left_right"], names, "left_right"),
            _sigmas(values["sigmas"], len(names)),
        )

    def as_dict(self) -> dict[str, Any]:
        """Plain values with the fields of FIELDS; pairs by name."""
        return {
            "category": self.category,
            "keypoints": list(self.keypoints),
            "edges": [[self.keypoints[a], self.keypoints[b]] for a, b in self.edges],
            "left_right": [[self.keypoints[a], self.keypoints[b]] for a, b in self.pairs],
            "sigmas": list(self.sigmas),
        }


def _names(value: Any) -> tuple[str, ...]:
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
