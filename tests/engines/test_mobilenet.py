"""MoveNet's body as a backbone, against what the original graph answers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch

from xpose_stream.engines.checkpoint import load
from xpose_stream.engines.prompts.example import normalised
from xpose_stream.engines.xpose import XPoseConfig
from xpose_stream.engines.xpose.guess import PLACE, THING
from xpose_stream.engines.xpose.mobilenet import MobileNet, beside

GOLDEN = Path(__file__).parents[1] / "data" / "movenet.npz"
EYES = Path(__file__).parents[2] / "configs" / "models" / "xpose-eyes.safetensors"
BOOST = 1.3  # which the scores of the shipped weights were raised by, see docs/eyes.md


def test_the_shipped_body_and_rows_answer_what_the_original_graph_does() -> None:
    model, golden = load(EYES).model, np.load(GOLDEN)
    assert isinstance(model.backbone, MobileNet) and model.guess is not None
    image = torch.from_numpy(golden["rgb"]).permute(2, 0, 1)[None].float() / 127.5 - 1
    with torch.no_grad():
        body = model.backbone.body
        hidden = [maps[0] for maps in body.deepen(body.around(body(image).pyramid[-1]))]
    things, places = model.guess.things, model.guess.places
    person, own = int((things.free == 0).nonzero()[0, 0]), (places.free == 0).nonzero()[:, 0]
    centre = things.start[person : person + 1, : THING["centre"]]
    heat = places.start[own, : PLACE["heat"]]
    asked = (centre, hidden[0], golden["center"] + BOOST), (heat, hidden[1], golden["kpt_heatmap"])
    for rows, seen, wanted in asked:
        found = torch.einsum("nc,chw->nhw", rows[:, :-1], seen) + rows[:, -1, None, None]
        assert np.abs(_sorted(found.numpy()) - _sorted(wanted)).max() < 1e-3


def _sorted(maps: np.ndarray) -> np.ndarray:
    """The rows of words stand in the order of the words: compared in an order of their own."""
    return maps[np.argsort(maps.reshape(len(maps), -1).mean(1))]


def test_maps_have_the_sizes_of_their_strides_whatever_the_image() -> None:
    backbone = MobileNet(XPoseConfig.eyes())
    seen = backbone(torch.zeros(1, 3, 50, 70))
    assert [tuple(x.shape[-2:]) for x in seen[:4]] == [(7, 9), (4, 5), (2, 3), (13, 18)]
    assert [x.shape[1] for x in seen[:3]] == list(backbone.channels)


def test_what_the_body_is_given_is_the_picture_between_minus_one_and_one() -> None:
    rgb = np.random.default_rng(0).integers(0, 256, (20, 24, 3), np.uint8)
    scaled = MobileNet(XPoseConfig.eyes()).scaled(torch.from_numpy(normalised(rgb))[None])
    wanted = torch.from_numpy(rgb).permute(2, 0, 1)[None] / 127.5 - 1
    torch.testing.assert_close(scaled, wanted, atol=1e-5, rtol=0)


def test_four_cells_beside_each_other_are_those_of_a_square() -> None:
    map = torch.randn(2, 24, 6, 8)
    assert torch.equal(beside(map), torch.nn.functional.pixel_unshuffle(map, 2))
