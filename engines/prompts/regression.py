"""Rows fitted to examples: what tells a marked keypoint from everything else in the pictures that show it.

Ridge regression over turned and scaled views of the examples' own pictures, as correlation filters are fitted to what
they follow (Henriques et al., High-speed tracking with kernelized correlation filters, TPAMI 2015).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as F

from xpose_stream.engines.prompts.example import Example, normalised
from xpose_stream.engines.resize import target_size
from xpose_stream.engines.xpose import XPose
from xpose_stream.engines.xpose.likeness import TURNS, seen
from xpose_stream.engines.xpose.looks import AROUND, LOOKS, STRIDE, TIMES, lay_out

Points = NDArray[np.float64]
VIEWS = ((0.0, 1.0), (-15.0, 0.9), (15.0, 1.1), (-15.0, 1.1), (15.0, 0.9))  # of every way round: degrees and scale
ALIGNED = 30.0  # degrees: from which on one example is another one turned, not only bent
ABOUT = 0.8  # cells: how wide what is wanted around a keypoint is
TOLD = 0.05  # of what is wanted: the least that counts as the keypoint
ELSEWHERE = 150  # cells of a view that stand for all without a keypoint
WEIGHT = 30.0  # how much more a cell with a keypoint counts than one without
RIDGE = 60.0
MOST = 25  # views of one way round: of many examples fewer each, but one of every example
ITSELF = 0.6  # how much a keypoint's own look counts beside what was fitted to one example; the more examples the less
NEIGHBOUR = 0.5  # of the weight of a cell itself, in its look


class Shown(NamedTuple):
    """An example as it is seen."""

    rgb: NDArray[np.uint8]  # [h, w, 3], as large as the model sees it
    keypoints: Points  # [K, 2] px; NaN where one is not given
    centre: Points  # [2] px, about which it is turned
    turned: float  # degrees counterclockwise from the first example


class Cells(NamedTuple):
    """Some cells of a view."""

    seen: Tensor  # [n, PATCH]
    wanted: Tensor  # [K, n]; NaN for keypoints that are not in the view
    weight: Tensor  # [n]


def show(model: XPose, examples: Sequence[Example]) -> list[Shown]:
    """Examples as the model sees them, and how they are turned to each other."""
    shown: list[Shown] = []
    for example in examples:
        height, width = example.rgb.shape[:2]
        size = target_size(width, height, model.config.short_side, model.config.long_side)
        scale = np.array(size) / (width, height)
        small: Any = cv2.resize(example.rgb, size, interpolation=cv2.INTER_AREA)
        keypoints, centre = example.keypoints * scale, (example.box[:2] + example.box[2:]) / 2 * scale
        turned = angle_between(shown[0].keypoints, keypoints) if shown else 0.0
        shown.append(Shown(small, keypoints, centre, turned))
    return shown


def angle_between(first: Points, other: Points) -> float:
    """Degrees counterclockwise, as seen, that best turn keypoints [K, 2] into others (Procrustes); 0 below ALIGNED."""
    both = np.isfinite(first).all(1) & np.isfinite(other).all(1)
    if both.sum() < 2:
        return 0.0
    a, b = first[both] - first[both].mean(0), other[both] - other[both].mean(0)
    angle = float(np.degrees(np.arctan2((a[:, 1] * b[:, 0] - a[:, 0] * b[:, 1]).sum(), (a * b).sum())))
    return angle if abs(angle) >= ALIGNED else 0.0


def turning(degrees: float) -> Points:
    """[2, 2] that turns points with y downwards counterclockwise, as it is seen: points @ it."""
    angle = np.radians(degrees)
    return np.array(((np.cos(angle), -np.sin(angle)), (np.sin(angle), np.cos(angle))))


def fit(model: XPose, examples: Sequence[Shown]) -> Tensor:
    """Rows [K, TURNS, PATCH], about 1 on the keypoints of examples and 0 elsewhere."""
    rng, each = np.random.default_rng(0), VIEWS[: max(1, MOST // len(examples))]
    turns = []
    for turn in range(TURNS):
        angles = [360 / TURNS * turn - example.turned for example in examples]
        views = [
            [_cells(model, *_view(example, upright + angle, scale), rng) for angle, scale in each]
            for example, upright in zip(examples, angles, strict=True)
        ]
        itself = _look([own[0] for own in views]) * (ITSELF / len(examples))
        turns.append(_rows([cells for own in views for cells in own]) + itself)
    return torch.stack(turns, 1)


def _view(example: Shown, angle: float, scale: float) -> tuple[NDArray[np.uint8], Points, NDArray[np.bool_]]:
    """A view, its keypoints, and which px of it the picture has."""
    height, width = example.rgb.shape[:2]
    size = width, height
    matrix = cv2.getRotationMatrix2D((float(example.centre[0]), float(example.centre[1])), angle, scale)
    rgb: Any = cv2.warpAffine(example.rgb, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)
    real = cv2.warpAffine(np.ones((height, width), np.uint8), matrix, size) > 0
    points = example.keypoints @ matrix[:, :2].T + matrix[:, 2]
    inside = ((points >= 0) & (points < size)).all(1, keepdims=True)
    return rgb, np.where(inside, points, np.nan), np.asarray(real, np.bool_)


@torch.no_grad()
def _cells(
    model: XPose, rgb: NDArray[np.uint8], points: Points, real: NDArray[np.bool_], rng: np.random.Generator
) -> Cells:
    """The cells at the keypoints of a view, and some of the others."""
    assert model.guess is not None  # else there are no looks
    height, width = rgb.shape[:2]
    image = torch.from_numpy(normalised(rgb))[None].to(next(model.parameters()).device)
    maps = lay_out(model.levels(image)[model.config.levels :], (height, width))
    y, x = (axis.ravel() + 0.5 for axis in np.indices(maps.size))
    away = (x - points[:, :1] / STRIDE) ** 2 + (y - points[:, 1:] / STRIDE) ** 2
    wanted = np.exp(-away / (2 * ABOUT**2))  # K, N
    near = np.nan_to_num(wanted).max(0) > TOLD
    row, column = (np.minimum((axis * STRIDE).astype(int), side - 1) for axis, side in ((y, height), (x, width)))
    others = np.flatnonzero(~near & real[row, column])
    some = rng.choice(others, min(ELSEWHERE, len(others)), replace=False)
    chosen = np.concatenate((np.flatnonzero(near), some))
    weight = np.ones(len(chosen))
    weight[near.sum() :] = len(others) / max(len(some), 1) / WEIGHT
    places = image.new_tensor(np.stack((x[chosen], y[chosen]), -1))
    parts = [
        F.grid_sample(
            look,
            (2 * places / places.new_tensor((look.shape[3] * times, look.shape[2] * times)) - 1)[None, None],
            align_corners=False,
            padding_mode="border",
        )[0, :, 0]
        for look, times in zip(seen(maps.looks, model.guess.metric), TIMES, strict=True)
    ]
    return Cells(
        torch.cat(parts).T.cpu(), torch.from_numpy(wanted[:, chosen]).float(), torch.from_numpy(weight).float()
    )


def _look(views: list[Cells]) -> Tensor:
    """What keypoints look like in the mean of these views, as rows [K, PATCH] that are 1 on what looks just so."""
    around = torch.tensor([1.0 if at == (0, 0) else NEIGHBOUR for at in AROUND])
    weight = torch.cat([(around / around.sum()).repeat_interleave(width) for width in LOOKS]) / len(LOOKS)
    there = torch.stack([view.wanted.isfinite().any(1) for view in views]).float().unsqueeze(-1)  # E, K, 1
    looks = torch.stack([view.seen[view.wanted.nan_to_num(0.0).argmax(1)] for view in views])
    return (looks * there).sum(0) / there.sum(0).clamp(min=1.0) * weight


def _rows(cells: list[Cells]) -> Tensor:
    """Rows [K, PATCH]; a keypoint's are of the views in which it is."""
    x, wanted = torch.cat([own.seen for own in cells]), torch.cat([own.wanted for own in cells], 1)
    scale = torch.cat([own.weight for own in cells]).sqrt().unsqueeze(1)
    rows, known = torch.zeros(len(wanted), x.shape[1]), wanted.isfinite()
    for views in known.unique(dim=0):
        if views.any():
            which = (known == views).all(1)
            rows[which] = _ridge(x[views] * scale[views], wanted[which][:, views].T * scale[views]).T
    return rows


def _ridge(x: Tensor, y: Tensor) -> Tensor:
    """[n, p] and [n, K] to [p, K], by the smaller one of two equal systems."""
    few = len(x) < x.shape[1]
    gram = x @ x.T if few else x.T @ x
    gram.diagonal().add_(RIDGE)
    factor = torch.linalg.cholesky(gram)
    return x.T @ torch.cholesky_solve(y, factor) if few else torch.cholesky_solve(x.T @ y, factor)
