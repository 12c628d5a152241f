"""Evaluations equal the tools that define the measures, and write what they found."""

from __future__ import annotations

import contextlib
import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

from tests.training import coco_files
from tests.training.conftest import stick_figures
from xpose_stream.engines.checkpoint import Checkpoint, load, save
from xpose_stream.engines.prompts.bank import SKELETONS, Skeleton
from xpose_stream.engines.xpose import XPose, XPoseConfig
from xpose_stream.engines.xpose.text import WordEncoder
from xpose_stream.training.data.dataset import DataError
from xpose_stream.training.data.shard import write_shard
from xpose_stream.training.data.sources import open_sources
from xpose_stream.training.data.wording import category_wordings, vocabulary
from xpose_stream.training.exam import fewshot, scorecard
from xpose_stream.training.exam.evaluation import Found
from xpose_stream.training.exam.exam import Order, evaluate, evaluate_few_shot
from xpose_stream.training.exam.fewshot import accuracy, few_shot
from xpose_stream.training.exam.nearest import nearest
from xpose_stream.training.exam.scorecard import Quiz
from xpose_stream.training.exam.validation import validate

KNOWN = ("person", "chair")


def untrained(folder: Path, **parts: Any) -> Path:
    torch.manual_seed(0)
    skeletons = [Skeleton.load(SKELETONS / f"{name}.yaml") for name in KNOWN]
    config = replace(XPoseConfig.nano(), **parts)
    categories = [text for name in KNOWN for text in category_wordings(name)]
    path = folder / "untrained.safetensors"
    save(path, Checkpoint(XPose(config), WordEncoder(vocabulary(skeletons), config.prompt_dim, categories), {}))
    return path


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Untrained weights that see something everywhere, in words, by example and with confidence."""
    small = {"short_side": 144, "long_side": 192}  # where none of it happens to match an annotation
    return untrained(tmp_path_factory.mktemp("weights"), visual_layers=1, confidence="learned", **small)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Untrained weights that can be asked in words and tell nothing of single keypoints."""
    return untrained(tmp_path_factory.mktemp("plain"))


@pytest.fixture(scope="module")
def annotated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return coco_files.coco(tmp_path_factory.mktemp("coco"))


def near_the_truth(quiz: Quiz, seed: int = 0) -> list[list[list[Found]]]:
    """Answers that are the truth, shaken; some are missing and some are nowhere."""
    rng = np.random.default_rng(seed)
    found = []
    for frame in quiz.truth:
        answers: list[list[Found]] = []
        for instances in frame:
            given = []
            for instance in instances:
                if rng.random() < 0.2:
                    continue
                points = instance.keypoints[:, :2] + rng.normal(0, 3, (len(instance.keypoints), 2))
                given.append(Found(instance.box + rng.normal(0, 2, 4), float(rng.uniform(0.2, 1)), points))
            given.append(Found(np.array([0, 0, 50, 50.0]), 0.4, rng.uniform(0, 100, (len(instances[0].keypoints), 2))))
            answers.append(given)
        found.append(answers)
    return found


def rows(image: int, answers: list[Found]) -> list[dict[str, Any]]:
    """What was found of persons in a picture, in COCO's format of results."""
    return [
        {
            "image_id": image,
            "category_id": 1,
            "score": answer.score,
            "keypoints": np.column_stack((answer.keypoints, np.ones(17))).ravel().tolist(),
        }
        for answer in answers
    ]


def test_ap_is_what_pycocotools_says_of_the_same_predictions(annotated: Path) -> None:
    quiz = Quiz.of(open_sources([str(annotated)], empty=True), range(4))
    found = near_the_truth(quiz)
    ours = scorecard.score(quiz, found)["person"]
    results = [row for image, frame in enumerate(found) for row in rows(image + 1, frame[0])]
    assert 0.1 < ours["AP"] < 0.99
    assert (ours["AP"], ours["AP50"]) == pytest.approx(by_pycocotools(annotated, results), abs=1e-9)


def by_pycocotools(annotations: Path, results: list[dict[str, Any]], person: int = 1) -> tuple[float, float]:
    """AP and AP50 of persons, straight from the annotation file."""
    with contextlib.redirect_stdout(io.StringIO()):
        truth = COCO(str(annotations))
        judge = COCOeval(truth, truth.loadRes(results), "keypoints")
        judge.params.catIds = [person]
        judge.evaluate()
        judge.accumulate()
        judge.summarize()
    return judge.stats[0], judge.stats[1]


@pytest.mark.parametrize("crowd", [0, 1])
def test_a_person_without_keypoints_excuses_one_detection_and_a_crowd_all(tmp_path: Path, crowd: int) -> None:
    person, other = coco_files.annotation(1, 1, 1, 17), coco_files.annotation(2, 1, 1, 17)
    nothing = {"keypoints": [0] * 51, "num_keypoints": 0, "bbox": [120, 90, 60, 60], "area": 1900, "iscrowd": crowd}
    categories = [{"id": 1, "name": "person", "keypoints": coco_files.PERSON}]
    path = coco_files.write(tmp_path, [person, other | nothing], categories, pictures=1)
    quiz = Quiz.of(open_sources([str(path)]), [0])
    found = [Found(i.box, s, points_of(i)) for i, s in zip(quiz.truth[0][0], (0.5, 0.9), strict=True)]
    found.append(replace(found[1], score=0.8))
    ours = scorecard.score(quiz, [[found]])["person"]
    assert ours["AP"] == pytest.approx(by_pycocotools(path, rows(1, found))[0], abs=1e-9)
    assert ours["AP"] == pytest.approx(1.0 if crowd else 0.5)
    assert (ours["instances"], ours["recall"]) == (1, 1)


def points_of(instance: Any) -> Any:
    """Its keypoints; in the middle of its box where none is annotated."""
    known = instance.keypoints[:, 2:] > 0
    return np.where(known, instance.keypoints[:, :2], instance.box.reshape(2, 2).mean(0))


def test_an_absent_category_is_a_false_positive_wherever_it_is_found(tmp_path: Path) -> None:
    quiz = Quiz.of(open_sources([str(coco_files.unikpt(tmp_path))]), range(4))
    for frame in quiz.truth[:2]:
        frame[0].clear()
    answer = Found(np.array([0, 0, 9, 9.0]), 0.5, np.zeros((3, 2)))
    nothing: list[list[list[Found]]] = [[[], []] for _ in range(4)]
    assert scorecard.score(quiz, nothing)["fork"]["false positives"] == 0
    nothing[0][0] = [answer, answer, replace(answer, score=0.2)]
    assert scorecard.score(quiz, nothing)["fork"]["false positives"] == 1.0


def test_confidence_is_judged_on_what_was_found(annotated: Path) -> None:
    quiz = Quiz.of(open_sources([str(annotated)]), range(1))
    instance = quiz.truth[0][0][0]
    told = replace(
        Found(instance.box, 0.9, instance.keypoints[:, :2] + (3, 4)),
        keypoint_scores=np.full(17, 0.5),
        keypoint_sigmas=np.full(17, 5.0),
    )
    judged = scorecard.judge(quiz, [[[told, replace(told, score=0.1)]]])
    assert judged is not None and len(judged.scores) == 17
    np.testing.assert_allclose(judged.errors, 5)
    assert judged.visible.tolist() == (instance.keypoints[:, 2] == 2).tolist()


def test_an_evaluation_writes_figures_predictions_and_a_plot(
    weights: Path, annotated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(scorecard, "SHOWN", 0.0)
    monkeypatch.setattr(scorecard, "judge", lambda quiz, found: judged_anyway())
    out = tmp_path / "eval"
    kinds = ("words", "reworded", "alone", "example", "both")
    result = evaluate(Order(weights, [str(annotated)], out, kinds, draws=1))
    assert json.loads((out / "eval.json").read_text())["kinds"].keys() == set(kinds)
    assert {"PCK@0.1", "AP", "false positives"} <= result["kinds"]["words"]["person"].keys()
    assert set(result["compared"]) == {f"{kind} - words, PCK@0.1" for kind in kinds[1:]}
    predictions = json.loads((out / "predictions.json").read_text())
    assert all(len(row["keypoints"]) == 51 for row in predictions)
    assert (out / "reliability.png").stat().st_size > 1000
    assert "prompted by words" in capsys.readouterr().out


def test_boxes_of_one_class_overlap_no_more_than_the_weights_say(weights: Path, annotated: Path) -> None:
    checkpoint, quiz = load(weights), Quiz.of(open_sources([str(annotated)]), range(2))
    counts = []
    for overlap in (0.9, 0.1):
        checkpoint.model.config = replace(checkpoint.model.config, overlap=overlap)
        counts.append(sum(len(found) for frame in scorecard.words(checkpoint, quiz) for found in frame))
    assert counts[0] > counts[1] > 0


def test_predictions_are_scored_against_the_annotation_file_as_they_are(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = json.loads(coco_files.coco(tmp_path).read_text())
    for image in content["images"]:
        image["id"] = 1000 - image["id"]
    for entry in content["annotations"]:
        entry |= {"image_id": 1000 - entry["image_id"], "category_id": entry["category_id"] + 5}
    for category in content["categories"]:
        category["id"] += 5
    path = tmp_path / "annotations.json"
    path.write_text(json.dumps(content))
    monkeypatch.setattr(scorecard, "words", lambda checkpoint, quiz, *_: near_the_truth(quiz))
    ours = evaluate(Order(weights, [str(path)], tmp_path / "out", ("words",)))["kinds"]["words"]["person"]
    theirs = by_pycocotools(path, json.loads((tmp_path / "out" / "predictions.json").read_text()), person=6)
    assert 0.1 < ours["AP"] == pytest.approx(theirs[0], abs=1e-9)

    def refuse(name: str) -> None:
        raise AssertionError(name)

    assert np.isnan(ours["false positives"])  # a person is in every picture
    text = (tmp_path / "out" / "eval.json").read_text()
    told = json.loads(text, parse_constant=refuse)
    assert told["kinds"]["words"]["person"]["false positives"] is None


def test_means_and_comparisons_are_of_what_was_asked_and_the_rest_is_named(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = coco_files.unikpt(tmp_path)  # forks, which the weights cannot read, and persons
    path.write_text(path.read_text().replace(" 1.0]", " 2.0]"))  # every keypoint is visible
    monkeypatch.setattr(scorecard, "words", lambda checkpoint, quiz, *_: near_the_truth(quiz))
    monkeypatch.setattr(scorecard, "shown", lambda checkpoint, quiz, *_: near_the_truth(quiz, seed=1))
    result = evaluate(Order(weights, [str(path)], tmp_path / "out", ("words", "example"), draws=1))
    words, example = result["kinds"]["words"], result["kinds"]["example"]
    assert set(words) == {"person", "mean"} and words["mean"] == pytest.approx(words["person"], nan_ok=True)
    assert set(example) == {"fork", "person", "mean"}
    change = example["person"]["PCK@0.1"] - words["person"]["PCK@0.1"]
    assert result["compared"] == {"example - words, PCK@0.1": pytest.approx(change)}
    why = "the weights cannot read them"
    assert result["not asked"] == {"words": {"categories": ["fork"], "why": why}}
    assert f"Not asked for, as {why}: fork." in " ".join(capsys.readouterr().out.split())


def test_pictures_are_held_back_for_both_kinds_that_need_examples(
    weights: Path, annotated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scorecard, "shown", lambda checkpoint, quiz, *_: near_the_truth(quiz))
    result = evaluate(Order(weights, [str(annotated)], tmp_path, ("both",), draws=1))
    assert result["pictures"] == 3 and "person" in result["kinds"]["both"]


def test_a_kind_that_these_weights_cannot_be_asked_in_is_named(
    plain: Path, annotated: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    result = evaluate(Order(plain, [str(annotated)], tmp_path, ("example",)))
    assert result["kinds"] == {}
    assert "Nothing was prompted by example: the weights have no encoder of examples." in capsys.readouterr().out


def test_pictures_that_cannot_be_read_are_left_out_and_counted(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path = coco_files.coco(tmp_path)
    (tmp_path / "000000000002.jpg").write_text("no picture")
    monkeypatch.setattr(scorecard, "words", lambda checkpoint, quiz, *_: near_the_truth(quiz))
    result = evaluate(Order(weights, [str(path)], tmp_path / "out", ("words",)))
    assert (result["pictures"], result["unreadable pictures"]) == (3, 1)
    assert "Pictures that could not be read and were left out: 1." in capsys.readouterr().out


def test_a_file_is_no_folder_of_results(weights: Path, annotated: Path, tmp_path: Path) -> None:
    (tmp_path / "README.md").touch()
    with pytest.raises(DataError, match=r"README\.md cannot be the folder of results \(File exists\)"):
        evaluate(Order(weights, [str(annotated)], tmp_path / "README.md"))
    with pytest.raises(DataError, match="cannot be the folder of results"):
        evaluate_few_shot(Order(weights, [str(annotated)], tmp_path / "README.md" / "out"), 1, 1)


def judged_anyway() -> Any:
    from tests.training.exam.test_confidence import judged

    return judged(stretch=2.0)


def test_weights_that_know_no_category_of_the_data_are_validated_all_the_same(tmp_path: Path) -> None:
    blind = load(untrained(tmp_path))
    assert blind.text_encoder is not None
    blind.text_encoder.categories = ("aardvark",)
    metrics = validate(blind, open_sources([str(coco_files.unikpt(tmp_path))]), pictures=2)
    assert not {"PCK@0.1", "AP"} & metrics.keys()


def test_weights_that_take_fewer_keypoints_are_refused(annotated: Path, tmp_path: Path) -> None:
    weights = untrained(tmp_path, max_keypoints=16)
    for examine in (evaluate, lambda order: evaluate_few_shot(order, 1, 1)):
        with pytest.raises(DataError, match="these weights take 16"):
            examine(Order(weights, [str(annotated)], tmp_path / "out"))


def test_a_kind_that_does_not_exist_is_refused(weights: Path, annotated: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no kind of prompt 'smell'"):
        evaluate(Order(weights, [str(annotated)], tmp_path, ("smell",)))


def test_a_category_nobody_trained_on_is_compared_with_the_one_called_most_alike(
    weights: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = coco_files.mp100(tmp_path)
    result = evaluate(Order(weights, [str(path)], tmp_path / "out", ("words", "example", "nearest"), draws=1))
    assert set(result["kinds"]) == {"example", "nearest"}  # there are no words for it
    assert "the nearest known category is" in capsys.readouterr().out
    table, chair = (Skeleton.load(SKELETONS / f"{name}.yaml") for name in ("table", "chair"))
    person = Skeleton.load(SKELETONS / "person.yaml")
    best, chosen = nearest(table, [person, chair])
    assert best == chair and len(chosen) == len(table.keypoints)
    names = dict(zip(table.keypoints, (chair.keypoints[i] for i in chosen), strict=True))
    assert all(("left" in a) == ("left" in b) for a, b in names.items() if "left" in a or "right" in a)


def test_pck_of_the_few_shot_protocol_is_a_plain_count() -> None:
    rng = np.random.default_rng(0)
    for _ in range(20):
        truth, points, size = rng.uniform(0, 100, (9, 2)), rng.uniform(0, 100, (9, 2)), 80.0
        points[:5] = truth[:5] + rng.normal(0, 12, (5, 2))
        points[8] = np.nan
        right = sum(
            ((x - px) ** 2 + (y - py) ** 2) ** 0.5 <= 0.2 * size
            for (x, y), (px, py) in zip(truth, points, strict=True)
            if px == px
        )
        assert accuracy(points, truth, size, 0.2) == pytest.approx(right / 9)


def test_the_few_shot_protocol_asks_every_category_and_takes_the_group_on_the_query(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = open_sources([str(coco_files.mp100(tmp_path))])
    checkpoint = load(weights)
    made: list[object] = []
    encoder = fewshot.example_encoder
    monkeypatch.setattr(fewshot, "example_encoder", lambda checkpoint: made.append(1) or encoder(checkpoint))
    scores = few_shot(checkpoint, data, 1, episodes=2, queries=2)
    assert len(made) == 1  # it takes long with CLIP
    assert set(scores) == {"fork", "sofa_body", "mean"}
    assert all(0 <= value <= 1 for value in scores.values())
    assert np.isnan(few_shot(checkpoint, data, 5, episodes=1)["mean"])  # three instances of each: nothing to ask

    result = evaluate_few_shot(Order(weights, [str(tmp_path / "annotations.json")] * 2, tmp_path / "out"), 1, 1)
    assert result["mean of splits"] == json.loads((tmp_path / "out" / "few-shot.json").read_text())["mean of splits"]


def test_the_example_is_the_instance_that_shows_most_with_its_hidden_keypoints_marked(tmp_path: Path) -> None:
    figures = stick_figures(5)
    figures.keypoints[:, :, 2] = 2
    for number, points in enumerate(figures.keypoints):  # ever fewer are hidden, one is outside
        points[: len(figures.keypoints) - number, 2] = 1
        points[-1, 2] = 0
    write_shard(tmp_path / "shard-00000.npz", figures)
    rng = np.random.default_rng(0)
    ((chosen,),) = scorecard.draw_examples(open_sources([str(tmp_path)]), 1, rng, np.arange(5))
    best = figures.keypoints[np.flatnonzero(figures.image == 4)[0]]  # of a picture the first counts
    np.testing.assert_allclose(chosen.keypoints[:-1], best[:-1, :2])
    assert np.isnan(chosen.keypoints[-1]).all()
