"""The gate between a compiled engine and the stream: it must answer what eager answers."""

from __future__ import annotations

import torch
from torch import Tensor

from xpose_stream.engines.xpose import XPoseOutput

TOLERANCE = {"float32": 0.05, "float16": 0.5}  # px of the model's input
SCORE_TOLERANCE = {"float32": 1e-3, "float16": 2e-2}
_DETECTED = 0.1  # the score from which a group is a detection


class ParityError(ValueError):
    """A compiled engine whose answers are not eager's; the message is one sentence."""


def check_parity(reference: XPoseOutput, found: XPoseOutput, size: tuple[int, int], precision: str) -> float:
    """The larger `difference` in px; raises ParityError when it, or that of the scores, is above its tolerance."""
    error, gap = difference(reference, found, size)
    if not error <= TOLERANCE[precision]:
        raise ParityError(f"boxes or keypoints are {error:.3g} px from eager's, {TOLERANCE[precision]} px are allowed")
    if not gap <= SCORE_TOLERANCE[precision]:
        raise ParityError(f"scores are {gap:.2g} from eager's, {SCORE_TOLERANCE[precision]} is allowed")
    return error


def difference(reference: XPoseOutput, found: XPoseOutput, size: tuple[int, int]) -> tuple[float, float]:
    """The largest difference of boxes and keypoints, in px of an input of `size` (width, height), and of scores.

    Compared is every group that is a detection, and the best group of every image, with the group of `found` that is
    nearest to it: groups of equal score may stand in another order.
    """
    errors, gaps = zip(*map(_differences, *_images(reference, size), *_images(found, size)), strict=True)
    return max(errors), max(gaps)


def check_rows(found: XPoseOutput, size: tuple[int, int], precision: str) -> None:
    """Raises ParityError unless all images of a batch of equal images got the same answer."""
    for row in range(1, len(found.logits)):
        try:
            check_parity(found.rows(0, 1), found.rows(row, row + 1), size, precision)
        except ParityError as error:
            raise ParityError(f"equal images of a batch differ: {error}") from None


def _images(output: XPoseOutput, size: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Per image: scores [G, C] and points [G, 2 + K, 2] in px, the box as its two corners."""
    logits, boxes, keypoints = (tensor.detach().double().cpu() for tensor in output[:3])
    corners = torch.stack((boxes[..., :2] - boxes[..., 2:] / 2, boxes[..., :2] + boxes[..., 2:] / 2), -2)
    return logits.sigmoid(), torch.cat((corners, keypoints), -2) * torch.tensor(size)


def _differences(scores: Tensor, points: Tensor, found_scores: Tensor, found_points: Tensor) -> tuple[float, float]:
    best = scores.amax(-1)
    compared = best >= torch.minimum(best.max(), torch.tensor(_DETECTED))
    apart = (points[compared].unsqueeze(1) - found_points).norm(dim=-1).amax(-1)  # [compared, G]
    nearest = apart.nan_to_num(torch.inf).argmin(1)
    gap = (scores[compared] - found_scores[nearest]).abs().max()
    error = apart[torch.arange(len(apart)), nearest].max()
    return float(error.nan_to_num(torch.inf)), float(gap.nan_to_num(torch.inf))
