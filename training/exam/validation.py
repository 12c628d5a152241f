"""How good a model is on pictures it has not seen, often enough to be cheap."""

from __future__ import annotations

import numpy as np

from xpose_stream.engines.checkpoint import Checkpoint
from xpose_stream.training.data.mixture import Mixture
from xpose_stream.training.exam.scorecard import Quiz, draw_examples, judge, readable, score, shown, words

METRICS = ("PCK@0.05", "PCK@0.1", "PCK@0.2", "AP", "AP50", "recall", "precision", "PCK@0.1 by example", "AUROC")


def validate(checkpoint: Checkpoint, data: Mixture, pictures: int = 200, clip: str | None = None) -> dict[str, float]:
    """METRICS on the first pictures of the data, resampled as a whole to the model's size.

    They are means over the categories that were asked for. PCK counts the keypoints of missed instances as wrong.
    Recall and precision are those of boxes at an IoU of 0.5. The examples are instances of the other pictures, the same
    every time.
    """
    count = min(pictures, max(1, len(data) * 3 // 4))
    quiz = Quiz.of(data, range(count))
    metrics: dict[str, float] = {}
    if known := readable(checkpoint, data.skeletons):
        found = words(checkpoint, quiz, clip=clip)
        metrics |= score(quiz, found, known).get("mean", {})
        judged = judge(quiz, found)
        if judged is not None:
            metrics["AUROC"] = judged.measures()["AUROC"]
    if checkpoint.model.visual is not None:
        examples = draw_examples(data, 1, np.random.default_rng(0), np.arange(count, len(data)))
        if any(examples):
            labels = [label for label, given in enumerate(examples) if given]
            by_example = score(quiz, shown(checkpoint, quiz, examples), labels).get("mean", {})
            metrics["PCK@0.1 by example"] = by_example.get("PCK@0.1", float("nan"))
    return {name: metrics[name] for name in METRICS if name in metrics and not np.isnan(metrics[name])}
