"""What an example is recognised as: words that the weights know say better than one picture what is meant."""

from __future__ import annotations

from typing import NamedTuple

import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor
from torch.nn import functional as F

# Cosine from which what an example shows is taken for the nearest words, to which training has brought it close
# (docs/evaluation.md has what is measured on known and unseen categories).
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


def recognise(seen: Embedded, instances: Tensor, keypoints: Tensor, mask: Tensor) -> Embedded:
    """The words that an example's embedding comes nearest to, or the example itself where none is near.

    The words are those of N categories [N, P] and their keypoints [N, K, P] with mask [N, K]. No two keypoints are
    taken for the same one of the category.
    """
    alike = F.cosine_similarity(seen.instance, instances, dim=-1)
    nearest = int(alike.argmax())
    if alike[nearest] < ALIKE:
        return seen
    words = keypoints[nearest][mask[nearest]]
    shown = seen.known.nonzero()[:, 0]
    alike = F.cosine_similarity(seen.keypoints[shown, None], words, dim=-1)
    row, column = (torch.from_numpy(index) for index in linear_sum_assignment(alike.numpy(), maximize=True))
    sure = alike[row, column] >= ALIKE_KEYPOINT
    said = seen.keypoints.clone()
    said[shown[row[sure]]] = words[column[sure]]
    return Embedded(instances[nearest], said, seen.known)
