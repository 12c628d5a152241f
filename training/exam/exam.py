"""An evaluation as a whole: which prompts are asked, what is written, and the table for people."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from rich.box import SIMPLE_HEAD
from rich.console import Console
from rich.table import Table
from rich.text import Text

from xpose_stream.engines.checkpoint import Checkpoint, load
from xpose_stream.engines.prompts.bank import Skeleton, find_skeletons, instance_text, skeleton_files
from xpose_stream.training.data.dataset import DataError, make_folder
from xpose_stream.training.data.mixture import Mixture
from xpose_stream.training.data.sources import open_sources
from xpose_stream.training.exam import scorecard
from xpose_stream.training.exam.confidence import plot_reliability
from xpose_stream.training.exam.evaluation import Found
from xpose_stream.training.exam.fewshot import few_shot
from xpose_stream.training.exam.nearest import borrowed, nearest
from xpose_stream.training.exam.scorecard import Quiz

KINDS = ("words", "reworded", "alone", "example", "both", "nearest")
COLUMNS = ("PCK@0.05", "PCK@0.1", "PCK@0.2", "AP", "AP50", "recall", "precision", "false positives")
Answers = list[list[list[Found]]]


@dataclass(frozen=True, slots=True)
class Order:
    """What to evaluate; see `xpose-stream eval --help`."""

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
    estimate: bool = False  # judge the estimate that published weights get instead of what these have learned


def evaluate(order: Order) -> dict[str, Any]:
    """Ask every kind of prompt, write `eval.json`, predictions and the reliability plot into `order.out`, print tables.

    Raises DataError, CheckpointError or PromptError.
    """
    for kind in order.kinds:
        if kind not in KINDS:
            raise DataError(f"There is no kind of prompt '{kind}'; there are: {', '.join(KINDS)}.")
    make_folder(order.out)
    checkpoint = scorecard.on_device(load(order.weights))
    if order.estimate:
        model = checkpoint.model
        model.confidence, model.config = None, replace(model.config, confidence="estimated")
    data = open_sources(order.data, without=order.without, empty=True)
    data.require_room(checkpoint.model.config.max_keypoints)
    support = open_sources(order.support, without=order.without) if order.support else data
    if support.skeletons != data.skeletons:
        raise DataError("The data that the examples come from has other categories than the data to evaluate on.")
    rng = np.random.default_rng(order.seed)
    count = min(order.pictures or len(data), len(data))
    if support is data and not {"example", "both"}.isdisjoint(order.kinds):
        count = min(count, max(1, len(data) * 3 // 4))  # the rest is where the examples come from
    quiz = Quiz.of(data, range(count))
    among = np.arange(count if support is data else 0, len(support))
    result: dict[str, Any] = {"weights": str(order.weights), "data": list(order.data), "pictures": len(quiz.indices)}
    given = {"support": list(order.support), "without": list(order.without), "estimate": order.estimate}
    result |= given | {"shots": order.shots, "draws": order.draws, "seed": order.seed}
    result |= {"kinds": {}, "not asked": {}}
    for kind in order.kinds:
        answers = list(_answers(kind, checkpoint, quiz, order, support, among, rng))
        left_out = _left_out(kind, checkpoint, quiz, [labels for labels, _ in answers])
        result["not asked"] |= {kind: left_out} if left_out["categories"] else {}
        if not answers:
            print(f"Nothing was prompted by {kind}: {left_out['why']}.")
            continue
        result["kinds"][kind] = _mean([scorecard.score(quiz, found, labels) for labels, found in answers])
        _show(kind, result["kinds"][kind], left_out)
        if kind == "words":
            found = answers[0][1]
            _write_predictions(order.out, quiz, found)
            if (judged := scorecard.judge(quiz, found)) is not None:
                plot_reliability(judged, order.out / "reliability.png")
                result["confidence"] = judged.measures()
    result |= _compared(result["kinds"]) | _unreadable({data, support})
    _write(order.out / "eval.json", result)
    Console().print({name: result[name] for name in ("confidence", "compared") if name in result})
    return result


def evaluate_few_shot(order: Order, episodes: int, queries: int) -> dict[str, Any]:
    """MP-100's protocol on each of the data (one annotation file per split); writes `few-shot.json`."""
    make_folder(order.out)
    checkpoint = scorecard.on_device(load(order.weights))
    opened = {name: open_sources([name], without=order.without) for name in order.data}
    for data in opened.values():
        data.require_room(checkpoint.model.config.max_keypoints)
    splits = {
        name: few_shot(checkpoint, data, order.shots, episodes=episodes, queries=queries, seed=order.seed)
        for name, data in opened.items()
    }
    mean = float(np.mean([scores["mean"] for scores in splits.values()]))
    result = {"weights": str(order.weights), "shots": order.shots, "PCK@0.2": splits, "mean of splits": mean}
    result |= _unreadable(opened.values())
    _write(order.out / "few-shot.json", result)
    table = Table(title=f"PCK@0.2, {order.shots} shot", title_justify="left")
    for heading in ("data", "category", "PCK@0.2"):
        table.add_column(heading)
    for name, scores in splits.items():
        for category, value in scores.items():
            table.add_row(Text(Path(name.partition("=")[0]).name), Text(category), f"{value:.3f}")
    Console().print(table)
    return result


def _answers(
    kind: str,
    checkpoint: Checkpoint,
    quiz: Quiz,
    order: Order,
    support: Mixture,
    among: np.ndarray,
    rng: np.random.Generator,
) -> Iterator[tuple[list[int], Answers]]:
    """The categories asked for and the answers, several times where they depend on the examples that were drawn."""
    clip = str(order.clip) if order.clip else None
    readable = scorecard.readable(checkpoint, quiz.skeletons)
    if kind in ("example", "both"):
        if not _sees_examples(checkpoint):
            return
        for _ in range(order.draws):
            examples = scorecard.draw_examples(support, order.shots, rng, among)
            usable = range(len(examples)) if kind == "example" else readable
            labels = [label for label in usable if examples[label]]
            chosen = [given if label in labels else [] for label, given in enumerate(examples)]
            if labels:
                yield labels, scorecard.shown(checkpoint, quiz, chosen, kind == "both", clip)
    elif kind == "nearest":
        if labels := _unknown(checkpoint, quiz):
            yield labels, _nearest(checkpoint, quiz, labels)
    elif readable:
        seed = {"reworded": order.seed}.get(kind)
        yield (
            readable,
            scorecard.alone(checkpoint, quiz, clip)
            if kind == "alone"
            else scorecard.words(checkpoint, quiz, seed, clip),
        )


def _sees_examples(checkpoint: Checkpoint) -> bool:
    return checkpoint.model.visual is not None or "visual.proj" in checkpoint.clip


def _left_out(kind: str, checkpoint: Checkpoint, quiz: Quiz, asked: Sequence[Sequence[int]]) -> dict[str, Any]:
    """The categories that were never asked for, and why."""
    once = {label for labels in asked for label in labels}
    no_example = "no example of them could be drawn"
    reasons = {
        "example": no_example,
        "both": f"the weights cannot read them, or {no_example}",
        "nearest": "the weights can be asked for them in words",
    }
    why = reasons.get(kind, "the weights cannot read them")
    if kind in ("example", "both") and not _sees_examples(checkpoint):
        why = "the weights have no encoder of examples"
    return {"categories": [s.category for label, s in enumerate(quiz.skeletons) if label not in once], "why": why}


def _known(checkpoint: Checkpoint) -> list[Skeleton]:
    """The categories with a skeleton file that the weights were trained on."""
    assert checkpoint.text_encoder is not None
    return find_skeletons([name for name in checkpoint.text_encoder.categories if name in skeleton_files()])


def _unknown(checkpoint: Checkpoint, quiz: Quiz) -> list[int]:
    """The categories that the weights were not trained on; none where CLIP reads every word."""
    if checkpoint.text_encoder is None:
        return []
    known = {skeleton.category for skeleton in _known(checkpoint)}
    return [label for label, s in enumerate(quiz.skeletons) if instance_text(s.category) not in known]


def _nearest(checkpoint: Checkpoint, quiz: Quiz, labels: Sequence[int]) -> Answers:
    """What the most similar category that the weights know answers."""
    known = _known(checkpoint)
    found: Answers = [[[] for _ in quiz.skeletons] for _ in quiz.indices]
    for label in labels:
        other, chosen = nearest(quiz.skeletons[label], known)
        print(f"{quiz.skeletons[label].category}: the nearest known category is {other.category}")
        for frame, answers in zip(found, scorecard.instead(checkpoint, quiz, other), strict=True):
            frame[label] = [borrowed(answer, chosen) for answer in answers]
    return found


def _compared(kinds: dict[str, Any]) -> dict[str, Any]:
    """How much other words, examples and a pass of one's own change the mean PCK@0.1 of what was asked both ways."""
    words = kinds.get("words", {})
    differences = {}
    for kind, scores in kinds.items():
        shared = [name for name in scores if name in words and name != "mean"]
        if kind != "words" and shared:
            change = [scores[name]["PCK@0.1"] - words[name]["PCK@0.1"] for name in shared]
            differences[f"{kind} - words, PCK@0.1"] = float(np.mean(change))
    return {"compared": differences} if words else {}


def _unreadable(data: Iterable[Mixture]) -> dict[str, int]:
    """How many pictures could not be read, told also on standard output; empty where there are none."""
    count = sum(len(mixture.unreadable) for mixture in data)
    if count:
        print(f"Pictures that could not be read and were left out: {count}.")
    return {"unreadable pictures": count} if count else {}


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


def _write_predictions(folder: Path, quiz: Quiz, found: Answers) -> None:
    """COCO's format of keypoint results with the ids of the annotation file; a file for each of several sources."""
    rows: list[list[dict[str, Any]]] = [[] for _ in quiz.data.sources]
    for index, frame in zip(quiz.indices.tolist(), found, strict=True):
        source, image, categories = quiz.data.ids(index)
        for label, category in categories.items():
            rows[source] += [_result(image, category, answer) for answer in frame[label]]
    for number, results in enumerate(rows, start=1):
        _write(folder / ("predictions.json" if len(rows) == 1 else f"predictions-{number}.json"), results)


def _result(image: Any, category: Any, answer: Found) -> dict[str, Any]:
    points = np.column_stack([answer.keypoints, np.ones(len(answer.keypoints))]).round(3)
    score = round(answer.score, 6)
    return {"image_id": image, "category_id": category, "keypoints": points.ravel().tolist(), "score": score}


def _show(kind: str, scores: dict[str, dict[str, float]], left_out: dict[str, Any]) -> None:
    Console().print(table_of(kind, scores, left_out))


def table_of(kind: str, scores: dict[str, dict[str, float]], left_out: dict[str, Any]) -> Table:
    """A row for each category, for a terminal of 80 columns."""
    names = ", ".join(left_out["categories"])
    caption = Text(f"Not asked for, as {left_out['why']}: {names}.", "table.caption") if names else None
    table = Table(
        title=f"prompted by {kind}", title_justify="left", caption=caption, caption_justify="left", box=SIMPLE_HEAD,
        padding=0, pad_edge=False, show_edge=False,
    )  # fmt: skip
    table.add_column("category", overflow="fold", min_width=8)
    for heading in ("instances", *COLUMNS):
        table.add_column(heading.replace("@", "\n@").replace(" ", "\n"), justify="right", no_wrap=True)
    for category, values in scores.items():
        cells = [f"{values[name]:.3f}" if not np.isnan(values[name]) else "–" for name in COLUMNS]
        table.add_row(Text(category), f"{values['instances']:.0f}", *cells)
    return table


def _write(path: Path, content: Any) -> None:
    path.write_text(json.dumps(_plain(content), indent=1, allow_nan=False) + "\n", encoding="utf-8")


def _plain(content: Any) -> Any:
    """The same with None for NaN, which JSON does not have."""
    if isinstance(content, dict):
        return {name: _plain(part) for name, part in content.items()}
    if isinstance(content, list | tuple):
        return [_plain(part) for part in content]
    return None if isinstance(content, float) and math.isnan(content) else content
