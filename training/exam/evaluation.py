"""How right predictions are: PCK, OKS-AP and IDF1 against ground truth. Knows no model and no tracker."""

from __future__ import annotations

import contextlib
import io
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval
from scipy.optimize import linear_sum_assignment

from xpose_stream.training.exam.truth import Instance

# COCO's silhouettes of persons cover about this share of their box; stands in where the area is unknown.
AREA_OF_BOX = 0.53
# Far outside any picture: what was not given is wrong, in a metric that knows no NaN.
NOWHERE = -1e6


@dataclass(frozen=True, slots=True)
class Found:
    """One predicted instance: box [4] xyxy px, score, keypoints [K, 2] px (NaN: not given), identity if tracked.

    Where the model tells them, `keypoint_scores` [K] and `keypoint_sigmas` [K] px.
    """

    box: NDArray[np.float64]
    score: float
    keypoints: NDArray[np.float64]
    id: int | None = None
    keypoint_scores: NDArray[np.float64] | None = None
    keypoint_sigmas: NDArray[np.float64] | None = None


def found(
    boxes: NDArray[Any], scores: NDArray[Any], keypoints: NDArray[Any], ids: NDArray[Any] | None = None
) -> list[Found]:
    """The predictions of one frame from arrays: boxes [N, 4], scores [N], keypoints [N, K, 2], ids [N]."""
    names = [None] * len(boxes) if ids is None else [int(i) for i in ids]
    rows = zip(boxes, scores, keypoints, names, strict=True)
    return [Found(np.asarray(b, float), float(s), np.asarray(k, float), i) for b, s, k, i in rows]


def pck(
    truth: Sequence[Sequence[Instance]],
    predicted: Sequence[Sequence[Found]],
    thresholds: Sequence[float] = (0.05, 0.1, 0.2),
) -> dict[float, float]:
    """Share of annotated keypoints (v > 0) predicted within threshold * max(width, height) of the instance's box.

    Within a frame predictions are assigned to instances so that the sum of box IoUs is largest, pairs below 0.3 never;
    scores play no part, so pass only what would be shown. A missed instance's keypoints all count as wrong. Ignored
    instances take their predictions away but count neither way. NaN without any annotated keypoint.

    Args:
        truth, predicted: per frame the instances and the predictions, equally long.
        thresholds: fractions of the instance's size.
    """
    errors: list[NDArray[np.float64]] = []
    for instances, candidates in zip(truth, predicted, strict=True):
        matches = dict(matched(instances, candidates, 0.3))
        for index, instance in enumerate(instances):
            if instance.ignore:
                continue
            annotated = instance.keypoints[:, 2] > 0
            error = np.full(int(annotated.sum()), np.inf)
            if index in matches:
                offset = candidates[matches[index]].keypoints - instance.keypoints[:, :2]
                size = max(instance.box[2:] - instance.box[:2])
                error = np.nan_to_num(np.hypot(*offset[annotated].T) / size, nan=np.inf)
            errors.append(error)
    flat = np.concatenate(errors) if errors else np.empty(0)
    return {t: float(np.mean(flat <= t)) if len(flat) else float("nan") for t in thresholds}


def oks_ap(
    truth: Sequence[Sequence[Instance]], predicted: Sequence[Sequence[Found]], sigmas: Sequence[float]
) -> dict[str, float]:
    """COCO's keypoint AP, AP50, AP75 and AR (20 predictions per frame), computed by pycocotools.

    An instance's area is its silhouette's, or 0.53 of its box where that is unknown. Ignored instances are COCO's
    crowds: all that matches them is dropped; of what matches one without annotated keypoints, one prediction is.
    Keypoints that were not given are wrong. NaN without any instance to find.

    Args:
        truth, predicted: per frame the instances and the predictions, equally long.
        sigmas: [K] OKS fall-off per keypoint, COCO's convention.
    """
    images = [{"id": frame} for frame in range(len(truth))]
    annotations = [_annotation(i, frame) for frame, instances in enumerate(truth) for i in instances]
    results = [_result(p, frame) for frame, candidates in enumerate(predicted) for p in candidates]
    if len(truth) != len(predicted):
        raise ValueError(f"There are {len(truth)} frames of truth but {len(predicted)} of predictions.")
    if not any(a["num_keypoints"] and not a["iscrowd"] for a in annotations):
        return dict.fromkeys(("AP", "AP50", "AP75", "AR"), float("nan"))
    with contextlib.redirect_stdout(io.StringIO()):  # pycocotools prints its progress
        evaluation = COCOeval(_coco(images, annotations), _coco(images, results), "keypoints")
        evaluation.params.kpt_oks_sigmas = np.asarray(sigmas, float)
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    ap, ap50, ap75, _, _, ar = evaluation.stats[:6]
    return {"AP": float(ap), "AP50": float(ap50), "AP75": float(ap75), "AR": float(ar)}


def idf1(truth: Sequence[Sequence[Instance]], predicted: Sequence[Sequence[Found]]) -> dict[str, float]:
    """Identity F1, precision and recall (Ristani et al., 2016): each true identity gets at most one predicted one.

    The assignment over the whole clip is the one with most frames in which both boxes overlap with IoU >= 0.5. A
    prediction that fits an ignored instance best, as does the instance, is taken out first. NaN where nothing is there.

    Args:
        truth, predicted: per frame the instances and the predictions with ids, equally long.
    """
    together: Counter[tuple[int, int]] = Counter()
    true_frames: Counter[int] = Counter()
    predicted_frames: Counter[int] = Counter()
    for instances, candidates in zip(truth, predicted, strict=True):
        excused = {c for i, c in matched(instances, candidates, 0.5) if instances[i].ignore}
        wanted = [i for i in instances if not i.ignore]
        given = [p for index, p in enumerate(candidates) if index not in excused]
        true_frames.update(i.id for i in wanted)
        predicted_frames.update(_identity(p) for p in given)
        for row, column in zip(*np.nonzero(_ious(wanted, given) >= 0.5), strict=True):
            together[wanted[row].id, _identity(given[column])] += 1
    true_ids, predicted_ids = list(true_frames), list(predicted_frames)
    shared = np.array([[together[t, p] for p in predicted_ids] for t in true_ids]).reshape(
        len(true_ids), len(predicted_ids)
    )
    hits = int(shared[linear_sum_assignment(shared, maximize=True)].sum())
    return {
        "idf1": _ratio(2 * hits, true_frames.total() + predicted_frames.total()),
        "idp": _ratio(hits, predicted_frames.total()),
        "idr": _ratio(hits, true_frames.total()),
    }


def _ious(instances: Sequence[Instance], candidates: Sequence[Found]) -> NDArray[np.float64]:
    a = np.array([i.box for i in instances]).reshape(-1, 1, 4)
    b = np.array([p.box for p in candidates]).reshape(1, -1, 4)
    overlap = (np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])).clip(0).prod(-1)
    union = (a[..., 2:] - a[..., :2]).prod(-1) + (b[..., 2:] - b[..., :2]).prod(-1) - overlap
    return overlap / np.maximum(union, 1e-12)


def matched(instances: Sequence[Instance], candidates: Sequence[Found], least: float) -> list[tuple[int, int]]:
    """Pairs (instance, candidate) with the largest sum of IoU, none of them below `least`."""
    iou = _ious(instances, candidates)
    iou[iou < least] = 0.0
    pairs = zip(*linear_sum_assignment(iou, maximize=True), strict=True)
    return [(int(i), int(c)) for i, c in pairs if iou[i, c] > 0.0]


def _annotation(instance: Instance, frame: int) -> dict[str, Any]:
    width, height = (instance.box[2:] - instance.box[:2]).tolist()
    return {
        "image_id": frame,
        "category_id": 1,
        "bbox": [*instance.box[:2].tolist(), width, height],
        "area": AREA_OF_BOX * width * height if instance.area is None else instance.area,
        "keypoints": instance.keypoints.ravel().tolist(),
        "num_keypoints": int(np.count_nonzero(instance.keypoints[:, 2] > 0)),
        "iscrowd": int(instance.ignore),
    }


def _result(prediction: Found, frame: int) -> dict[str, Any]:
    keypoints = np.nan_to_num(prediction.keypoints, nan=NOWHERE)
    return {
        "image_id": frame,
        "category_id": 1,
        "score": prediction.score,
        "area": float((prediction.box[2:] - prediction.box[:2]).prod()),
        "keypoints": np.column_stack([keypoints, np.ones(len(keypoints))]).ravel().tolist(),
        "iscrowd": 0,
    }


def _coco(images: list[dict[str, Any]], annotations: list[dict[str, Any]]) -> COCO:
    """COCO's index over annotations in memory; ids from 1, because pycocotools takes 0 for "no match"."""
    coco = COCO()
    numbered = [annotation | {"id": number} for number, annotation in enumerate(annotations, start=1)]
    coco.dataset = {"images": images, "categories": [{"id": 1}], "annotations": numbered}
    coco.createIndex()
    return coco


def _identity(prediction: Found) -> int:
    if prediction.id is None:
        raise ValueError("IDF1 needs predictions with ids; these come from a detector, not a tracker.")
    return prediction.id


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else float("nan")
