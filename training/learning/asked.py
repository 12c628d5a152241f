"""What one step of training asks the model for: which classes, in which words, shown by which examples."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from xpose_stream.engines.prompts.bank import Skeleton
from xpose_stream.engines.prompts.recognition import EXAMPLE_SHARE
from xpose_stream.engines.xpose import Marked
from xpose_stream.training.data.mixture import Mixture
from xpose_stream.training.data.targets import Targets
from xpose_stream.training.data.wording import reworded

LEAST_SEEN = 3  # visible keypoints of an example, or all where a class has fewer
LEAST_SIDE = 0.12  # root of the share of the picture that an example's box covers
HIDDEN = 0.5  # of the examples mark hidden keypoints too, as annotators of COCO do


@dataclass(frozen=True, slots=True)
class Asked:
    """C classes of a mixture and B images.

    Attributes:
        skeletons: of the classes.
        texts: of every class its category and its keypoints in words.
        mask: [C, K] True where a class has a keypoint.
        sigmas: [C, K].
        targets: what the images show, with classes 0 to C - 1 and K keypoints.
        marked: E instances of the images that serve as examples, and of which image, class they are [E].
        example: [B, C] the example that shows class c to image b, always one of another image; -1: none.
        weight: [B, C] share of the example in the prompt; the rest is that of the words.
    """

    skeletons: tuple[Skeleton, ...]
    texts: list[tuple[str, list[str]]]
    mask: Tensor
    sigmas: Tensor
    targets: Targets
    marked: Marked
    picture: Tensor
    label: Tensor
    example: Tensor
    weight: Tensor

    def to(self, device: torch.device) -> Asked:
        """The same on a device."""
        names = "mask", "sigmas", "picture", "label", "example", "weight"
        moved = {name: getattr(self, name).to(device, non_blocking=True) for name in names}
        marked = Marked(*(part.to(device, non_blocking=True) for part in self.marked))
        return replace(self, targets=self.targets.to(device), marked=marked, **moved)


def ask(
    targets: Targets,
    data: Mixture,
    rng: np.random.Generator,
    *,
    classes: int,
    few: float,
    rewording: float,
    shares: tuple[float, float, float],
) -> Asked:
    """Ask for the classes that a batch shows and for absent ones beside them, `classes` together at most.

    `few` is the probability of asking for any number up to that, as users do: classes that are never asked for without
    others are found everywhere when they are. `rewording` is the probability of other words; `shares` are those of
    prompts in words, by example, and both.
    """
    if rng.random() < few:
        classes = int(rng.integers(1, classes, endpoint=True))
    present = np.unique(targets.classes[targets.real].numpy())
    absent = np.setdiff1d(np.flatnonzero(targets.known.any(0).numpy()), present)
    chosen = np.concatenate((rng.permutation(present), rng.permutation(absent)))[:classes]
    if not len(chosen):
        chosen = rng.permutation(len(data.skeletons))[:classes]
    chosen = rng.permutation(chosen)
    room = int(data.mask[chosen].sum(1).max())
    skeletons = tuple(data.skeletons[i] for i in chosen)
    targets = _of_classes(targets, torch.from_numpy(chosen), room)
    picture, slot, example = _choose_examples(targets, len(chosen), rng)
    least = torch.from_numpy(np.where(rng.random((len(slot), 1)) < HIDDEN, 1, 2))
    marked = targets.visibility[picture, slot] >= least
    kind = torch.from_numpy(rng.choice(3, size=example.shape, p=shares))
    return Asked(
        skeletons,
        [reworded(skeleton, rng, rewording) for skeleton in skeletons],
        torch.from_numpy(data.mask[chosen, :room]),
        torch.from_numpy(data.sigmas[chosen, :room]),
        targets,
        Marked(targets.boxes[picture, slot], targets.keypoints[picture, slot], marked),
        picture,
        targets.classes[picture, slot],
        example,
        torch.tensor((0.0, 1.0, EXAMPLE_SHARE))[kind] * (example >= 0),
    )


def _of_classes(targets: Targets, chosen: Tensor, room: int) -> Targets:
    """The same with classes renumbered as in `chosen`; instances of others become empty slots."""
    rank = torch.full((int(max(chosen.max(), targets.classes.max())) + 1,), -1)
    rank[chosen] = torch.arange(len(chosen))
    classes = rank[targets.classes]
    kept = classes >= 0
    return replace(
        targets,
        classes=classes.clamp(min=0),
        real=targets.real & kept,
        ignore=targets.ignore & kept,
        keypoints=targets.keypoints[:, :, :room],
        visibility=targets.visibility[:, :, :room],
        trust=None if targets.trust is None else targets.trust[:, :, :room],
        known=targets.known[:, chosen],
    )


def _choose_examples(targets: Targets, classes: int, rng: np.random.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Image and slot [E] of the examples, up to two of a class and those of different images; and `example` [B, C]."""
    seen = (targets.visibility == 2).sum(-1)
    enough = seen >= (targets.visibility >= 0).sum(-1).clamp(max=LEAST_SEEN, min=1)
    fit = targets.real & enough & (targets.boxes[..., 2:].prod(-1).sqrt() >= LEAST_SIDE)
    labels = targets.classes.where(fit, torch.tensor(-1)).numpy()
    rows: list[tuple[int, int]] = []
    example = np.full((len(labels), classes), -1)
    for label in range(classes):
        candidates: NDArray[np.int64] = rng.permutation(np.argwhere(labels == label))
        first = candidates[:1]
        second = candidates[candidates[:, 0] != first[0, 0]][:1] if len(first) else first
        for image, slot in (*second, *first):  # the first overwrites the second wherever it may
            others = np.arange(len(labels)) != image
            example[others, label] = len(rows)
            rows.append((int(image), int(slot)))
    places = torch.tensor(rows, dtype=torch.long).reshape(-1, 2)
    return places[:, 0], places[:, 1], torch.from_numpy(example)
