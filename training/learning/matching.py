"""Which prediction answers for which instance: the Hungarian assignment of DETR, for many layers at once."""

from __future__ import annotations

import numpy as np
import torch
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from xpose_stream.training.data.geometry import overlap, similarity
from xpose_stream.training.data.targets import Targets

# Costs as in the paper's family: class 2, box L1 5, GIoU 2; keypoint L1 and OKS as their losses.
CLASS, BOX, GIOU, KEYPOINT, OKS = 2.0, 5.0, 2.0, 10.0, 3.0
ALPHA, GAMMA = 0.25, 2
# A pair that was matched before stays together, whatever its cost now.
KEPT = 1e3


def match(
    logits: Tensor,
    boxes: Tensor,
    targets: Targets,
    keypoints: Tensor | None = None,
    sigmas: Tensor | None = None,
    kept: Tensor | None = None,
) -> Tensor:
    """The prediction of every instance in every layer.

    Args:
        logits: [L, B, Q, C] of L layers (decoder layers of one kind).
        boxes: [L, B, Q, 4] cx, cy, w, h.
        keypoints: [L, B, Q, K, 2], with sigmas [B, M, K], where the layers predict them.
        kept: [B, Q, M] True for pairs that an earlier layer matched and that stay.

    Returns:
        [L, B, M] index of the query; -1 where a slot is not real or more instances than queries want one.
    """
    with torch.no_grad():
        cost = pair_costs(logits, boxes, targets, keypoints, sigmas)
        if kept is not None:
            cost = cost - KEPT * kept
    return assign(cost, targets.real)


def pair_costs(
    logits: Tensor, boxes: Tensor, targets: Targets, keypoints: Tensor | None = None, sigmas: Tensor | None = None
) -> Tensor:
    """Cost [L, B, Q, M] of giving each instance to each query; arguments as in `match`."""
    probability = logits.sigmoid()
    cost = ALPHA * (1 - probability) ** GAMMA * -(probability + 1e-8).log()
    cost = cost - (1 - ALPHA) * probability**GAMMA * -(1 - probability + 1e-8).log()
    classes = targets.classes[None, :, None, :].expand(*logits.shape[:3], -1)
    true_boxes = targets.boxes[:, None]  # [B, 1, M, 4]
    pairs = boxes[..., None, :]  # [L, B, Q, 1, 4]
    total = CLASS * cost.gather(-1, classes)
    total = total + BOX * (pairs - true_boxes).abs().sum(-1) - GIOU * overlap(pairs, true_boxes)[1]
    if keypoints is not None:
        assert sigmas is not None
        labelled = (targets.visibility > 0).to(boxes.dtype)[:, None]  # [B, 1, M, K]
        share = labelled / labelled.sum(-1, keepdim=True).clamp(min=1)
        points, true_points = keypoints[..., None, :, :], targets.keypoints[:, None]
        distance = (points - true_points).abs().sum(-1)  # [L, B, Q, M, K]
        alike = similarity(points, true_points, true_boxes, sigmas[:, None], targets.aspect)
        total = total + ((KEYPOINT * distance + OKS * (1 - alike)) * share).sum(-1)
    return total


def assign(cost: Tensor, real: Tensor) -> Tensor:
    """Cheapest one-to-one assignment of the real columns of cost [L, B, Q, M] (real [B, M]); [L, B, M], -1 for none."""
    # One transfer for all layers and images; the solver runs on the host.
    numbers = np.nan_to_num(cost.float().cpu().numpy(), nan=1e6, posinf=1e6, neginf=-1e6)
    columns = [np.flatnonzero(row) for row in real.cpu().numpy()]
    queries = np.full(numbers.shape[:2] + numbers.shape[3:], -1, np.int64)
    for layer, image in np.ndindex(*numbers.shape[:2]):
        rows, picked = linear_sum_assignment(numbers[layer, image][:, columns[image]])
        queries[layer, image, columns[image][picked]] = rows
    return torch.from_numpy(queries).to(cost.device)
