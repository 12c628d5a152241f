"""Prompts of a training step: words, examples, and what brings them together."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from tests.training.learning.test_asked import DATA, SKELETONS, asked
from xpose_stream.engines.prompts.recognition import EXAMPLE_SHARE
from xpose_stream.engines.xpose import XPose, XPoseConfig
from xpose_stream.engines.xpose.text import WordEncoder
from xpose_stream.training.data.wording import category_wordings, vocabulary
from xpose_stream.training.learning.asked import Asked
from xpose_stream.training.learning.prompted import Prompted, contrast_loss

SMALL = replace(
    XPoseConfig.nano(), embed_dim=8, widths=(16, 24, 32, 32), hidden_dim=32, feedforward_dim=64, encoder_layers=1,
    num_queries=20, num_groups=5, prompt_dim=32, visual_layers=1,
)  # fmt: skip


@pytest.fixture(scope="module")
def prompted() -> Prompted:
    torch.manual_seed(0)
    categories = [text for s in SKELETONS for text in category_wordings(s.category)]
    return Prompted(XPose(SMALL), WordEncoder(vocabulary(SKELETONS), 32, categories)).eval()


def prompts(prompted: Prompted, one: Asked) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    torch.manual_seed(1)
    return prompted.prompts(prompted.model.levels(torch.randn(len(one.example), 3, 72, 96)), one)


@pytest.mark.parametrize("share", [0.0, EXAMPLE_SHARE, 1.0])
def test_a_prompt_is_words_an_example_or_both(prompted: Prompted, share: float) -> None:
    kinds = {0.0: (1.0, 0.0, 0.0), EXAMPLE_SHARE: (0.0, 0.0, 1.0), 1.0: (0.0, 1.0, 0.0)}
    one = asked([[0, 2], [2, 0], [0, -1], [3, -1]], shares=kinds[share])
    with torch.no_grad():
        instances, keypoints, _ = prompts(prompted, one)
        said, named = prompted.words(one)
        shown, marks = prompted.model.visual([level[one.picture] for level in _levels(prompted, one)], one.marked)
    for image, label in np.ndindex(*one.example.shape):
        example = int(one.example[image, label])
        own = share if example >= 0 else 0.0
        expected = said[label] if not own else (1 - own) * said[label] + own * shown[example]
        torch.testing.assert_close(instances[image, label], expected)
        expected = named[label] if not own else (1 - own) * named[label] + own * marks[example]
        real = one.mask[label]
        torch.testing.assert_close(keypoints[image, label][real], expected[real])
    assert DATA.skeletons == SKELETONS


def _levels(prompted: Prompted, one: Asked) -> list[torch.Tensor]:
    torch.manual_seed(1)
    return prompted.model.levels(torch.randn(len(one.example), 3, 72, 96))


def test_a_batch_without_examples_has_no_contrast(prompted: Prompted) -> None:
    with torch.no_grad():
        assert float(prompts(prompted, asked([[-1], [-1]]))[2]) == 0.0


def test_the_contrast_is_least_where_examples_are_like_their_words() -> None:
    said = torch.eye(4, 8)
    wanted = torch.tensor([2, 0, 2])
    like = contrast_loss(said[wanted] * 3, said, wanted)
    assert like < 0.01
    assert contrast_loss(said[[1, 3, 1]], said, wanted) > like + 5
    assert contrast_loss(said[[2, 0, 1]], said, wanted) > like + 1


def test_the_contrast_pairs_every_keypoint_with_its_own_words(prompted: Prompted) -> None:
    """Examples that say exactly what the words say leave nothing to learn but what is alike in the words themselves."""
    one = asked([[0, 2], [2, 0]])
    with torch.no_grad():
        said, named = prompted.words(one)

        class Echo(torch.nn.Module):
            def __init__(self, shift: int) -> None:
                super().__init__()
                self.shift = shift

            def forward(self, levels: object, marked: object) -> tuple[torch.Tensor, torch.Tensor]:
                return said[one.label], named[one.label].roll(self.shift, 1)

        real, prompted.model.visual = prompted.model.visual, None
        losses = []
        for shift in (0, 1):
            prompted.model.visual = Echo(shift)  # type: ignore[assignment]
            losses.append(float(prompts(prompted, one)[2]))
        prompted.model.visual = real
    assert losses[0] < losses[1] - 0.5
