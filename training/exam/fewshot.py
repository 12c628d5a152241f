"""PCK by MP-100's protocol: a category is shown by one or five instances and looked for in others of it.

As in POMNet (Xu et al., ECCV 2022) and CapeFormer (Shi et al., CVPR 2023): an episode takes a category of the split, K
examples and some queries, all cut out by their true boxes; a keypoint counts where both the query and the examples show
it; it is right within 0.2 of the box's longer side; an instance's PCK is the mean over its keypoints, a category's
that over its queries, the result that over categories.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from xpose_stream.engines.checkpoint import Checkpoint
from xpose_stream.engines.prompts.bank import embed_examples, example_encoder
from xpose_stream.engines.prompts.example import Example, normalised
from xpose_stream.training.data.mixture import Mixture

AT_ONCE = 15


def few_shot(
    checkpoint: Checkpoint,
    data: Mixture,
    shots: int,
    *,
    episodes: int = 200,
    queries: int = 15,
    threshold: float = 0.2,
    seed: int = 0,
) -> dict[str, float]:
    """PCK per category that has more than `shots` instances, and under "mean" that of all."""
    rng = np.random.default_rng(seed)
    places = _instances(data)
    encode = example_encoder(checkpoint)
    scores: dict[str, float] = {}
    for label, skeleton in enumerate(data.skeletons):
        if len(places[label]) <= shots:
            continue
        values: list[float] = []
        for _ in range(episodes):
            drawn = rng.permutation(len(places[label]))[: shots + queries]
            examples = [_example(data, *places[label][i]) for i in drawn]
            support, asked = examples[:shots], examples[shots:]
            prompts = [tensor[None] for tensor in embed_examples(support, encode)]
            known = prompts[-1][0].numpy()
            for query, points in zip(asked, _answers(checkpoint, prompts, asked), strict=True):
                counted = known & query.present
                if counted.any():
                    size = float((query.box[2:] - query.box[:2]).max())
                    values.append(accuracy(points[counted], query.keypoints[counted], size, threshold))
        if values:
            scores[skeleton.category] = float(np.mean(values))
    return scores | {"mean": float(np.mean(list(scores.values()))) if scores else float("nan")}


def accuracy(points: NDArray[np.float64], truth: NDArray[np.float64], size: float, threshold: float) -> float:
    """Share of the K points [K, 2] within threshold * size of the truth; those that are NaN are wrong."""
    distance = np.linalg.norm(points - truth, axis=1)
    return float(np.mean(np.nan_to_num(distance, nan=np.inf) <= threshold * size))


@torch.inference_mode()
def _answers(
    checkpoint: Checkpoint, prompts: Sequence[Tensor], asked: Sequence[Example]
) -> Iterator[NDArray[np.float64]]:
    """Keypoints [K, 2] in every query's picture, of the group that fits its box and is sure of it."""
    config, device = checkpoint.model.config, next(checkpoint.model.parameters()).device
    size = np.array((config.long_side, config.short_side))
    prompts = [tensor.to(device) for tensor in prompts]
    for first in range(0, len(asked), AT_ONCE):
        queries = asked[first : first + AT_ONCE]
        views = [query.view(*size.tolist()) for query in queries]
        images = torch.from_numpy(np.stack([normalised(view.rgb) for view in views]))
        output = checkpoint.model(images.to(device), *prompts)
        logits, boxes, keypoints = (part.double().cpu().numpy() for part in output[:3])
        for i, (query, view) in enumerate(zip(queries, views, strict=True)):
            corners = np.concatenate((boxes[i, :, :2] - boxes[i, :, 2:] / 2, boxes[i, :, :2] + boxes[i, :, 2:] / 2), 1)
            fit = _ious(corners * np.tile(size, 2), view.box) / (1 + np.exp(-logits[i, :, 0]))
            points = keypoints[i, int(fit.argmax())] * size
            scale = (query.box[2] - query.box[0]) / (view.box[2] - view.box[0])
            yield (points - view.box[:2]) * scale + query.box[:2]


def _ious(boxes: NDArray[np.float64], one: NDArray[np.float64]) -> NDArray[np.float64]:
    shared = (np.minimum(boxes[:, 2:], one[2:]) - np.maximum(boxes[:, :2], one[:2])).clip(0).prod(1)
    union = (boxes[:, 2:] - boxes[:, :2]).prod(1) + (one[2:] - one[:2]).prod() - shared
    return np.asarray(shared / np.maximum(union, 1e-9), np.float64)


def _instances(data: Mixture) -> dict[int, list[tuple[int, int]]]:
    """Picture and row of every class's instances that have a keypoint."""
    places: dict[int, list[tuple[int, int]]] = defaultdict(list)
    for index in range(len(data)):
        picture = data.readable(index)
        if picture is None:
            continue
        inside = (picture.boxes[:, :2] < picture.boxes[:, 2:]).all(1)
        for row in np.flatnonzero(inside & ~picture.ignore & (picture.keypoints[..., 2] > 0).any(1)):
            places[int(picture.classes[row])].append((index, int(row)))
    return places


def _example(data: Mixture, index: int, row: int) -> Example:
    picture = data[index]
    own = picture.keypoints[row, : len(data.skeletons[picture.classes[row]].keypoints)].astype(float)
    points = np.where(own[:, 2:] > 0, own[:, :2], np.nan)
    return Example(picture.rgb, picture.boxes[row].astype(float), points)
