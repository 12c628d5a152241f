"""What a user asks for: a category with its keypoints, in words, by examples, or both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import yaml

from engines.example import Example
from engines.skeleton import Skeleton
from engines.text import PromptError

SKELETONS = Path(__file__).parents[1] / "configs" / "skeletons"


@dataclass(frozen=True, slots=True, eq=False)
class Prompt:
    """A category with its keypoints (`skeleton`), said in words, shown by examples, or both.

    Raises PromptError when it is neither, or an example has another number of keypoints.
    """

    skeleton: Skeleton
    words: bool = True
    examples: tuple[Example, ...] = ()

    def __post_init__(self) -> None:
        if not self.words and not self.examples:
            raise PromptError(f"the prompt '{self.skeleton.category}' has neither words nor examples.")
        for example in self.examples:
            if len(example.keypoints) != len(self.skeleton.keypoints):
                raise PromptError(f"an example of '{self.skeleton.category}' has another number of keypoints.")

    @property
    def kind(self) -> str:
        """What it is given in: "words", "examples" or "words+examples"."""
        return "+".join(name for name, given in (("words", self.words), ("examples", self.examples)) if given)

    @classmethod
    def load(cls, path: str | Path) -> Prompt:
        """Read a YAML file: a skeleton's fields or `skeleton: NAME`, and perhaps `words: false` and `examples`.

        An example is a mapping of `image` (a path, relative to the file), `box` [x0, y0, x1, y1] and `keypoints`, a
        mapping of names to [x, y], all in px of the image. Raises PromptError naming file and field.
        """
        path = Path(path)
        try:
            values = yaml.safe_load(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise PromptError(f"{path} cannot be read ({error}).") from error
        except (ValueError, yaml.YAMLError) as error:  # ValueError: a date that is none
            raise PromptError(f"{path} is no YAML: {' '.join(str(error).split())}.") from error
        try:
            return _prompt(values, path.parent)
        except PromptError as error:
            raise PromptError(f"{path}: {error}") from None


def find_prompts(names: Sequence[str]) -> list[Prompt]:
    """Prompts from names of categories, which mean their words, or paths of prompt files. Raises PromptError."""
    return [Prompt.load(name) if is_file(name) else Prompt(find_skeletons([name])[0]) for name in names]


def is_file(name: str) -> bool:
    """Whether a prompt's name is the path of a prompt file and no category."""
    return name.endswith((".yaml", ".yml"))


def find_skeletons(categories: Sequence[str], folder: Path = SKELETONS) -> list[Skeleton]:
    """The skeleton file of every category. Raises PromptError listing those there are when one has none."""
    files = skeleton_files(folder)
    for category in categories:
        if instance_text(category) not in files:
            raise PromptError(f"There is no skeleton for '{category}' in {folder}; there are: {', '.join(files)}.")
    return [Skeleton.load(files[instance_text(category)]) for category in categories]


def skeleton_files(folder: Path = SKELETONS) -> dict[str, Path]:
    """The skeleton file of every category that has one."""
    return {instance_text(path.stem): path for path in sorted(folder.glob("*.yaml"))}


def instance_text(category: str) -> str:
    """A category as the text encoders read it: lower case, `_` and `-` are blanks."""
    return " ".join(category.lower().replace("_", " ").replace("-", " ").split())


def keypoint_text(keypoint: str) -> str:
    """A keypoint's name as the text encoders read it: lower case, `_` is a blank, `-` stays."""
    return " ".join(keypoint.lower().replace("_", " ").split())


def _prompt(values: Any, folder: Path) -> Prompt:
    if not isinstance(values, dict):
        raise PromptError("a prompt must be a mapping with a skeleton's fields or the field 'skeleton'.")
    values = dict(values)
    words, examples = values.pop("words", True), values.pop("examples", [])
    if not isinstance(words, bool):
        raise PromptError("the field 'words' must be true or false.")
    if not isinstance(examples, list):
        raise PromptError("the field 'examples' must be a list.")
    if "skeleton" in values:
        named = find_skeletons([str(values.pop("skeleton"))])[0]
        category = values.pop("category", named.category)
        skeleton = Skeleton.from_dict(replace(named, category=str(category)).as_dict() | values)
    else:
        skeleton = Skeleton.from_dict(values)
    return Prompt(skeleton, words, tuple(_example(one, i, skeleton, folder) for i, one in enumerate(examples, 1)))


def _example(values: Any, number: int, skeleton: Skeleton, folder: Path) -> Example:
    where = f"example {number}"
    if not isinstance(values, dict) or set(values) != {"image", "box", "keypoints"}:
        raise PromptError(f"{where} must be a mapping with image, box and keypoints.")
    if not isinstance(values["keypoints"], dict):
        raise PromptError(f"the keypoints of {where} must be a mapping of names to [x, y].")
    picture = cv2.imread(str(folder / str(values["image"])), cv2.IMREAD_COLOR)
    if picture is None:
        raise PromptError(f"the image {folder / str(values['image'])} of {where} cannot be read.")
    points = np.full((len(skeleton.keypoints), 2), np.nan)
    for name, place in values["keypoints"].items():
        if name not in skeleton.keypoints:
            raise PromptError(f"{where} has the keypoint '{name}', which is none of {skeleton.category}'s.")
        point = _numbers(place, 2, f"the keypoint '{name}' of {where}")
        if not ((point >= 0) & (point <= picture.shape[1::-1])).all():
            raise PromptError(f"the keypoint '{name}' of {where} lies outside its picture.")
        points[skeleton.keypoints.index(name)] = point
    box = _numbers(values["box"], 4, f"the box of {where}")
    try:
        return Example(np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), np.uint8), box, points)
    except PromptError as error:
        raise PromptError(f"{where}: {error}") from None


def _numbers(value: Any, count: int, what: str) -> np.ndarray:
    fit = isinstance(value, list) and len(value) == count
    if not fit or not all(isinstance(x, int | float) and not isinstance(x, bool) and np.isfinite(x) for x in value):
        raise PromptError(f"{what} must be {count} numbers.")
    return np.array(value, np.float64)
