"""What a user asks for: a category with its keypoints, in words, by examples, or both."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import yaml

from xpose_stream.engines.prompts.example import Example, around
from xpose_stream.engines.prompts.skeleton import Mistakes, Skeleton, names_of
from xpose_stream.engines.prompts.synonyms import forms, meanings, spoken
from xpose_stream.engines.xpose.text import PromptError
from xpose_stream.settings import parse, why

SKELETONS = Path(__file__).parents[2] / "configs" / "skeletons"


@dataclass(frozen=True, slots=True, eq=False)
class Prompt:
    """A category with its keypoints (`skeleton`), said in words, shown by examples, or both.

    words: True, False, or None: where the weights know them. Raises PromptError when it is neither, or an example has
    another number of keypoints.
    """

    skeleton: Skeleton
    words: bool | None = True
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
        said = self.words is not False
        return "+".join(name for name, given in (("words", said), ("examples", self.examples)) if given)

    @classmethod
    def load(cls, path: str | Path) -> Prompt:
        """Read a YAML file: a skeleton's fields, or a `category` or `skeleton` that has a file, and perhaps examples.

        An example is a mapping of `image` (a path, relative to the file), `keypoints`, a mapping of names to [x, y],
        and perhaps `box` [x0, y0, x1, y1], all in px of the image; a single one may stand at the top. docs/prompts.md
        tells the defaults. Raises PromptError naming the file and all that is wrong with it.
        """
        path = Path(path)
        try:
            values = parse(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise PromptError(f"{path} cannot be read ({error}).") from error
        except yaml.YAMLError as error:
            raise PromptError(f"{path} is no YAML: {why(error)}.") from error
        try:
            return _prompt(values, path.parent)
        except PromptError as error:
            raise PromptError(f"{path}: {error}") from None


def is_file(name: str) -> bool:
    """Whether a prompt's name is the path of a prompt file and no category."""
    return name.lower().endswith((".yaml", ".yml"))


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
        raise PromptError("a prompt must be a mapping with a category, an image and keypoints.")
    wrong, values = Mistakes(), dict(values)
    words, examples = values.pop("words", None), _examples(values, wrong)
    if words is not None and not isinstance(words, bool):
        wrong.add("the field 'words' must be true or false.")
    skeleton: Skeleton | None = None
    with wrong:
        skeleton = _skeleton(values, examples)
    names = skeleton.keypoints if skeleton else None
    with suppress(PromptError):  # told already; the examples are looked at all the same
        names = names or names_of(values.get("keypoints"))
    made = []
    for number, one in enumerate(examples, 1):
        with wrong:
            made.append(_example(one, f"example {number}", names, folder))
    if words is False and not examples:
        wrong.add("it has neither words nor examples.")
    wrong.tell()
    assert skeleton is not None
    return Prompt(skeleton, True if words is None and not made else words, tuple(made))


def _examples(values: dict[str, Any], wrong: Mistakes) -> list[Any]:
    """Those in the list and the one at the top, taken out of `values`."""
    listed = values.pop("examples", [])
    if not isinstance(listed, list):
        wrong.add("the field 'examples' must be a list.")
        listed = []
    marked = isinstance(values.get("keypoints"), dict)
    alone: dict[str, Any] = {name: values.pop(name) for name in ("image", "box") if name in values}
    if alone or marked:
        alone |= {"keypoints": values.pop("keypoints")} if marked else {}
        return [alone, *listed]
    return listed


def _skeleton(values: dict[str, Any], examples: list[Any]) -> Skeleton:
    """What is written, else the file of the category that is named, else the keypoints of the examples."""
    named = values.pop("skeleton", None)
    shown: list[Any] = []
    for one in examples:
        if isinstance(one, dict) and isinstance(one.get("keypoints"), dict):
            shown += [name for name in map(str, one["keypoints"]) if name not in shown]
    usual = None
    if named is not None:
        usual = find_skeletons([str(named)])[0]
    elif "keypoints" not in values and isinstance(values.get("category"), str):
        usual = _shipped(values["category"])
        if usual is not None and not set(shown) <= set(usual.keypoints):
            usual = None
    if usual is not None:
        return Skeleton.from_dict(usual.as_dict() | values)
    return Skeleton.from_dict(({"keypoints": shown} if shown else {}) | values)


def _shipped(category: str) -> Skeleton | None:
    files = skeleton_files()
    for form in forms(spoken(category)):
        for name in (form, *meanings(form)):
            if name in files:
                return Skeleton.load(files[name])
    return None


def _example(values: Any, where: str, names: tuple[str, ...] | None, folder: Path) -> Example:
    """`names` None: it is not known which keypoints there are, so that only the rest can be looked at."""
    if not isinstance(values, dict) or not {"image", "keypoints"} <= set(values) <= {"image", "box", "keypoints"}:
        raise PromptError(f"{where} must be a mapping with image, keypoints and perhaps box.")
    wrong, picture, box = Mistakes(), None, None
    if not isinstance(values["keypoints"], dict):
        wrong.add(f"the keypoints of {where} must be a mapping of names to [x, y].")
    path = folder / Path(str(values["image"])).expanduser()
    with suppress(OSError, ValueError, cv2.error):
        picture = cv2.imdecode(np.frombuffer(path.read_bytes(), np.uint8), cv2.IMREAD_COLOR)
    if picture is None:
        wrong.add(f"the image {path} of {where} cannot be read.")
    marked = values["keypoints"] if isinstance(values["keypoints"], dict) else {}
    places = {str(name): place for name, place in marked.items()}
    names = names or tuple(places)
    points = np.full((len(names), 2), np.nan)
    for name, place in places.items():
        with wrong:
            point = _numbers(place, 2, f"the keypoint '{name}' of {where}")
            if name not in names:
                raise PromptError(f"{where} has the keypoint '{name}', which is none of {', '.join(names)}.")
            if picture is not None and not ((point >= 0) & (point <= picture.shape[1::-1])).all():
                raise PromptError(f"the keypoint '{name}' of {where} lies outside its picture.")
            points[names.index(name)] = point
    if values.get("box") is not None:
        with wrong:
            box = _numbers(values["box"], 4, f"the box of {where}")
    wrong.tell()
    try:
        assert picture is not None
        rgb = np.asarray(cv2.cvtColor(picture, cv2.COLOR_BGR2RGB), np.uint8)
        return Example(rgb, around(points) if box is None else box, points)
    except PromptError as error:
        raise PromptError(f"{where}: {error}") from None


def _numbers(value: Any, count: int, what: str) -> np.ndarray:
    fit = isinstance(value, list) and len(value) == count
    if not fit or not all(isinstance(x, int | float) and not isinstance(x, bool) and np.isfinite(x) for x in value):
        raise PromptError(f"{what} must be {count} numbers.")
    return np.array(value, np.float64)
