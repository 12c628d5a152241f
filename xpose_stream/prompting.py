"""What a program asks for: words, files, or examples from its own pictures."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from xpose_stream.engines import Checkpoint, PromptBank, prompts_for
from xpose_stream.engines.prompts.bank import embed_prompts
from xpose_stream.engines.prompts.example import Example, around
from xpose_stream.engines.prompts.prompt import Prompt
from xpose_stream.engines.prompts.skeleton import Skeleton

Asked = str | Path | Prompt | Sequence[Prompt]


def example(
    image: Any,
    keypoints: Mapping[str, tuple[float, float]],
    box: tuple[float, float, float, float] | None = None,
    *,
    category: str = "thing",
    edges: Sequence[tuple[str, str]] = (),
) -> Prompt:
    """One thing in a picture with its keypoints, as a prompt for all that look like it.

    image      uint8 [height, width, 3], red first.
    keypoints  px x, y by name, from the top left corner of the picture.
    box        px x0, y0, x1, y1 around the thing; by default around its keypoints with a margin.
    edges      pairs of names to draw a line between.

    Raises Error when there is no keypoint, or the box lies outside the picture.
    """
    names, points = list(keypoints), np.array(list(keypoints.values()), float).reshape(-1, 2)
    skeleton = Skeleton.from_dict({"category": category, "keypoints": names, "edges": [list(pair) for pair in edges]})
    where = around(points) if box is None else np.array(box)
    return Prompt(skeleton, words=False, examples=(Example(np.asarray(image), where, points),))


def embedded(asked: Asked, checkpoint: Checkpoint, clip: str | Path | None) -> PromptBank:
    """A prompt of any kind as what the model takes. Raises Error."""
    if isinstance(asked, str | Path):
        return prompts_for(checkpoint, str(asked), clip)
    return embed_prompts([asked] if isinstance(asked, Prompt) else list(asked), checkpoint, clip)
