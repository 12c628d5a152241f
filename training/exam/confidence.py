"""How right confidence per keypoint is: the loss that teaches it, its measures, and its calibration."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.stats import rankdata
from torch import Tensor
from torch.nn import functional as F

from xpose_stream.engines.xpose import XPoseOutput
from xpose_stream.training.data.geometry import overlap
from xpose_stream.training.data.targets import Targets

# Errors of a 2-D Gaussian within one and two standard deviations per axis.
GAUSSIAN = (1 - np.exp(-0.5), 1 - np.exp(-2.0))
# What sigmas are fitted to: a Gaussian's shares in round figures.
ASKED = (0.40, 0.85)
# An error below this share of the box is as good as none.
NEAREST = 1e-3
# A detection that overlaps an instance less is not taken for it.
FOUND_IOU = 0.5
# Visibility counts more than the spread: to see what hides a keypoint takes more than the last layer.
VISIBILITY, SPREAD = 16.0, 2.0


def confidence_loss(output: XPoseOutput, query: Tensor, targets: Targets) -> Tensor:
    """`sureness_loss` of the keypoints of all detections that count as found.

    `query` [B, M] is the group that answers for an instance, -1 where none does. The error itself is not taught here: a
    model must not get its keypoints right only where it is sure.
    """
    assert output.visibility is not None and output.spread is not None
    index = query.clamp(min=0)[..., None].expand(*query.shape, output.spread.shape[-1])
    visibility, spread = (part.float().gather(1, index) for part in (output.visibility, output.spread))
    boxes = output.boxes.float().gather(1, index[..., :1].expand(*query.shape, 4)).detach()
    found = (query >= 0) & (overlap(boxes, targets.boxes)[0] >= FOUND_IOU)
    with torch.no_grad():
        points = output.keypoints.float().gather(1, index[..., None].expand(*index.shape, 2))
        unit = points.new_tensor((targets.aspect**0.5, targets.aspect**-0.5))
        side = targets.boxes[..., 2:].prod(-1).clamp(min=1e-8).sqrt()[..., None]
        error = ((points - targets.keypoints) * unit).norm(dim=-1) / side
    return sureness_loss(visibility, spread, targets.visibility.masked_fill(~found[..., None], -1), error)


def sureness_loss(visibility: Tensor, spread: Tensor, truth: Tensor, error: Tensor) -> Tensor:
    """Visibility's cross-entropy, which is weighted, and how ill one and two sigmas are quantiles of the error.

    The latter is the pinball loss of quantile regression (Koenker & Bassett, 1978) in logarithms, for the shares of a
    2-D Gaussian's errors. Real errors have longer tails than that, as a keypoint may be taken for another one, and a
    likelihood would stretch sigmas to explain these. Both parts are means over the keypoints they are known of.

    Args:
        visibility, spread: logits and ln sigma as of XPoseOutput, of any one shape.
        truth: COCO's visibility, -1 where it is not known.
        error: in the unit of sigma; anything where `truth` is not above 0.
    """
    told, placed = truth >= 0, truth > 0
    seen = F.binary_cross_entropy_with_logits(visibility, (truth == 2).float(), reduction="none")
    above = error.nan_to_num(1.0).clamp(min=NEAREST).log() - spread
    apart = [(q, above - math.log(n)) for n, q in enumerate(GAUSSIAN, start=1)]
    missed = sum(torch.maximum(q * far, (q - 1) * far) for q, far in apart)
    visible = (seen * told).sum() / told.sum().clamp(min=1)
    return VISIBILITY * visible + SPREAD * (missed * placed).sum() / placed.sum().clamp(min=1)


@dataclass(frozen=True, slots=True, eq=False)
class Judged:
    """N keypoints of detections that were matched to a true instance.

    Attributes:
        scores: [N] probability of being visible.
        visible: [N] bool the truth of it.
        errors, sigmas: [N] px; NaN where the keypoint's true place is not known.
    """

    scores: NDArray[np.float64]
    visible: NDArray[np.bool_]
    errors: NDArray[np.float64]
    sigmas: NDArray[np.float64]

    def measures(self) -> dict[str, float]:
        """AUROC of visibility, its expected calibration error, and how many errors lie within one and two sigmas."""
        ratio = self._ratio()
        within = {f"within {n} sigma": float((ratio <= n).mean()) if len(ratio) else float("nan") for n in (1, 2)}
        return {"AUROC": auroc(self.scores, self.visible), "ECE": calibration_error(self.scores, self.visible)} | within

    def _ratio(self) -> NDArray[np.float64]:
        placed = np.isfinite(self.errors) & np.isfinite(self.sigmas)
        return self.errors[placed] / np.maximum(self.sigmas[placed], 1e-9)

    def calibration(self) -> tuple[float, float, float]:
        """Slope and offset for visibility's logits (Platt, 1999) and factor for the sigmas, as `calibrate` takes them.

        The factor is the one with which the share within one sigma and that within two are least far, whichever is
        farther, from ASKED. Errors have longer tails than a Gaussian's, so that both cannot be met.
        """
        logits = np.log(self.scores / (1 - self.scores)).clip(-15, 15)

        def entropy(parameters: NDArray[np.float64]) -> float:
            z = parameters[0] * logits + parameters[1]
            return float(np.mean(np.logaddexp(0, z) - self.visible * z))

        slope, offset = minimize(entropy, np.array((1.0, 0.0)), method="Nelder-Mead").x
        ratio = self._ratio()
        factors = np.exp(np.linspace(-2, 2, 401))
        apart = [
            max(abs((ratio <= n * f).mean() - share) for n, share in zip((1, 2), ASKED, strict=True)) for f in factors
        ]
        return float(slope), float(offset), float(factors[int(np.argmin(apart))])


def auroc(scores: NDArray[np.float64], positive: NDArray[np.bool_]) -> float:
    """Area under the ROC curve: the chance that a positive scores higher than a negative. NaN without one of either."""
    yes = int(positive.sum())
    no = len(positive) - yes
    if not yes or not no:
        return float("nan")
    return float((rankdata(scores)[positive].sum() - yes * (yes + 1) / 2) / (yes * no))


def calibration_error(scores: NDArray[np.float64], positive: NDArray[np.bool_], bins: int = 10) -> float:
    """Expected calibration error: mean distance of the share of positives from the score, in equal bins of score."""
    rows = _bins(scores, positive, bins)
    total = sum(count for _, _, count in rows)
    return sum(count * abs(score - share) for score, share, count in rows) / total if total else float("nan")


def _bins(scores: NDArray[np.float64], positive: NDArray[np.bool_], bins: int = 10) -> list[tuple[float, float, int]]:
    """Mean score, share of positives and number of every bin that holds any."""
    index = np.minimum((scores * bins).astype(int), bins - 1)
    chosen = (index == i for i in range(bins))
    return [(float(scores[at].mean()), float(positive[at].mean()), int(at.sum())) for at in chosen if at.any()]


def plot_reliability(judged: Judged, picture: Path) -> None:
    """Draw how often keypoints of a score are visible, and how often errors lie within so many sigmas."""
    from matplotlib.figure import Figure  # needed here only

    figure = Figure((9, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    rows = _bins(judged.scores, judged.visible)
    left.plot((0, 1), (0, 1), color="grey", linewidth=1)
    left.plot([score for score, _, _ in rows], [share for _, share, _ in rows], marker="o")
    left.set(title="visibility", xlabel="keypoint score", ylabel="share that is visible", xlim=(0, 1), ylim=(0, 1))
    sigmas = np.linspace(0, 4, 81)
    ratio = judged._ratio()
    right.plot(sigmas, 1 - np.exp(-0.5 * sigmas**2), color="grey", linewidth=1, label="2-D Gaussian")
    right.plot(sigmas, [(ratio <= n).mean() if len(ratio) else np.nan for n in sigmas], label="measured")
    right.set(title="uncertainty", xlabel="sigmas", ylabel="share of errors within", ylim=(0, 1))
    right.legend(fontsize="small")
    for axes in (left, right):
        axes.grid(alpha=0.3)
    figure.savefig(picture, dpi=110)
