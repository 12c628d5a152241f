"""Fits the estimate of confidence for weights that were never taught it, and says what it is worth on other pictures.

    python benchmarks/estimate.py --data data/bank8-test --weights configs/models/xpose-nano.safetensors

Clues and truth come from the keypoints of detections that match an instance. Half of the pictures gives the constants
of `engines/xpose/confidence.py`, the other half the figures: with these constants, and with those in that file.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import torch
import typer
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.stats import spearmanr

from xpose_stream.engines.checkpoint import load
from xpose_stream.engines.detect import detect
from xpose_stream.engines.prompts.bank import prompts_for
from xpose_stream.engines.prompts.example import normalised
from xpose_stream.engines.xpose.confidence import SPREAD, clues
from xpose_stream.training.data.sources import open_sources
from xpose_stream.training.exam.confidence import Judged, auroc
from xpose_stream.training.exam.evaluation import found, matched
from xpose_stream.training.exam.scorecard import Quiz

# A keypoint this far off, as a share of the box, is on something else; no sigma is to be stretched to explain it.
FARTHEST = 0.5


def main(
    data: Annotated[str, typer.Option(help="Folder of a bank.")] = "data/bank8-test",
    weights: Annotated[Path, typer.Option(help="Weights of our own.")] = Path("configs/models/xpose-nano.safetensors"),
    pictures: Annotated[int, typer.Option(help="How many.", min=20)] = 600,
    prompt: Annotated[str, typer.Option(help="Category the weights know.")] = "person",
) -> None:
    """Fit and print."""
    rows = collect(data, weights, pictures, prompt)
    half = rows[:, 0] < pictures // 2
    spread = fit(rows[half])
    print(f"{len(rows)} keypoints; fitted SPREAD = {np.round(spread, 3).tolist()}")
    for name, constants in (("fitted", spread), ("in the file", np.array(SPREAD))):
        measures = judge(rows[~half], constants).measures()
        print(f"{name:12s}", "  ".join(f"{key} {value:.3f}" for key, value in measures.items()))
    for column, name in enumerate(("movement", "extent", "disagreement", "score"), start=3):
        hidden = auroc(-rows[:, column] if name != "score" else rows[:, column], rows[:, 1] > 0.5)
        related = correlation(rows, column)
        print(f"{name:12s} rank correlation with the error {related:.3f}, AUROC of visibility {hidden:.3f}")


def correlation(rows: NDArray[np.float64], column: int) -> float:
    """Spearman's, of a column with the error."""
    placed = rows[np.isfinite(rows[:, 2])]
    return float(spearmanr(placed[:, column], placed[:, 2]).statistic)


@torch.inference_mode()
def collect(data: str, weights: Path, pictures: int, prompt: str) -> NDArray[np.float64]:
    """Rows of picture, visible (0, 1), error / root of the box's area (NaN: unknown), three clues, score."""
    checkpoint = load(weights)
    model, bank = checkpoint.model.eval(), prompts_for(checkpoint, prompt)
    model.config = replace(model.config, confidence="none")
    mixture = open_sources([data])
    label = [skeleton.category for skeleton in mixture.skeletons].index(prompt)
    quiz = Quiz.of(mixture, range(min(pictures, len(mixture))))
    size, rows = (model.config.long_side, model.config.short_side), []
    for index, truth in zip(quiz.indices.tolist(), quiz.truth, strict=True):
        rgb = mixture[index].rgb
        image = torch.from_numpy(normalised(np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA))))[None]
        stages = model.stages(image, bank.instances, bank.keypoints, bank.keypoint_mask)
        told = clues(*stages.output[:3], stages.references[-1], size[0] / size[1])[0].numpy()
        height, width = rgb.shape[:2]
        (seen,) = detect(stages.output, bank.keypoint_mask.numpy(), width, height, threshold=0.3)
        order = np.argsort(-stages.output.logits[0].amax(-1).numpy(), kind="stable")
        centres = stages.output.boxes[0].numpy()
        for i, c in matched(truth[label], found(seen.boxes, seen.scores, seen.keypoints), 0.5):
            if truth[label][i].ignore:
                continue
            middle = (seen.boxes[c, :2] + seen.boxes[c, 2:]) / 2 / (width, height)
            group = min(order, key=lambda g: float(np.abs(centres[g, :2] - middle).sum()))
            points, side = truth[label][i].keypoints, np.sqrt((seen.boxes[c, 2:] - seen.boxes[c, :2]).prod())
            error = np.linalg.norm(seen.keypoints[c] - points[:, :2], axis=1) / side
            error[points[:, 2] <= 0] = np.nan
            score = np.full(len(points), seen.scores[c])
            rows.append(np.column_stack((np.full(len(points), index), points[:, 2] == 2, error, told[group], score)))
    return np.concatenate(rows).astype(np.float64)


def fit(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """The constants that make the errors most likely."""
    placed = rows[np.isfinite(rows[:, 2])]
    terms = np.column_stack((np.ones(len(placed)), placed[:, 3:6]))
    error = np.minimum(placed[:, 2], FARTHEST)

    def surprise(constants: NDArray[np.float64]) -> float:
        spread = terms @ constants
        return float(np.mean(0.5 * (error * np.exp(-spread)) ** 2 + 2 * spread))

    return np.asarray(minimize(surprise, np.array(SPREAD)).x, np.float64)


def judge(rows: NDArray[np.float64], spread: NDArray[np.float64]) -> Judged:
    """What the constants say of these rows."""
    sigmas = np.exp(np.column_stack((np.ones(len(rows)), rows[:, 3:6])) @ spread)
    return Judged(rows[:, 6], rows[:, 1] > 0.5, rows[:, 2], sigmas)


if __name__ == "__main__":
    typer.run(main)
