from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from xpose_stream.engines.xpose import XPose, XPoseConfig
from xpose_stream.engines.xpose.text import WordEncoder
from xpose_stream.training.data.batches import Batch, collate
from xpose_stream.training.data.dataset import Bank, DataError
from xpose_stream.training.data.mixture import Mixture
from xpose_stream.training.data.picture import crop
from xpose_stream.training.data.wording import category_wordings, vocabulary
from xpose_stream.training.learning.asked import ask
from xpose_stream.training.learning.initialise import initialise
from xpose_stream.training.learning.prompted import Prompted
from xpose_stream.training.learning.trainer import Recipe, Trainer

TINY = replace(
    XPoseConfig.nano(), embed_dim=8, widths=(16, 24, 32, 32), hidden_dim=32, feedforward_dim=64, encoder_layers=1,
    num_queries=20, num_groups=5, prompt_dim=32, visual_layers=1, confidence="learned",
)  # fmt: skip


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    """As in training; several threads only wait for each other where the model is this small."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def data(stick_bank) -> Mixture:
    return Mixture([Bank(stick_bank)])


@pytest.fixture
def batch(data) -> Batch:
    return collate([crop(data[i], (0, 0, 256, 192), (72, 96)) for i in range(4)], np.ones((4, 1), bool))


def trainer(data: Mixture, **recipe) -> Trainer:
    torch.manual_seed(0)
    model = XPose(TINY)
    initialise(model)
    prompted = Prompted(model, WordEncoder(vocabulary(data.skeletons), 32, category_wordings("person")))
    settings = {"images": 4000, "batch": 4, "warm_up": 5} | recipe
    return Trainer(prompted, data, Recipe(**settings), torch.device("cpu"))


def test_the_loss_of_one_batch_falls(batch, data):
    one = trainer(data)
    losses = [float(one.step(batch)[0]["loss"]) for _ in range(25)]
    assert losses[-1] < 0.8 * losses[0]  # though confidence begins to count once instances are found
    assert one.images == 100


def test_classes_start_out_unlikely_and_boxes_as_the_proposals(batch, data):
    one = trainer(data)
    with torch.no_grad():
        rng = np.random.default_rng(0)
        asked = ask(batch.targets, data, rng, classes=1, few=0.0, rewording=0.0, shares=(1.0, 0.0, 0.0))
        prompts = one.prompted.prompts(one.prompted.model.levels(batch.images), asked)[:2]
        stages = one.prompted.model.stages(batch.images, *prompts, asked.mask)
    for logits in (stages.token_logits, stages.box_layers[0].logits, stages.keypoint_layers[-1].logits):
        assert -6.5 < logits.mean() < -1.5
        assert logits.std() < 2.5
    assert torch.allclose(stages.box_layers[-1].boxes, stages.proposals.boxes, atol=1e-4)
    centre = stages.keypoint_layers[0].boxes[:, :, None, :2]
    assert torch.allclose(stages.keypoint_layers[0].keypoints, centre.expand(-1, -1, 17, -1), atol=1e-4)


def test_a_resumed_training_goes_on_as_if_nothing_had_been(batch, data, tmp_path: Path):
    first = trainer(data)
    for _ in range(3):
        first.step(batch)
    first.save(tmp_path / "last.pt")
    second = trainer(data, seed=1)
    second.load(tmp_path / "last.pt")
    assert (second.steps, second.images) == (3, 12)
    assert second.rate == first.rate
    expected, got = float(first.step(batch)[0]["loss"]), float(second.step(batch)[0]["loss"])
    assert got == pytest.approx(expected, rel=1e-4)
    for a, b in zip(first.average.module.parameters(), second.average.module.parameters(), strict=True):
        assert torch.allclose(a, b, atol=1e-4)
    assert list(tmp_path.iterdir()) == [tmp_path / "last.pt"]


def test_a_state_of_an_earlier_version_is_refused(data, tmp_path):
    path = tmp_path / "last.pt"
    one = trainer(data)
    one.save(path)
    state = torch.load(path)
    del state["optimisers"]
    torch.save(state, path)
    with pytest.raises(DataError, match="earlier version"):
        one.load(path)


def test_a_state_of_a_training_with_other_words_is_refused(data, tmp_path):
    trainer(data).save(tmp_path / "last.pt")
    other = trainer(data)
    other.prompted.text.vocabulary = other.prompted.text.vocabulary[::-1]  # the same rows for other words
    with pytest.raises(DataError, match="began with other data or weights; give the same --data and --weights"):
        other.load(tmp_path / "last.pt")


def test_a_state_knows_the_recipe_it_was_made_with(data, tmp_path):
    one = trainer(data, rate=1e-4)
    one.save(tmp_path / "last.pt")
    assert trainer(data).load(tmp_path / "last.pt") == one.recipe


def test_the_rate_rises_then_falls_to_its_floor():
    recipe = Recipe(images=10_000, warm_up=100)
    assert recipe.share(0, 0) == pytest.approx(0.01)
    assert recipe.share(99, 0) == pytest.approx(1)
    assert recipe.share(500, 5_000) == pytest.approx(0.51)
    assert recipe.share(1000, 10_000) == pytest.approx(0.02)
    assert recipe.share(1000, 20_000) == pytest.approx(0.02)


def test_a_gradient_that_is_no_number_is_skipped(batch, data):
    one = trainer(data)
    one.step(batch)
    before = [p.detach().clone() for p in one.prompted.parameters()]
    broken = Batch(batch.images, batch.targets)
    broken.targets.boxes[0, 0, 0] = torch.nan
    one.step(broken)
    assert all(torch.equal(a, b) for a, b in zip(before, one.prompted.parameters(), strict=True))


def test_sampling_offsets_learn_more_slowly_and_only_hidden_matrices_by_muon(data):
    one = trainer(data, rate=1e-3)
    names = {id(p): name for name, p in one.prompted.named_parameters()}
    muon, adam = one.optimisers
    (matrices,), (others, slow) = (
        [[names[id(p)] for p in group["params"]] for group in optimiser.param_groups] for optimiser in (muon, adam)
    )
    assert sorted(matrices + others + slow) == sorted(names.values())
    assert adam.param_groups[1]["scale"] == 0.3 and all("sampling_offsets" in name for name in slow)
    assert "model.enc_output.weight" in matrices and "text.mix.linear1.weight" in matrices
    tables = {"text.words.weight", "model.tgt_embed.weight", "model.level_embed", "model.pose_embed.layers.2.weight"}
    assert tables <= set(others)
