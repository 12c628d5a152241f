"""The baseline for a category nobody trained on: what the trained category with the most similar names would answer."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from difflib import SequenceMatcher

import numpy as np

from xpose_stream.engines.prompts.bank import Skeleton, instance_text, keypoint_text
from xpose_stream.training.exam.evaluation import Found


def nearest(skeleton: Skeleton, known: Sequence[Skeleton]) -> tuple[Skeleton, list[int]]:
    """The known skeleton whose category and keypoints are called most alike, and its keypoint for each of ours."""

    def fit(other: Skeleton) -> float:
        names = [max(alike(own, theirs) for theirs in other.keypoints) for own in skeleton.keypoints]
        return alike(skeleton.category, other.category) + float(np.mean(names))

    best = max(known, key=fit)
    chosen = [int(np.argmax([alike(own, theirs) for theirs in best.keypoints])) for own in skeleton.keypoints]
    return best, chosen


def alike(one: str, other: str) -> float:
    """Similarity of two names in 0..1: words in common, and letters where there are none."""
    a, b = keypoint_text(instance_text(one)), keypoint_text(instance_text(other))
    words, others = set(a.split()), set(b.split())
    return len(words & others) / len(words | others) + 0.1 * SequenceMatcher(None, a, b).ratio()


def borrowed(answer: Found, chosen: Sequence[int]) -> Found:
    """An answer for another category, with its keypoints in the order of ours."""
    rows = np.array(chosen)
    scores, sigmas = answer.keypoint_scores, answer.keypoint_sigmas
    return replace(
        answer,
        keypoints=answer.keypoints[rows],
        keypoint_scores=None if scores is None else scores[rows],
        keypoint_sigmas=None if sigmas is None else sigmas[rows],
    )
