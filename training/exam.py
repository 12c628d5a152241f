"""An evaluation as a whole: which prompts are asked, what is written, and the table for people."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.console import Console
from rich.table import Table

from engines.checkpoint import Checkpoint, load, save
from engines.prompts import SKELETONS, find_skeletons, instance_text
from engines.text import PromptError
from training import scorecard
from training.confidence import Judged, plot_reliability
from training.dataset import DataError
from training.evaluation import Found
from training.fewshot import few_shot
from training.nearest import borrowed, nearest
from training.scorecard import Quiz
from training.sources import open_sources

KINDS = ("words", "reworded", "alone", "example", "both", "nearest")
COLUMNS = ("PCK@0.05", "PCK@0.1", "PCK@0.2", "AP", "AP50", "recall", "precision", "false positives")
Answers = list[list[list[Found]]]


@dataclass(frozen=True, slots=True)
class Order:
    """What to evaluate; see `run_stream.py eval --help`."""

    weights: Path
    data: Sequence[str]
    out: Path
    kinds: Sequence[str] = KINDS
    support: Sequence[str] = field(default_factory=tuple)
    without: Sequence[str] = field(default_factory=tuple)
    pictures: int | None = None
    shots: int = 1
    draws: int = 3
    seed: int = 0
    clip: Path | None = None
    calibrate: Path | None = None
    estimate: bool = False  # judge the estimate that published weights get instead of what these have learned


def evaluate(order: Order) -> dict[str, Any]:
    """Ask every kind of prompt, write `eval.json`, predictions and the reliability plot into `order.out`, print tables.

    Raises DataError, CheckpointError or PromptError.
    """
    for kind in order.kinds:
        if kind not in KINDS:
            raise DataError(f"There is no kind of prompt '{kind}'; there are: {', '.join(KINDS)}.")
    checkpoint = _on_device(load(order.weights))
    if order.estimate:
        model = checkpoint.model
        model.confidence, model.config = None, replace(model.config, confidence="estimated")
    data = open_sources(order.data, without=order.without, empty=True)
    support = open_sources(order.support, without=order.without) if order.support else data
    if support.skeletons != data.skeletons:
        raise DataError("The data that the examples come from has other categories than the data to evaluate on.")
    rng = np.random.default_rng(order.seed)
    count = min(order.pictures or len(data), len(data))
    if support is data and "example" in order.kinds:
        count = min(count, max(1, len(data) * 3 // 4))  # the rest is where the examples come from
    quiz = Quiz.of(data, range(count))
    among = np.arange(count if support is data else 0, len(support))
    order.out.mkdir(parents=True, exist_ok=True)
    result: dict[str, Any] = {"weights": str(order.weights), "data": list(order.data), "pictures": count, "kinds": {}}
    for kind in order.kinds:
        answers = list(_answers(kind, checkpoint, quiz, order, support, among, rng))
        if not answers:
            continue
        scores = [scorecard.score(quiz, found) for found in answers]
        result["kinds"][kind] = _mean(scores)
        _show(kind, result["kinds"][kind])
        if kind == "words" and (judged := scorecard.judge(quiz, answers[0])) is not None:
            result["confidence"] = _confidence(judged, order)
        if kind == "words":
            _write(order.out / "predictions.json", _predictions(quiz, answers[0]))
    result |= _compared(result["kinds"])
    _write(order.out / "eval.json", result)
    Console().print({name: result[name] for name in ("confidence", "compared") if name in result})
    return result


def evaluate_few_shot(order: Order, episodes: int, queries: int) -> dict[str, Any]:
    """MP-100's protocol on each of the data (one annotation file per split); writes `few-shot.json`."""
    checkpoint = _on_device(load(order.weights))
    order.out.mkdir(parents=True, exist_ok=True)
    splits = {
        name: few_shot(
            checkpoint,
            open_sources([name], without=order.without),
            order.shots,
            episodes=episodes,
            queries=queries,
            seed=order.seed,
        )
        for name in order.data
    }
    mean = float(np.mean([scores["mean"] for scores in splits.values()]))
    result = {"weights": str(order.weights), "shots": order.shots, "PCK@0.2": splits, "mean of splits": mean}
    _write(order.out / "few-shot.json", result)
    table = Table(title=f"PCK@0.2, {order.shots} shot", title_justify="left")
    for heading in ("data", "category", "PCK@0.2"):
        table.add_column(heading)
    for name, scores in splits.items():
        for category, value in scores.items():
            table.add_row(Path(name.partition("=")[0]).name, category, f"{value:.3f}")
    Console().print(table)
    return result


def _answers(
    kind: str,
    checkpoint: Checkpoint,
    quiz: Quiz,
    order: Order,
    support: Any,
    among: np.ndarray,
    rng: np.random.Generator,
) -> Any:
    """The answers to one kind of prompt, several times where it depends on the examples that were drawn."""
    clip = str(order.clip) if order.clip else None
    if kind in ("example", "both"):
        if checkpoint.model.visual is None and "visual.proj" not in checkpoint.clip:
            return
        for _ in range(order.draws):
            examples = scorecard.draw_examples(support, order.shots, rng, among)
            labels = range(len(examples)) if kind == "example" else scorecard.readable(checkpoint, quiz.skeletons)
            chosen = [given if label in labels else [] for label, given in enumerate(examples)]
            if any(chosen):
                yield scorecard.shown(checkpoint, quiz, chosen, kind == "both", clip)
    elif kind == "nearest":
        if (found := _nearest(checkpoint, quiz)) is not None:
            yield found
    elif scorecard.readable(checkpoint, quiz.skeletons):
        seed = {"reworded": order.seed}.get(kind)
        yield (
            scorecard.alone(checkpoint, quiz, clip)
            if kind == "alone"
            else scorecard.words(checkpoint, quiz, seed, clip)
        )


def _nearest(checkpoint: Checkpoint, quiz: Quiz) -> Answers | None:
    """What the most similar category that the weights know answers; None when all categories are known."""
    if checkpoint.text_encoder is None:
        return None
    files = {instance_text(path.stem) for path in SKELETONS.glob("*.yaml")}
    known = find_skeletons([name for name in checkpoint.text_encoder.categories if name in files])
    labels = [i for i, s in enumerate(quiz.skeletons) if instance_text(s.category) not in {k.category for k in known}]
    if not labels:
        return None
    found: Answers = [[[] for _ in quiz.skeletons] for _ in quiz.indices]
    for label in labels:
        other, chosen = nearest(quiz.skeletons[label], known)
        print(f"{quiz.skeletons[label].category}: the nearest known category is {other.category}")
        for frame, answers in zip(found, scorecard.instead(checkpoint, quiz, other), strict=True):
            frame[label] = [borrowed(answer, chosen) for answer in answers]
    return found


def _confidence(judged: Judged, order: Order) -> dict[str, Any]:
    """Measures, the plot and, where asked for, the calibrated weights."""
    plot_reliability(judged, order.out / "reliability.png")
    measures: dict[str, Any] = judged.measures()
    if order.calibrate is not None:
        again = load(order.weights)
        if again.model.confidence is None:
            raise PromptError(f"{order.weights} has no learned confidence, so there is nothing to calibrate.")
        slope, offset, scale = judged.calibration()
        again.model.confidence.calibrate(slope, offset, scale)
        fitted = {"slope": slope, "offset": offset, "scale": scale, "data": list(order.data)}
        save(order.calibrate, again.model, again.text_encoder, again.provenance | {"calibration": fitted})
        measures["calibration"] = fitted
    return measures


def _compared(kinds: dict[str, Any]) -> dict[str, Any]:
    """How much other words, examples and a pass of one's own change the mean PCK@0.1."""
    if "words" not in kinds or "mean" not in kinds["words"]:
        return {}
    words = kinds["words"]["mean"]["PCK@0.1"]
    others = {kind: scores["mean"]["PCK@0.1"] for kind, scores in kinds.items() if kind != "words" and "mean" in scores}
    return {"compared": {f"{kind} - words, PCK@0.1": value - words for kind, value in others.items()}}


def _mean(draws: Sequence[dict[str, dict[str, float]]]) -> dict[str, dict[str, float]]:
    """The mean over draws, category by category."""
    names = dict.fromkeys(name for draw in draws for name in draw)
    return {
        name: {
            key: float(np.mean([draw[name][key] for draw in draws if name in draw]))
            for key in next(draw[name] for draw in draws if name in draw)
        }
        for name in names
    }


def _predictions(quiz: Quiz, found: Answers) -> list[dict[str, Any]]:
    """COCO's format of keypoint results; image and category are numbers of the quiz, from 0 and 1."""
    rows = []
    for image, frame in enumerate(found):
        for label, answers in enumerate(frame):
            for answer in answers:
                points = np.column_stack([answer.keypoints, np.ones(len(answer.keypoints))]).round(3)
                rows.append(
                    {
                        "image_id": int(quiz.indices[image]),
                        "category_id": label + 1,
                        "keypoints": points.ravel().tolist(),
                        "score": round(answer.score, 6),
                    }
                )
    return rows


def _show(kind: str, scores: dict[str, dict[str, float]]) -> None:
    table = Table(title=f"prompted by {kind}", title_justify="left")
    for heading in ("category", "instances", *COLUMNS):
        table.add_column(heading)
    for category, values in scores.items():
        cells = [f"{values[name]:.3f}" if not np.isnan(values[name]) else "–" for name in COLUMNS]
        table.add_row(category, f"{values['instances']:.0f}", *cells)
    Console().print(table)


def _on_device(checkpoint: Checkpoint) -> Checkpoint:
    checkpoint.model.to("cuda" if torch.cuda.is_available() else "cpu")
    return checkpoint


def _write(path: Path, content: Any) -> None:
    path.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
