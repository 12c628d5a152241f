"""What an example is recognised as: words that the weights know say better than one picture what is meant."""

from __future__ import annotations

from typing import NamedTuple

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from torch.nn import functional as F

# Cosine from which what an example shows is taken for the nearest words, to which training has brought it close: with
# xpose-nano most held-out examples of what it knows lie above, most of cars, bicycles and birds below.
ALIKE = 0.65
ALIKE_KEYPOINT = 0.45
EXAMPLE_SHARE = 0.2  # of a prompt in words and by example, in training too


class Embedded(NamedTuple):
    """A category [P], its keypoints [K, P], and [K] True where something is known of one; or N of them, [N, ...]."""

    instance: Tensor
    keypoints: Tensor
    known: Tensor


def combine(said: Embedded, shown: Embedded) -> Embedded:
    """Words and examples of one category: the words where the examples are like them, else both, weighed.

    Where only one of them knows a keypoint, that alone.
    """
    alike = F.cosine_similarity(said.instance, shown.instance, dim=0) >= ALIKE
    own = 0.0 if alike else EXAMPLE_SHARE
    share = torch.where(said.known, own, 1.0).where(shown.known, 0.0).unsqueeze(-1)
    instance = said.instance + own * (shown.instance - said.instance)
    return Embedded(instance, said.keypoints + share * (shown.keypoints - said.keypoints), said.known | shown.known)


def recognise(seen: Embedded, known: Embedded) -> Embedded:
    """The words that an example's embedding comes nearest to, or the example itself where none is near.

    `known` are the words of N categories. No two keypoints are taken for the same one of the category.
    """
    alike = F.cosine_similarity(seen.instance, known.instance, dim=-1)
    nearest = int(alike.argmax())
    if alike[nearest] < ALIKE:
        return seen
    words = known.keypoints[nearest][known.known[nearest]]
    shown = seen.known.nonzero()[:, 0]
    alike = F.cosine_similarity(seen.keypoints[shown, None], words, dim=-1)
    row, column = (torch.from_numpy(index) for index in linear_sum_assignment(alike.numpy(), maximize=True))
    sure = alike[row, column] >= ALIKE_KEYPOINT
    said = seen.keypoints.clone()
    said[shown[row[sure]]] = words[column[sure]]
    return Embedded(known.instance[nearest], said, seen.known)
