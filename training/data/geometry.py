"""Overlap of boxes and similarity of keypoint sets, differentiable and broadcasting over leading axes."""

from __future__ import annotations

import torch
from torch import Tensor

# COCO's silhouettes of persons cover about this share of their box; OKS is defined on the silhouette's area.
AREA_OF_BOX = 0.53


def corners(boxes: Tensor) -> Tensor:
    """[..., 4] cx, cy, w, h -> x0, y0, x1, y1."""
    half = boxes[..., 2:] / 2
    return torch.cat((boxes[..., :2] - half, boxes[..., :2] + half), -1)


def centres(boxes: Tensor) -> Tensor:
    """[..., 4] x0, y0, x1, y1 -> cx, cy, w, h."""
    return torch.cat(((boxes[..., :2] + boxes[..., 2:]) / 2, boxes[..., 2:] - boxes[..., :2]), -1)


def overlap(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """IoU and generalised IoU of boxes a and b, [..., 4] cx, cy, w, h that broadcast; two tensors [...].

    Source: Rezatofighi et al., Generalized Intersection over Union (CVPR 2019).
    """
    a, b = corners(a), corners(b)
    low, high = torch.maximum(a[..., :2], b[..., :2]), torch.minimum(a[..., 2:], b[..., 2:])
    shared = (high - low).clamp(min=0).prod(-1)
    union = (a[..., 2:] - a[..., :2]).prod(-1) + (b[..., 2:] - b[..., :2]).prod(-1) - shared
    low, high = torch.minimum(a[..., :2], b[..., :2]), torch.maximum(a[..., 2:], b[..., 2:])
    hull = (high - low).prod(-1)
    iou = shared / union.clamp(min=1e-7)
    return iou, iou - (hull - union) / hull.clamp(min=1e-7)


def similarity(predicted: Tensor, keypoints: Tensor, boxes: Tensor, sigmas: Tensor, aspect: float) -> Tensor:
    """COCO's exp(-d^2 / (2 area k^2)) of every keypoint, k = 2 sigma: OKS before the mean over keypoints.

    Args:
        predicted, keypoints: [..., K, 2] fractions of the image, broadcasting.
        boxes: [..., 4] cx, cy, w, h of the true instances, whose silhouette is taken as a share of the box.
        sigmas: [K], or [..., K].
        aspect: width / height of the image.

    Returns:
        [..., K] in 0..1.
    """
    scale = predicted.new_tensor((aspect, 1.0))
    squared = ((predicted - keypoints) * scale).square().sum(-1)
    area = AREA_OF_BOX * aspect * boxes[..., 2:].prod(-1, keepdim=True)
    return torch.exp(-squared / (8 * area * sigmas.square()).clamp(min=1e-9))
