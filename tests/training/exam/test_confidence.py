"""Confidence per keypoint is learned, measured and calibrated."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from xpose_stream.engines.xpose import XPoseOutput
from xpose_stream.training.data.targets import Targets
from xpose_stream.training.exam.confidence import (
    GAUSSIAN,
    Judged,
    auroc,
    calibration_error,
    confidence_loss,
    plot_reliability,
)


def judged(count: int = 4000, stretch: float = 1.0, slope: float = 1.0, offset: float = 0.0) -> Judged:
    """Errors that are Gaussian with sigma, of which `sigmas` are `stretch` too large; logits slope, offset off."""
    rng = np.random.default_rng(0)
    sigmas = rng.uniform(1, 10, count)
    errors = np.linalg.norm(rng.normal(size=(count, 2)), axis=1) * sigmas
    logits = rng.normal(size=count) * 2
    visible = rng.random(count) < 1 / (1 + np.exp(-logits))
    given_logits = (logits - offset) / slope
    return Judged(1 / (1 + np.exp(-given_logits)), visible, errors, sigmas * stretch)


@given(st.integers(0, 10_000))
@settings(max_examples=30, deadline=None)
def test_auroc_is_the_share_of_pairs_in_the_right_order(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores, positive = rng.integers(0, 6, 30) / 5, rng.random(30) < 0.4
    pairs = [(a > b) + 0.5 * (a == b) for a in scores[positive] for b in scores[~positive]]
    if pairs:
        assert auroc(scores, positive) == pytest.approx(np.mean(pairs))
    else:
        assert np.isnan(auroc(scores, positive))


def test_errors_of_a_gaussian_lie_within_its_sigmas_as_often_as_they_should() -> None:
    measures = judged().measures()
    assert [measures["within 1 sigma"], measures["within 2 sigma"]] == pytest.approx(GAUSSIAN, abs=0.03)
    assert measures["ECE"] < 0.03
    assert judged(stretch=2.0).measures()["within 1 sigma"] > 0.8


def test_calibration_finds_what_is_off() -> None:
    slope, offset, factor = judged(40_000, stretch=2.0, slope=0.5, offset=-1.0).calibration()
    assert (slope, offset, factor) == pytest.approx((0.5, -1.0, 0.5), abs=0.12)


def test_calibration_error_is_the_distance_of_shares_from_scores() -> None:
    scores = np.repeat([0.25, 0.75], 100)
    positive = np.tile(np.arange(100) < 50, 2)
    assert calibration_error(scores, positive) == pytest.approx(0.25)
    assert calibration_error(scores, np.concatenate((np.arange(100) < 25, np.arange(100) < 75))) == pytest.approx(0)


def test_keypoints_whose_place_is_unknown_count_for_visibility_only() -> None:
    known = judged(100)
    errors = np.where(np.arange(100) < 50, np.nan, known.errors)
    measures = Judged(known.scores, known.visible, errors, known.sigmas).measures()
    assert measures["AUROC"] == known.measures()["AUROC"]
    assert measures["within 1 sigma"] == pytest.approx((known.errors[50:] <= known.sigmas[50:]).mean())


def test_the_plot_is_drawn(tmp_path: Path) -> None:
    plot_reliability(judged(), tmp_path / "plot.png")
    assert (tmp_path / "plot.png").stat().st_size > 5000


def test_the_loss_is_least_at_the_true_visibility_and_the_true_spread() -> None:
    rng = np.random.default_rng(0)
    count, sigma = 4000, 0.1
    apart = rng.normal(0, sigma * 0.3, (count, 2))  # 0.3 of a square image is the box's side
    apart[: count // 25] = 0.4  # one in 25 is on something else, which is to change little
    offset = torch.tensor(apart).float()[None, None]
    targets = Targets(
        boxes=torch.tensor([[[0.5, 0.5, 0.3, 0.3]]]),
        keypoints=torch.full((1, 1, count, 2), 0.5),
        visibility=torch.where(torch.arange(count) % 4 == 0, 1, 2)[None, None],
        classes=torch.zeros(1, 1, dtype=torch.long),
        real=torch.ones(1, 1, dtype=torch.bool),
        ignore=torch.zeros(1, 1, dtype=torch.bool),
        known=torch.ones(1, 1, dtype=torch.bool),
        size=(100, 100),
    )

    def loss(logit: float, spread: float, query: int = 0, aside: float = 0.0) -> float:
        output = XPoseOutput(
            torch.zeros(1, 1, 1), targets.boxes + aside, targets.keypoints + offset, torch.full((1, 1, count), logit),
            torch.full((1, 1, count), spread),
        )  # fmt: skip
        return float(confidence_loss(output, torch.tensor([[query]]), targets))

    best = loss(np.log(3), np.log(sigma))
    for logit, spread in ((0.0, sigma), (2.0, sigma), (np.log(3), 0.8 * sigma), (np.log(3), 1.25 * sigma)):
        assert loss(logit, np.log(spread)) > best + 0.01
    assert loss(0.0, 0.0, query=-1) == 0.0  # nobody answers for the instance
    assert loss(0.0, 0.0, aside=0.15) == 0.0  # who answers is not where it is


def test_the_loss_does_not_move_keypoints() -> None:
    keypoints = torch.rand(1, 1, 3, 2, requires_grad=True)
    spread = torch.zeros(1, 1, 3, requires_grad=True)
    targets = Targets(
        torch.tensor([[[0.5, 0.5, 0.3, 0.3]]]), torch.rand(1, 1, 3, 2), torch.tensor([[[2, 0, -1]]]),
        torch.zeros(1, 1, dtype=torch.long), torch.ones(1, 1, dtype=torch.bool), torch.zeros(1, 1, dtype=torch.bool),
        torch.ones(1, 1, dtype=torch.bool), (100, 100),
    )  # fmt: skip
    visibility = torch.zeros(1, 1, 3, requires_grad=True)
    output = XPoseOutput(torch.zeros(1, 1, 1), targets.boxes, keypoints, visibility, spread)
    confidence_loss(output, torch.tensor([[0]]), targets).backward()
    assert keypoints.grad is None
    assert visibility.grad[0, 0, 0] < 0 < visibility.grad[0, 0, 1] and visibility.grad[0, 0, 2] == 0
    assert spread.grad[0, 0, 0] != 0 and not spread.grad[0, 0, 1:].any()
