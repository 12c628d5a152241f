"""Other words for the same thing, so that a text encoder learns what is meant and not how it is spelt."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from xpose_stream.engines.prompts.bank import Skeleton, instance_text, keypoint_text
from xpose_stream.engines.prompts.synonyms import SYNONYMS

LIMBS = {"hip": "leg", "knee": "leg", "ankle": "leg", "shoulder": "arm", "elbow": "arm", "wrist": "arm"}


def category_wordings(category: str) -> list[str]:
    """The category as it is named, then synonyms of it."""
    text = instance_text(category)
    return [text, *SYNONYMS.get(text, ())]


def keypoint_wordings(keypoint: str) -> list[str]:
    """The keypoint as it is named, then in other words: "left knee", "knee of the left leg", "knee on the left"."""
    text = keypoint_text(keypoint)
    words = text.split()
    side = next((word for word in words if word in ("left", "right")), None)
    if side is None:
        return [text]
    rest = " ".join(word for word in words if word != side)
    where = f"{side} {LIMBS[rest]}" if rest in LIMBS else f"{side} side"
    return [
        text,
        *dict.fromkeys(w for w in (f"{rest} of the {where}", f"{rest} on the {side}", f"{rest} {side}") if w != text),
    ]


def vocabulary(skeletons: Iterable[Skeleton]) -> list[str]:
    """Every word of every wording, sorted."""
    texts = {text for s in skeletons for text in category_wordings(s.category)}
    texts |= {text for s in skeletons for keypoint in s.keypoints for text in keypoint_wordings(keypoint)}
    return sorted({word for text in texts for word in text.replace("-", " ").split()})


def reworded(skeleton: Skeleton, rng: np.random.Generator, share: float = 1.0) -> tuple[str, list[str]]:
    """The category and its keypoints in words, each with probability `share` in other words where there are any."""

    def pick(texts: list[str]) -> str:
        return texts[int(rng.integers(1, len(texts)))] if len(texts) > 1 and rng.random() < share else texts[0]

    return pick(category_wordings(skeleton.category)), [pick(keypoint_wordings(k)) for k in skeleton.keypoints]
