"""What the model is trained to make small: the losses of DETR's pose-estimating descendants on every layer."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from xpose_stream.engines.xpose import Layer, Stages
from xpose_stream.engines.xpose.guess import Guess
from xpose_stream.training.data.geometry import overlap, similarity
from xpose_stream.training.data.targets import Targets
from xpose_stream.training.exam.confidence import confidence_loss
from xpose_stream.training.learning.denoising import Noised
from xpose_stream.training.learning.grouping import BESIDE_IOU
from xpose_stream.training.learning.guessing import guess_losses
from xpose_stream.training.learning.initialise import START_LOGIT
from xpose_stream.training.learning.matching import match

# Predictions that overlap an ignored instance this much are not punished for having found something.
IGNORED_IOU = 0.5


@dataclass(frozen=True, slots=True)
class Weights:
    """Weight of every part of the loss.

    Source: ED-Pose (Yang et al. 2023), whose keypoint L1 counts 10 per keypoint of an instance and not, as here, per
    instance; about a third of that.
    """

    classes: float = 4.0
    box: float = 5.0
    giou: float = 2.0
    keypoint: float = 50.0
    oks: float = 8.0
    heat: float = 2.0
    confidence: float = 0.5
    hidden: float = 0.4  # a keypoint nobody can see counts this much


@dataclass(frozen=True, slots=True)
class Losses:
    """All losses of a batch.

    Attributes:
        weights: how much each part counts.
        sigmas: [C, K] COCO's spread of every keypoint of the classes asked for.
        proposal_size: side of a proposal on the finest level as a fraction of the image; it doubles per level.
        levels: number of levels, of which the finest has stride 8.
        guess: the model's first guess, where it has one.
    """

    sigmas: Tensor
    proposal_size: float
    levels: int
    weights: Weights = Weights()
    guess: Guess | None = None

    def __call__(
        self, stages: Stages, targets: Targets, noised: Noised | None = None, seeds: Tensor | None = None
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """The sum to be minimised and, to be watched, parts of it: those of the last layer, and those of the tokens.

        `seeds` [B, C, K, D] are the keypoint prompts as the decoder gets them; without them there is no heat loss.
        """
        with torch.autocast(targets.boxes.device.type, enabled=False):
            assert stages.proposals is not None  # it is there in training
            searched, _, query = self._layers([stages.proposals, *stages.box_layers], targets)
            # Groups do not see each other, so only the box layers can tell which of several queries on one instance
            # is to answer; the keypoint layers keep to that.
            kept = stages.group_index[:, :, None] == query[-1][:, None, :]
            posed, parts, answer = self._layers(stages.keypoint_layers, targets, kept, stages.group_classes)
            parts["dense"] = self._dense(stages, targets)
            parts["beside"] = self._beside(stages, targets, answer[-1])
            total = searched + posed + parts["dense"] + parts["beside"]
            if stages.output.visibility is not None:
                own = answer[-1].where(_own_class(answer[-1:], stages.group_classes, targets)[0], -1)
                parts["confidence"] = confidence_loss(stages.output, own, targets)
                total = total + self.weights.confidence * parts["confidence"]
            if seeds is not None:
                parts["heat"] = self._heat(stages.memory.float(), seeds.float(), targets)
                total = total + self.weights.heat * parts["heat"]
            if self.guess is not None and stages.guessed is not None:
                guessed = guess_losses(self.guess, stages.guessed, targets, self.sigmas)
                parts |= guessed
                total = total + torch.stack(list(guessed.values())).sum()
            if noised is not None and stages.denoised:
                parts["denoising"] = self._denoising(stages.denoised, targets, noised)
                total = total + parts["denoising"]
        return total, {name: part.detach() for name, part in parts.items()}

    def _layers(
        self,
        layers: Sequence[Layer],
        targets: Targets,
        kept: Tensor | None = None,
        group_classes: Tensor | None = None,
    ) -> tuple[Tensor, dict[str, Tensor], Tensor]:
        """Weighted sum over layers of one kind, the unweighted parts of the last, and the queries [L, B, M] matched.

        Where a group took an instance for another class, whose keypoints it has, its keypoints cannot learn.
        """
        logits = torch.stack([layer.logits for layer in layers]).float()  # [L, B, Q, C]
        boxes = torch.stack([layer.boxes for layer in layers]).float()
        given = [layer.keypoints for layer in layers if layer.keypoints is not None]
        keypoints = torch.stack(given).float() if given else None  # [L, B, Q, K, 2]
        sigmas = self.sigmas[targets.classes]  # [B, M, K]
        query = match(logits, boxes, targets, keypoints, sigmas if given else None, kept)  # [L, B, M]
        matched = query >= 0
        found, count = matched.float(), targets.count

        # Slots without a query write to a row beyond the last, which is cut off.
        rows = torch.where(matched, query, logits.shape[2])
        wanted = F.pad(torch.zeros_like(logits), (0, 0, 0, 1))
        one_hot = F.one_hot(targets.classes, logits.shape[-1]).float().expand(*query.shape, -1)
        wanted = wanted.scatter(2, rows[..., None].expand_as(one_hot), one_hot)[:, :, :-1]
        demanded = wanted.amax(-1).bool() | ~_ignored(boxes, targets)
        parts = {"class": (focal(logits, wanted) * demanded[..., None] * targets.known[:, None]).sum((1, 2, 3)) / count}

        picked = _pick(boxes, query)
        parts["box"] = ((picked - targets.boxes).abs().sum(-1) * found).sum((1, 2)) / count
        parts["giou"] = ((1 - overlap(picked, targets.boxes)[1]) * found).sum((1, 2)) / count
        weights = self.weights
        total = weights.classes * parts["class"] + weights.box * parts["box"] + weights.giou * parts["giou"]
        if keypoints is not None:
            points = _pick(keypoints.flatten(-2), query).unflatten(-1, keypoints.shape[-2:])
            if group_classes is not None:
                found = found * _own_class(query, group_classes, targets)
            share = self._shares(targets) * found[..., None]  # [L, B, M, K]
            distance = (points - targets.keypoints).abs().sum(-1)
            alike = similarity(points, targets.keypoints, targets.boxes, sigmas, targets.aspect)
            parts["keypoint"] = (distance * share).sum((1, 2, 3)) / count
            parts["oks"] = ((1 - alike) * share).sum((1, 2, 3)) / count
            total = total + weights.keypoint * parts["keypoint"] + weights.oks * parts["oks"]
        return total.sum(), {name: part[-1] for name, part in parts.items()}, query

    def _beside(self, stages: Stages, targets: Targets, answer: Tensor) -> Tensor:
        """Groups on an instance for which another group answers (`answer` [B, M]) learn its keypoints all the same.

        All of them count together as much as the one that answers. Source: one-to-many supervision (Jia et al., DETRs
        with Hybrid Matching, CVPR 2023).
        """
        index = stages.group_index
        boxes = stages.box_layers[-1].boxes.float()[torch.arange(len(index))[:, None], index].detach()  # [B, G, 4]
        answers = (torch.arange(index.shape[1], device=index.device)[:, None] == answer[:, None]).any(-1)
        own = (stages.group_classes[:, :, None] == targets.classes[:, None]) & targets.real[:, None]  # [B, G, M]
        most, slot = (overlap(boxes[:, :, None], targets.boxes[:, None])[0] * own).max(-1)
        image, group = ((most >= BESIDE_IOU) & ~answers).nonzero(as_tuple=True)
        slot = slot[image, group]  # of every one of N such groups
        instance = image * targets.real.shape[1] + slot
        share = self._shares(targets)[image, slot] / instance.bincount()[instance][:, None]  # [N, K]
        layers = [layer.keypoints for layer in stages.keypoint_layers if layer.keypoints is not None]
        points = torch.stack([keypoints[image, group].float() for keypoints in layers])  # [L, N, K, 2]
        truth, box = targets.keypoints[image, slot], targets.boxes[image, slot]
        sigmas = self.sigmas[targets.classes[image, slot]]
        alike = similarity(points, truth, box, sigmas, targets.aspect)  # [L, N, K]
        cost = self.weights.keypoint * (points - truth).abs().sum(-1) + self.weights.oks * (1 - alike)
        return (cost * share).sum() / targets.count

    def _shares(self, targets: Targets) -> Tensor:
        """Weight of every keypoint [B, M, K], adding up to 1 per instance that has any, less what is not trusted."""
        weight = (targets.visibility == 2).float() + self.weights.hidden * (targets.visibility == 1).float()
        if targets.trust is not None:
            return weight * targets.trust / weight.sum(-1, keepdim=True).clamp(min=1e-6)
        return weight / weight.sum(-1, keepdim=True).clamp(min=1e-6)

    def _dense(self, stages: Stages, targets: Targets) -> Tensor:
        """Every image token near the centre of an instance of its level's size is to find it; the others nothing.

        Tokens of the neighbouring levels there, and tokens inside ignored instances, may do as they like.
        """
        assert stages.token_boxes is not None  # it is there in training
        logits, boxes = stages.token_logits.float(), stages.token_boxes.float()
        centre, cell, level = (x.to(boxes.device) for x in token_grid(targets.size, self.levels))
        side = targets.boxes[..., 2:].prod(-1).clamp(min=1e-8).sqrt()
        own = (side / self.proposal_size).log2().round().clamp(0, self.levels - 1)  # [B, M]
        offset = (centre[:, None] - targets.boxes[:, None, :, :2]).abs()  # [B, S, M, 2]
        reach = torch.maximum(targets.boxes[:, None, :, 2:] / 4, 0.6 * cell[:, None])
        near = (offset <= reach).all(-1) & targets.real[:, None]
        away = (level[:, None] - own[:, None]).abs()  # [B, S, M]
        valid = stages.token_valid  # [1 | B, S]
        positive = near & (away == 0) & valid[..., None]
        distance = (offset / reach).square().sum(-1).masked_fill(~positive, torch.inf)
        nearest = distance.argmin(-1)  # [B, S]
        found = positive.any(-1)
        inside = (offset <= targets.boxes[:, None, :, 2:] / 2).all(-1) & targets.ignore[:, None]
        spared = ((near & (away <= 1)) | inside).any(-1) & ~found

        one_hot = F.one_hot(targets.classes.gather(1, nearest), logits.shape[-1]).float() * found[..., None]
        demanded = (valid & ~spared).float()[..., None] * targets.known[:, None]
        count = found.sum().clamp(min=1)
        classes = (focal(logits, one_hot) * demanded).sum() / count
        # Only the few positive tokens have a box to learn.
        image, token = found.nonzero(as_tuple=True)
        predicted, true = boxes[image, token], targets.boxes[image, nearest[image, token]]
        l1 = (predicted - true).abs().sum() / count
        giou = (1 - overlap(predicted, true)[1]).sum() / count
        return self.weights.classes * classes + self.weights.box * l1 + self.weights.giou * giou

    def _heat(self, memory: Tensor, seeds: Tensor, targets: Targets) -> Tensor:
        """Image tokens of the two finest levels are to be like the seeds of the visible keypoints they lie on.

        Left and right part only once image tokens tell front from back, which nothing else asks of them: until then
        both are best placed in the middle.
        """
        centre, cell, level = (x.to(memory.device) for x in token_grid(targets.size, self.levels))
        fine = level < 2
        logits = torch.einsum("bsd,bckd->bsck", memory[:, fine], seeds) * seeds.shape[-1] ** -0.5 - START_LOGIT
        offset = (centre[fine][:, None, None] - targets.keypoints[:, None]).abs()  # [B, S, M, K, 2]
        near = (offset <= 0.75 * cell[fine][:, None, None]).all(-1)
        of_class = F.one_hot(targets.classes, seeds.shape[1]) * (targets.real | targets.ignore)[..., None]  # [B, M, C]

        def lies_on(state: int) -> Tensor:
            """[B, S, C, K] True where a token lies on a keypoint of that visibility."""
            on = (near & (targets.visibility == state)[:, None]).float()
            return torch.einsum("bsmk,bmc->bsck", on, of_class.float()) > 0

        positive, hidden = lies_on(2), lies_on(1)
        demanded = (positive | ~hidden) * targets.known[:, None, :, None]
        return (focal(logits, positive.float()) * demanded).sum() / positive.sum().clamp(min=1)

    def _denoising(self, layers: Sequence[Layer], targets: Targets, noised: Noised) -> Tensor:
        """Positive noised queries find their instance again, the negative ones say that they are none."""
        logits = torch.stack([layer.logits for layer in layers]).float()  # [L, B, N, C]
        boxes = torch.stack([layer.boxes for layer in layers]).float()
        found = noised.instance >= 0
        slot = noised.instance.clamp(min=0)
        one_hot = F.one_hot(targets.classes.gather(1, slot), logits.shape[-1]).float() * found[..., None]
        spared = _ignored(boxes, targets) & ~found
        count = found.sum().clamp(min=1)
        true = targets.boxes.gather(1, slot[..., None].expand(-1, -1, 4))
        demanded = ~spared[..., None] * targets.known[:, None]
        classes = (focal(logits, one_hot.expand_as(logits)) * demanded).sum() / count
        l1 = ((boxes - true).abs().sum(-1) * found).sum() / count
        giou = ((1 - overlap(boxes, true)[1]) * found).sum() / count
        return self.weights.classes * classes + self.weights.box * l1 + self.weights.giou * giou


def focal(logits: Tensor, wanted: Tensor, alpha: float = 0.25) -> Tensor:
    """Sigmoid focal loss with gamma 2, element by element. Source: Lin et al., Focal Loss (ICCV 2017)."""
    probability = logits.sigmoid()
    missed = wanted * (1 - probability) + (1 - wanted) * probability
    balance = wanted * alpha + (1 - wanted) * (1 - alpha)
    return balance * missed.square() * F.binary_cross_entropy_with_logits(logits, wanted, reduction="none")


def token_grid(size: tuple[int, int], levels: int) -> tuple[Tensor, Tensor, Tensor]:
    """Of every image token, all levels row by row: centre [S, 2] and cell [S, 2] as fractions (x, y), level [S]."""
    height, width = (math.ceil(side / 8) for side in size)
    centres, cells, numbers = [], [], []
    for level in range(levels):
        y, x = torch.meshgrid(torch.arange(height), torch.arange(width), indexing="ij")
        cell = torch.tensor((1 / width, 1 / height))
        centres.append((torch.stack((x, y), -1).flatten(0, 1) + 0.5) * cell)
        cells.append(cell.expand(height * width, 2))
        numbers.append(torch.full((height * width,), float(level)))
        height, width = math.ceil(height / 2), math.ceil(width / 2)
    return torch.cat(centres), torch.cat(cells), torch.cat(numbers)


def _ignored(boxes: Tensor, targets: Targets) -> Tensor:
    """[L, B, Q] True where a predicted box lies on an ignored instance."""
    if not bool(targets.ignore.any()):
        return boxes.new_zeros(boxes.shape[:-1], dtype=torch.bool)
    with torch.no_grad():
        iou = overlap(boxes[..., None, :], targets.boxes[:, None])[0]  # [L, B, Q, M]
        return ((iou > IGNORED_IOU) & targets.ignore[:, None]).any(-1)


def _own_class(query: Tensor, group_classes: Tensor, targets: Targets) -> Tensor:
    """[L, B, M] True where the matched group has the keypoints of the instance's class."""
    return group_classes.expand(len(query), -1, -1).gather(2, query.clamp(min=0)) == targets.classes


def _pick(values: Tensor, query: Tensor) -> Tensor:
    """[L, B, Q, D] and [L, B, M] -> [L, B, M, D]; anything where the query is -1."""
    return values.gather(2, query.clamp(min=0)[..., None].expand(*query.shape, values.shape[-1]))
