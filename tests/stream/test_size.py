"""At what size the model sees pictures."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from torch import Tensor

from tests.stream.spot import SpotEngine, spot_prompts, write_spot_clip
from xpose_stream.engines import NANO, PinnedPrompts
from xpose_stream.engines.xpose import XPoseConfig, XPoseOutput
from xpose_stream.stream import size
from xpose_stream.stream.session import Session
from xpose_stream.stream.site import Site, SiteError

OWN = XPoseConfig.nano()
FULL = (OWN.long_side, OWN.short_side)


class Clocked(SpotEngine):
    """Takes so many ms for an image of nano's size by its own clock, and less for fewer px."""

    def __init__(self, took: float) -> None:
        super().__init__()
        self.took, self.clock = took / 1e3, 0.0

    def __call__(self, images: Tensor, prompts: PinnedPrompts) -> XPoseOutput:
        self.clock += self.took * images.shape[-1] * images.shape[-2] / (FULL[0] * FULL[1])
        return super().__call__(images, prompts)


@pytest.mark.parametrize(
    ("took", "share"),
    [(23, 1.0), (30, 5 / 6), (40, 3 / 4), (400, 3 / 4)],  # ms; at 30 frames/s 23.3 are allowed
)
def test_auto_is_the_largest_size_at_which_the_rate_is_kept(
    took: float, share: float, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    engine = Clocked(took)
    monkeypatch.setattr(size.time, "perf_counter", lambda: engine.clock)
    with caplog.at_level(logging.WARNING):
        size.see(engine, OWN, "auto", spot_prompts(), 30.0)
    seen = (engine.config.long_side, engine.config.short_side)
    assert seen == tuple(round(share * side) for side in FULL)
    told = [record.getMessage() for record in caplog.records]
    expected = f"pictures of {seen[0]}x{seen[1]} instead of {FULL[0]}x{FULL[1]}, at which it takes {took} ms"
    assert [expected in text for text in told] == ([True] if share < 1 else [])


def seen_by(site: Site) -> tuple[int, int]:
    engine = SpotEngine()
    Session(site, engine=engine).run()
    return engine.config.long_side, engine.config.short_side


@pytest.mark.parametrize("asked", ["128x96", "96x128"])
def test_a_size_that_is_asked_for_is_what_the_model_sees(asked: str, tmp_path: Path) -> None:
    clip = str(write_spot_clip(tmp_path / "spot.mp4", 1))
    assert seen_by(Site.of(clip, weights=NANO, input_size=asked, page=False)) == (128, 96)


def test_a_file_that_waits_for_the_model_is_seen_at_the_weights_own_size(tmp_path: Path) -> None:
    clip = str(write_spot_clip(tmp_path / "spot.mp4", 1))
    for how in ({}, {"input_size": "auto"}):
        assert seen_by(Site.of(clip, weights=NANO, page=False, **how)) == FULL


@pytest.mark.parametrize("wrong", ["small", "192", "192x", "0x0", "32x24", "99999x99999", 3])
def test_what_is_no_size_is_one_sentence(wrong: object) -> None:
    with pytest.raises(SiteError, match=r"engine\.input_size: write auto, or a size like 192x144 of at least 64 px"):
        Site.of("0", input_size=wrong)
