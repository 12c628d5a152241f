"""Confidence is taught anew to weights that are otherwise left as they are."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from tests.training import coco_files
from xpose_stream.engines import NANO
from xpose_stream.engines.checkpoint import Checkpoint, load, save
from xpose_stream.engines.xpose import XPose, XPoseConfig
from xpose_stream.engines.xpose.confidence import CLUES, Confidence
from xpose_stream.training.data.bank import render_shard
from xpose_stream.training.data.dataset import DataError
from xpose_stream.training.data.shard import Shard, write_shard
from xpose_stream.training.data.sources import open_sources
from xpose_stream.training.exam.calibrate import Lessons, Order, calibrate, clued, learn, lessons, tracker_settings
from xpose_stream.training.exam.confidence import Judged, auroc
from xpose_stream.training.exam.scorecard import Quiz
from xpose_stream.training.world.category import TRAINED
from xpose_stream.training.world.draw import Draw


@pytest.fixture(scope="module")
def shard() -> Shard:
    """Pictures of things that xpose-nano knows."""
    return render_shard(Draw("train", 100), 24, TRAINED)


@pytest.fixture(scope="module")
def bank(shard: Shard, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("world")
    write_shard(folder / "shard-00000.npz", shard)
    return folder


def test_confidence_is_right_where_it_was_wrong_and_nothing_else_changes(bank: Path, tmp_path: Path) -> None:
    wrong, right = tmp_path / "wrong.safetensors", tmp_path / "right.safetensors"
    checkpoint = load(NANO)
    assert checkpoint.model.confidence is not None
    checkpoint.model.confidence.calibrate(slope=0.2, offset=3.0, scale=0.2)
    save(wrong, Checkpoint(checkpoint.model, checkpoint.text_encoder, checkpoint.provenance))
    told = calibrate(Order(wrong, [str(bank)], [str(bank)], right))
    before, after = (load(path).model.state_dict() for path in (wrong, right))
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert all(name.startswith("confidence.") for name in changed)
    assert "confidence.mlp.layers.0.weight" in changed  # it has learned; the factors are in the last layer
    assert load(right).provenance["calibration"]["test"] == [str(bank)]
    assert told["before"]["within 2 sigma"] < 0.5 and told["before"]["ECE"] > 0.2
    assert told["after"]["within 2 sigma"] > 0.7 and told["after"]["ECE"] < 0.15


def test_confidence_learns_to_know_the_first_guess_and_says_what_it_said_until_then() -> None:
    sizes = {"visual_layers": 1, "guess": (2, 3), "guess_queries": 4, "num_queries": 8, "num_groups": 2}
    torch.manual_seed(0)
    plain = Checkpoint(XPose(replace(XPoseConfig.eyes(), confidence="learned", **sizes)).eval())
    told = clued(plain)
    assert told.model.config.confidence == "clued" and clued(told) is told
    given = torch.randn(1, 3, 64, 64), torch.randn(2, 128), torch.randn(2, 4, 128)
    with torch.no_grad():
        for before, after in zip(plain.model(*given), told.model(*given), strict=True):
            torch.testing.assert_close(before, after)
    assert clued(load(NANO)).model.config.confidence == "learned"  # which has no first guess


def test_the_tracker_s_settings_are_read_and_refused_in_a_sentence(tmp_path: Path) -> None:
    file = tmp_path / "tracker.yaml"
    file.write_text("coast: 0.5\nmeasurement_noise: 0.07\n")
    assert tracker_settings(file) == {"coast": 0.5, "measurement_noise": 0.07}
    for wrong in ("cost: 0.5", "- 1", "{"):
        file.write_text(wrong)
        with pytest.raises(DataError, match=r"has no settings of a tracker .*; give a file that `tune` wrote"):
            tracker_settings(file)


def test_lessons_are_the_keypoints_that_were_found_and_how_far_off_they_are(bank: Path) -> None:
    quiz = Quiz.of(open_sources([str(bank)]), range(8))
    given = lessons(load(NANO), quiz)
    assert given.tokens.shape == (len(given.errors), load(NANO).model.config.hidden_dim)
    assert set(given.visibility.tolist()) <= {-1, 0, 1, 2}
    placed = given.visibility > 0
    assert torch.equal(placed, given.errors.isfinite())
    assert 0.001 < given.errors[placed].median() < 0.1  # of the box


def test_what_tokens_tell_is_learned() -> None:
    rng = np.random.default_rng(0)
    tokens = rng.normal(size=(20_000, 32))
    tokens[:, 4:] = 0
    spread, logits = tokens[:, 0] / 2, 2 * tokens[:, 1]
    visible = rng.random(len(tokens)) < 1 / (1 + np.exp(-logits))
    errors = np.linalg.norm(rng.normal(size=(len(tokens), 2)), axis=1) * np.exp(spread)
    errors[~visible] = np.nan
    torch.manual_seed(0)
    head = Confidence(32)
    learn(head, Lessons(*(torch.tensor(part).float() for part in (tokens, np.where(visible, 2, 0), errors))))
    with torch.no_grad():
        told = head(torch.tensor(tokens).float())
    assert np.corrcoef(told["spread"].numpy(), spread)[0, 1] > 0.95
    scores = told["visibility"].sigmoid().double().numpy()
    measures = Judged(scores, visible, errors, np.exp(told["spread"].double().numpy())).measures()
    assert measures["AUROC"] > auroc(logits, visible) - 0.01
    assert (measures["within 1 sigma"], measures["within 2 sigma"]) == pytest.approx((0.393, 0.865), abs=0.02)


def test_where_there_is_nothing_to_learn_from_nothing_is_written(bank: Path, tmp_path: Path) -> None:
    out = tmp_path / "fit.safetensors"
    annotated = str(coco_files.coco(tmp_path))  # pictures of noise
    with pytest.raises(DataError, match="No detection in words matches an instance of the data to learn from"):
        calibrate(Order(NANO, [annotated], [str(bank)], out))
    with pytest.raises(DataError, match="No detection in words matches an instance of the held-out data"):
        calibrate(Order(NANO, [str(bank)], [annotated], out))
    assert not out.exists()


def test_where_nothing_is_hidden_visibility_cannot_be_learned(bank: Path, shard: Shard, tmp_path: Path) -> None:
    seen = shard.keypoints.copy()
    seen[..., 2] = 2 * np.isfinite(seen[..., 0])
    plain = tmp_path / "plain"
    plain.mkdir()
    write_shard(plain / "shard-00000.npz", replace(shard, keypoints=seen))
    for data, test in ((plain, bank), (bank, plain)):
        with pytest.raises(DataError, match="Visibility needs visible and hidden keypoints"):
            calibrate(Order(NANO, [str(data)], [str(test)], tmp_path / "fit.safetensors"))


def test_weights_without_confidence_are_refused(bank: Path, tmp_path: Path) -> None:
    plain = tmp_path / "plain.safetensors"
    save(plain, Checkpoint(XPose(XPoseConfig.nano()), None, {}))
    with pytest.raises(DataError, match="has no learned confidence"):
        calibrate(Order(plain, [str(bank)], [str(bank)], tmp_path / "fit.safetensors"))


def test_clues_are_learned_together() -> None:
    head = Confidence(8, clued=True)
    told = torch.randn(4000, 8 + CLUES + 1, generator=torch.Generator().manual_seed(0))
    told[:, -1] = 1.0  # all of it is MoveNet's own
    visible = told[:, 8] * told[:, 8 + 3] > 0  # which neither of the two tells alone
    learn(head, Lessons(told, 2.0 * visible, torch.full((4000,), torch.nan)))
    with torch.no_grad():
        assert auroc(head(told)["visibility"].numpy(), visible.numpy()) > 0.9
