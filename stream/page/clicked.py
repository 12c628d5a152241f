"""Prompts made by clicking: what a prompt file says, said with frames that are held instead of pictures."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import yaml

from xpose_stream.engines import PromptError
from xpose_stream.engines.prompts.example import Example
from xpose_stream.engines.prompts.prompt import Prompt, find_skeletons, instance_text, skeleton_files
from xpose_stream.engines.prompts.skeleton import Skeleton
from xpose_stream.stream.page.orders import Clicked, Marks
from xpose_stream.stream.sources.frame import Frame

FOLDER = Path("prompts")  # beside which the program was started
_SIGMA = 0.06  # of a keypoint that no skeleton file knows, as most of them have
_DECIMALS = 2  # of a px, in a prompt and in its file alike

Held = Callable[[str, int], Frame]


def prompt_of(clicked: Clicked, held: Held) -> Prompt:
    """The prompt; `held` gives a frame by camera and number, or raises PromptError. Raises PromptError."""
    skeleton = skeleton_of(clicked)
    return Prompt(skeleton, clicked.words, tuple(_example(marks, skeleton, held) for marks in clicked.examples))


def skeleton_of(clicked: Clicked) -> Skeleton:
    """Sigmas and left-right pairs are those of the skeleton file with the same keypoints, if there is one."""
    if any(max(edge) >= len(clicked.keypoints) for edge in clicked.edges):
        raise PromptError("an edge needs two of the keypoints.")
    names = list(clicked.keypoints)
    alike = next((known for known in find_skeletons(list(skeleton_files())) if list(known.keypoints) == names), None)
    said = alike.as_dict() if alike else {"keypoints": names, "left_right": [], "sigmas": [_SIGMA] * len(names)}
    edges = [[names[a], names[b]] for a, b in clicked.edges]
    return Skeleton.from_dict(said | {"category": " ".join(clicked.category.split()), "edges": edges})


def save(clicked: Clicked, held: Held, folder: Path = FOLDER) -> Path:
    """Write the prompt file and its pictures into `folder`, under a name that is free there. Raises PromptError."""
    prompt = prompt_of(clicked, held)
    values: dict[str, Any] = prompt.skeleton.as_dict() | {"words": prompt.words, "examples": []}
    stem = re.sub(r"[^\w-]+", "_", instance_text(prompt.skeleton.category)).strip("_")[:60] or "prompt"
    try:
        folder.mkdir(exist_ok=True)
        path = _free(folder, stem)
        for number, example in enumerate(prompt.examples, 1):
            image = path.with_name(f"{path.stem}-{number}.png")
            image.write_bytes(cv2.imencode(".png", example.rgb[..., ::-1])[1].tobytes())
            points = zip(prompt.skeleton.keypoints, example.keypoints.tolist(), strict=True)
            given = {name: point for name, point in points if np.isfinite(point).all()}
            values["examples"].append({"image": image.name, "box": example.box.tolist(), "keypoints": given})
        path.write_text(yaml.safe_dump(values, sort_keys=False, allow_unicode=True), encoding="utf-8")
    except OSError as error:
        raise PromptError(f"the prompt cannot be written into {folder}: {error.strerror or error}.") from None
    return path


def _free(folder: Path, stem: str) -> Path:
    """A prompt file that is new, begun so that nobody else takes its name."""
    for number in range(1, 10_000):
        path = folder / (f"{stem}.yaml" if number == 1 else f"{stem}_{number}.yaml")
        try:
            path.touch(exist_ok=False)
        except FileExistsError:
            continue
        return path
    raise PromptError(f"{folder} has ten thousand prompts called {stem}; choose another name.")


def _example(marks: Marks, skeleton: Skeleton, held: Held) -> Example:
    frame = held(marks.camera, marks.frame)
    if len(marks.keypoints) != len(skeleton.keypoints):
        raise PromptError("an example has another number of keypoints than the prompt.")
    low, high = np.zeros(2), np.array((frame.width, frame.height))
    points = np.array([(np.nan, np.nan) if point is None else point for point in marks.keypoints])
    given = points[np.isfinite(points).all(1)]
    if ((given < low) | (given > high)).any():
        raise PromptError("a keypoint lies outside its picture.")
    if not np.isfinite(marks.box).all():
        raise PromptError("the box has no finite corners.")
    return Example(frame.to_rgb(), np.round(marks.box, _DECIMALS), np.round(points, _DECIMALS))
