"""At what size the model sees pictures."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
from torch import Tensor

from tests.stream.spot import SpotEngine, spot_prompts, write_spot_clip
from xpose_stream.engines import NANO, EngineError, PinnedPrompts
from xpose_stream.engines.xpose import XPoseConfig, XPoseOutput
from xpose_stream.stream import size
from xpose_stream.stream.session import Session
from xpose_stream.stream.site import CameraSite, Site, SiteError

OWN = XPoseConfig.nano()
FULL = (OWN.long_side, OWN.short_side)


class Clocked(SpotEngine):
    """Takes so many ms for an image of nano's size by its own clock, and less for fewer px."""

    def __init__(self, took: float) -> None:
        super().__init__()
        self.took, self.clock = took / 1e3, 0.0

    def __call__(self, images: Tensor, prompts: PinnedPrompts) -> XPoseOutput:
        self.clock += self.took * len(images) * images.shape[-1] * images.shape[-2] / (FULL[0] * FULL[1])
        return super().__call__(images, prompts)


@pytest.mark.parametrize("batch", [1, 4])
@pytest.mark.parametrize(
    ("took", "share", "word"),
    [(23, 1.0, ""), (30, 5 / 6, "enough"), (40, 3 / 4, "enough"), (400, 3 / 4, "needed")],  # ms; 23.3 are allowed
)
def test_auto_is_the_largest_size_at_which_the_rate_is_kept(
    took: float, share: float, word: str, batch: int, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    engine = Clocked(took)
    monkeypatch.setattr(size.time, "perf_counter", lambda: engine.clock)
    with caplog.at_level(logging.WARNING):
        size.see_in_time(engine, OWN, spot_prompts(), size.Demand(30.0, batch))
    seen = (engine.config.long_side, engine.config.short_side)
    assert seen == tuple(round(share * side) for side in FULL)
    told = [record.getMessage() for record in caplog.records]
    expected = f"pictures of {seen[0]}x{seen[1]} instead of {FULL[0]}x{FULL[1]}, at which it takes {took} ms; now"
    assert [expected in text and f"23 ms are {word} for 30 frames/s" in text for text in told] == [True] * (share < 1)


def test_what_waits_for_the_model_demands_nothing_and_a_file_in_real_time_what_it_has(tmp_path: Path) -> None:
    clip = str(write_spot_clip(tmp_path / "spot.mp4", 1, size=(320, 180), rate=15))
    waiting = [CameraSite(source=source) for source in (clip, "-")]
    assert size.demand_of(waiting) == size.Demand()
    assert size.demand_of([CameraSite(source=clip, realtime=True)], 2) == size.Demand(15.0, 2, (320, 180))
    live = [
        CameraSite(source="rtsp://a/b"),
        CameraSite(source="/dev/video0", fps=60),
        CameraSite(source="-", live=True),
    ]
    assert size.demand_of([*live, *waiting]) == size.Demand(120.0)


def test_a_wait_for_an_engine_ends_when_it_is_no_longer_wanted() -> None:
    engine = Clocked(400)
    size.see_in_time(engine, OWN, spot_prompts(), size.Demand(30.0), unwanted=lambda: True)
    assert engine.clock == 0.0


def seen_by(site: Site, pause: float = 0.0) -> tuple[int, int]:
    engine = SpotEngine(pause)
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


def test_a_file_in_real_time_that_is_too_fast_for_the_model_is_seen_smaller(tmp_path: Path) -> None:
    clip = str(write_spot_clip(tmp_path / "spot.mp4", 1))  # of 15 frames/s
    site = Site.of(clip, weights=NANO, input_size="auto", realtime=True, page=False)
    assert seen_by(site, pause=0.1) == tuple(round(3 / 4 * side) for side in FULL)


@pytest.mark.parametrize("wrong", ["small", "192", "192x", "0x0", "99999x99999", 3])
def test_what_is_no_size_is_one_sentence(wrong: object) -> None:
    with pytest.raises(SiteError, match=r"engine\.input_size: write auto, or a size like 192x144"):
        Site.of("0", input_size=wrong)


@pytest.mark.parametrize("wrong", ["640x480", "224x169", "100x83", "224x80"])
def test_weights_are_not_given_more_than_they_know_nor_less_than_half(wrong: str, tmp_path: Path) -> None:
    clip, record = str(write_spot_clip(tmp_path / "spot.mp4", 1)), tmp_path / "spot.parquet"
    with pytest.raises(EngineError, match=f"cannot be given pictures of {wrong}, only of 112x84 to 224x168"):
        seen_by(Site.of(clip, weights=NANO, input_size=wrong, page=False, record=str(record)))
    assert not record.exists()
