"""What a model makes of a set of pictures, category by category and for every way to prompt it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from xpose_stream.engines.checkpoint import Checkpoint
from xpose_stream.engines.detect import detect
from xpose_stream.engines.prompts.bank import PromptBank, Skeleton, can_read, embed_prompts
from xpose_stream.engines.prompts.example import Example, normalised
from xpose_stream.engines.prompts.prompt import Prompt
from xpose_stream.engines.resize import target_size
from xpose_stream.engines.xpose import XPoseOutput
from xpose_stream.trackers import Detections
from xpose_stream.training.data.dataset import DataError
from xpose_stream.training.data.mixture import Mixture
from xpose_stream.training.data.picture import Picture
from xpose_stream.training.data.wording import reworded
from xpose_stream.training.exam.confidence import FOUND_IOU, Judged
from xpose_stream.training.exam.evaluation import Found, matched, oks_ap, pck
from xpose_stream.training.exam.truth import Instance

SHOWN = 0.3  # score from which a detection counts in PCK, recall, precision and false positives
LEAST = 0.01  # score from which it counts in AP
AT_ONCE = 20
LEAST_SEEN = 3  # visible keypoints of an example, or all it has
OFFERED = 8  # for every example that is taken


@dataclass(frozen=True, slots=True, eq=False)
class Quiz:
    """N pictures of a data set with the detections they should give.

    Attributes:
        data: the pictures and their classes.
        indices: [N] which of them.
        sizes: [N] height and width of the pictures.
        truth: per picture and class the instances, with the class's own keypoints.
    """

    data: Mixture
    indices: NDArray[np.int64]
    sizes: list[tuple[int, int]]
    truth: list[list[list[Instance]]]

    @classmethod
    def of(cls, data: Mixture, indices: Sequence[int] | NDArray[np.int64]) -> Quiz:
        """The quiz of those of these pictures that can be read. Raises DataError when there is none."""
        chosen, sizes, truth = [], [], []
        for i in map(int, indices):
            picture = data.readable(i)
            if picture is not None:
                chosen.append(i)
                sizes.append(picture.size)
                truth.append(_truth(picture, data))
        if not chosen:
            raise DataError("There is no picture to evaluate on that can be read.")
        return cls(data, np.array(chosen), sizes, truth)

    @property
    def skeletons(self) -> tuple[Skeleton, ...]:
        """Of the classes."""
        return self.data.skeletons


def on_device(checkpoint: Checkpoint) -> Checkpoint:
    """The same with its model on the GPU, where there is one."""
    checkpoint.model.to("cuda" if torch.cuda.is_available() else "cpu")
    return checkpoint


@torch.inference_mode()
def passes(checkpoint: Checkpoint, bank: PromptBank, quiz: Quiz) -> Iterator[tuple[XPoseOutput, int, int]]:
    """What the model says of the pictures, in their order and AT_ONCE at most at a time, and their width and height."""
    config, device = checkpoint.model.config, next(checkpoint.model.parameters()).device
    prompts = [tensor.to(device) for tensor in (bank.instances, bank.keypoints, bank.keypoint_mask)]
    places = zip(quiz.indices.tolist(), quiz.sizes, strict=True)
    for (height, width), group in groupby(places, key=lambda place: place[1]):
        rows = [index for index, _ in group]
        size = target_size(width, height, config.short_side, config.long_side)
        for first in range(0, len(rows), AT_ONCE):
            pictures = [quiz.data[i].rgb for i in rows[first : first + AT_ONCE]]
            images = np.stack([_input(picture, size) for picture in pictures])
            yield checkpoint.model(torch.from_numpy(images).to(device), *prompts), width, height


def answers(
    checkpoint: Checkpoint,
    bank: PromptBank,
    quiz: Quiz,
    labels: Sequence[int],
    skeletons: Sequence[Skeleton] | None = None,
) -> list[list[list[Found]]]:
    """Per picture and class what is found when `bank` is the prompt.

    Its categories are `labels` of `skeletons`, which are by default those of the quiz.
    """
    skeletons = quiz.skeletons if skeletons is None else skeletons
    mask, config = bank.keypoint_mask.numpy(), checkpoint.model.config
    found: list[list[list[Found]]] = []
    for output, width, height in passes(checkpoint, bank, quiz):
        for seen in detect(output, mask, width, height, threshold=LEAST, overlap=config.overlap, hold=config.sees):
            found.append(_by_class(seen, labels, skeletons))
    return found


def readable(checkpoint: Checkpoint, skeletons: Sequence[Skeleton]) -> list[int]:
    """Which of the categories the weights can be asked for in words."""
    encoder = checkpoint.text_encoder
    if encoder is None:
        return list(range(len(skeletons)))
    return [label for label, skeleton in enumerate(skeletons) if can_read(encoder, skeleton)]


def words(
    checkpoint: Checkpoint, quiz: Quiz, seed: int | None = None, clip: str | None = None
) -> list[list[list[Found]]]:
    """Answers to all readable categories in words; with a seed in other words than those of their skeleton files."""
    labels = readable(checkpoint, quiz.skeletons)
    skeletons = [quiz.skeletons[label] for label in labels]
    if seed is not None:
        rng = np.random.default_rng(seed)
        skeletons = [_in_other_words(skeleton, rng) for skeleton in skeletons]
    bank = embed_prompts([Prompt(skeleton) for skeleton in skeletons], checkpoint, clip)
    return answers(checkpoint, bank, quiz, labels)


def alone(checkpoint: Checkpoint, quiz: Quiz, clip: str | None = None) -> list[list[list[Found]]]:
    """Answers to all readable categories in words, one pass for each."""
    found: list[list[list[Found]]] = [[[] for _ in quiz.skeletons] for _ in quiz.indices]
    for label in readable(checkpoint, quiz.skeletons):
        bank = embed_prompts([Prompt(quiz.skeletons[label])], checkpoint, clip)
        for frame, seen in zip(found, answers(checkpoint, bank, quiz, [label]), strict=True):
            frame[label] = seen[label]
    return found


def instead(checkpoint: Checkpoint, quiz: Quiz, skeleton: Skeleton) -> list[list[Found]]:
    """Per picture what is found of a category that the quiz does not have, in words."""
    bank = embed_prompts([Prompt(skeleton)], checkpoint)
    return [frame[0] for frame in answers(checkpoint, bank, quiz, [0], (skeleton,))]


def shown(
    checkpoint: Checkpoint,
    quiz: Quiz,
    examples: Sequence[Sequence[Example]],
    with_words: bool = False,
    clip: str | None = None,
) -> list[list[list[Found]]]:
    """Answers to all categories that have `examples` (per class), by example or both."""
    prompts = [
        Prompt(skeleton, with_words, tuple(given))
        for skeleton, given in zip(quiz.skeletons, examples, strict=True)
        if given
    ]
    labels = [label for label, given in enumerate(examples) if given]
    return answers(checkpoint, embed_prompts(prompts, checkpoint, clip), quiz, labels)


def draw_examples(data: Mixture, shots: int, rng: np.random.Generator, among: NDArray[np.int64]) -> list[list[Example]]:
    """For every class up to `shots` instances from different pictures `among` those of `data`.

    Of OFFERED times as many random ones they are those that show most keypoints, as a user would choose them; hidden
    ones are marked too, as annotators of COCO do.
    """
    chosen: list[list[tuple[int, Example]]] = [[] for _ in data.skeletons]  # with how many can be seen
    for index in rng.permutation(among):
        if all(len(examples) >= OFFERED * shots for examples in chosen):
            break
        picture = data.readable(int(index))
        if picture is None:
            continue
        taken: set[int] = set()
        for row in np.flatnonzero(~picture.ignore):
            label = int(picture.classes[row])
            own = picture.keypoints[row, : len(data.skeletons[label].keypoints)]
            seen = own[:, 2] == 2
            large = picture.boxes[row, 2:] - picture.boxes[row, :2]
            if label in taken or len(chosen[label]) >= OFFERED * shots or seen.sum() < min(LEAST_SEEN, len(own)):
                continue
            if np.sqrt(large.prod() / np.prod(picture.size)) < 0.12:
                continue
            points = np.where(own[:, 2:] > 0, own[:, :2], np.nan)
            example = Example(picture.rgb, picture.boxes[row].astype(float), points.astype(float))
            chosen[label].append((int(seen.sum()), example))
            taken.add(label)
    best = (sorted(examples, key=lambda one: -one[0])[:shots] for examples in chosen)
    return [[example for _, example in examples] for examples in best]


def score(
    quiz: Quiz, found: list[list[list[Found]]], labels: Sequence[int] | None = None
) -> dict[str, dict[str, float]]:
    """Per category with instances: PCK, AP, recall, precision, instances, and false positives where it is absent.

    `labels` are the categories that were asked for, by default all. Under "mean" the means over these. False positives
    are per picture without any instance of the category in which all of them would be annotated.
    """
    scores: dict[str, dict[str, float]] = {}
    known = np.stack([quiz.data.known(int(i)) for i in quiz.indices])
    for label in range(len(quiz.skeletons)) if labels is None else labels:
        skeleton = quiz.skeletons[label]
        rows = np.flatnonzero(known[:, label])
        truth = [quiz.truth[i][label] for i in rows]
        given = [found[i][label] for i in rows]
        if not any(_demanded(instance) for instances in truth for instance in instances):
            continue
        confident = [[answer for answer in frame if answer.score > SHOWN] for frame in given]
        empty = [len(frame) for frame, instances in zip(confident, truth, strict=True) if not instances]
        ap = oks_ap(truth, given, skeleton.sigmas)
        hits, wanted, counted = (sum(counts) for counts in zip(*map(_hits, truth, confident), strict=True))
        scores[skeleton.category] = (
            {f"PCK@{t}": share for t, share in pck(truth, confident, (0.05, 0.1, 0.2)).items()}
            | {"AP": ap["AP"], "AP50": ap["AP50"]}
            | {"recall": hits / max(wanted, 1), "precision": hits / max(counted, 1), "instances": float(wanted)}
            | {"false positives": float(np.mean(empty)) if empty else float("nan")}
        )
    if scores:
        names = next(iter(scores.values()))
        scores["mean"] = {name: _mean([one[name] for one in scores.values()]) for name in names}
    return scores


def judge(quiz: Quiz, found: list[list[list[Found]]]) -> Judged | None:
    """The keypoints of all detections that match an instance; None when the model says nothing of single keypoints."""
    parts: list[list[NDArray[Any]]] = []
    for frames, candidates in zip(quiz.truth, found, strict=True):
        for instances, given in zip(frames, candidates, strict=True):
            for instance, row in answered(instances, given):
                answer, truth = given[row], instance.keypoints
                if answer.keypoint_scores is None or answer.keypoint_sigmas is None:
                    continue
                told = (truth[:, 2] >= 0) & np.isfinite(answer.keypoints).all(1)
                columns = answer.keypoint_scores, truth[:, 2] == 2, errors(instance, answer), answer.keypoint_sigmas
                parts.append([column[told] for column in columns])
    return Judged(*(np.concatenate(column) for column in zip(*parts, strict=True))) if parts else None


def answered(instances: Sequence[Instance], given: Sequence[Found]) -> list[tuple[Instance, int]]:
    """The instances of a class that were found and are to be, each with the row of its answer in `given`."""
    rows = [row for row, answer in enumerate(given) if answer.score > SHOWN]
    pairs = matched(instances, [given[row] for row in rows], FOUND_IOU)
    return [(instances[i], rows[c]) for i, c in pairs if _demanded(instances[i])]


def errors(instance: Instance, answer: Found) -> NDArray[np.float64]:
    """How far keypoints [K] are from their true places, px; NaN where these are not known."""
    error = np.linalg.norm(answer.keypoints - instance.keypoints[:, :2], axis=1)
    return np.where(instance.keypoints[:, 2] > 0, error, np.nan)


def _in_other_words(skeleton: Skeleton, rng: np.random.Generator) -> Skeleton:
    category, keypoints = reworded(skeleton, rng)
    return Skeleton(category, tuple(keypoints), skeleton.edges, skeleton.pairs, skeleton.sigmas)


def _truth(picture: Picture, data: Mixture) -> list[list[Instance]]:
    truth: list[list[Instance]] = [[] for _ in data.skeletons]
    for row, label in enumerate(picture.classes):
        area = None if picture.areas is None or np.isnan(picture.areas[row]) else float(picture.areas[row])
        points = picture.keypoints[row, : len(data.skeletons[label].keypoints)].astype(float)
        truth[label].append(Instance(row, picture.boxes[row].astype(float), points, bool(picture.ignore[row]), area))
    return truth


def _by_class(seen: Detections, labels: Sequence[int], skeletons: Sequence[Skeleton]) -> list[list[Found]]:
    found: list[list[Found]] = [[] for _ in skeletons]
    for row in range(len(seen)):
        label = labels[int(seen.class_ids[row])]
        own = slice(len(skeletons[label].keypoints))
        answer = Found(seen.boxes[row], float(seen.scores[row]), seen.keypoints[row, own])
        if seen.keypoint_sigmas is not None:
            sure, sigmas = seen.keypoint_scores[row, own], seen.keypoint_sigmas[row, own]
            answer = replace(answer, keypoint_scores=sure, keypoint_sigmas=sigmas)
        found[label].append(answer)
    return found


def _input(rgb: NDArray[Any], size: tuple[int, int]) -> NDArray[np.float32]:
    """A picture as the model takes it, of (width, height) `size`."""
    shrinks = size[0] < rgb.shape[1]
    return normalised(np.asarray(cv2.resize(rgb, size, interpolation=cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR)))


def _hits(instances: Sequence[Instance], given: Sequence[Found]) -> tuple[int, int, int]:
    """How many instances were found at an IoU of 0.5, how many there are, and how many answers count."""
    pairs = matched(instances, given, FOUND_IOU)
    hit = sum(_demanded(instances[i]) for i, _ in pairs)
    return hit, sum(map(_demanded, instances)), len(given) - (len(pairs) - hit)


def _demanded(instance: Instance) -> bool:
    return not instance.ignore and bool((instance.keypoints[:, 2] > 0).any())


def _mean(values: Sequence[float]) -> float:
    known = [value for value in values if not np.isnan(value)]
    return float(np.mean(known)) if known else float("nan")
