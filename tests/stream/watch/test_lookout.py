"""A prompt that finds nothing is told once, with how near it came and what to try."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from torch import Tensor

from tests.stream.rig import Rig
from tests.stream.spot import SpotEngine, spot_prompts, write_spot_clip
from xpose_stream.engines import PinnedPrompts
from xpose_stream.engines.xpose import XPoseOutput
from xpose_stream.stream.detector import Detector
from xpose_stream.stream.session import Session
from xpose_stream.stream.site import Site
from xpose_stream.stream.watch.lookout import Lookout


def folder(path: Path, count: int, spot_at: int | None = None) -> Path:
    path.mkdir()
    for number in range(count):
        picture = np.full((240, 320, 3), 40, np.uint8)
        if number == spot_at:
            picture[100:140, 100:140] = 230
        cv2.imwrite(str(path / f"{number}.png"), picture)
    return path


def told(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.message for record in caplog.records if "nothing found" in record.message]


def run(source: Path, engine: SpotEngine | None = None, **settings: str) -> None:
    Session(Site.of(str(source), **settings), must_open=True, engine=engine).run()


def test_after_100_frames_without_a_detection_one_sentence_says_what_to_try(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run(folder(tmp_path / "empty", 250), SpotEngine(0.002))
    (sentence,) = told(caplog)
    assert sentence.startswith("empty: nothing found in 1")
    for part in ("prompt 'person'", "best score was 0.00", "begins at 0.44", "224x168 px of 320x240", "other weights"):
        assert part in sentence
    assert "\n" not in sentence and "other words" in sentence


@pytest.mark.parametrize("count", [1, 3])
def test_one_that_ends_before_that_is_told_too(tmp_path: Path, caplog: pytest.LogCaptureFixture, count: int) -> None:
    run(folder(tmp_path / "empty", count), SpotEngine())
    (sentence,) = told(caplog)
    assert ("the only frame" if count == 1 else "3 frames") in sentence


@pytest.mark.parametrize("spot_at", [0, 50])
def test_what_was_found_once_is_no_news(tmp_path: Path, caplog: pytest.LogCaptureFixture, spot_at: int) -> None:
    run(folder(tmp_path / "once", 200, spot_at), SpotEngine())
    assert not told(caplog)


class UnsureEngine(SpotEngine):
    """Finds what the SpotEngine finds, with a score of 0.27."""

    def __call__(self, images: Tensor, prompts: PinnedPrompts) -> XPoseOutput:
        return (found := super().__call__(images, prompts))._replace(logits=found.logits - 5)


def test_what_is_seen_but_not_enough_names_the_tracker_that_shows_it(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pictures = folder(tmp_path / "some", 3, spot_at=1)
    run(pictures, UnsureEngine())
    (sentence,) = told(caplog)
    assert "best score was 0.27" in sentence and sentence.endswith("the tracker 'raw' shows everything from 0.1")
    caplog.clear()
    run(pictures, UnsureEngine(), tracker="raw")
    assert not told(caplog)


def test_another_prompt_is_judged_anew(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    clip = folder(tmp_path / "empty", 400)
    with caplog.at_level(logging.WARNING), Rig({"a": str(clip)}, pause=0.01) as rig:
        lookout = Lookout(rig.pipeline)
        rig.wait(lambda: len(rig.seen["a"]) >= 110)
        rig.do(lookout.look)
        rig.do(lookout.look)
        assert len(told(caplog)) == 1
        prompts = replace(spot_prompts(), version=2, name="dog")
        rig.do(lambda: setattr(rig.pipeline, "detector", Detector(rig.engine, prompts)))
        seen = len(rig.seen["a"])
        rig.do(lookout.look)
        rig.wait(lambda: len(rig.seen["a"]) >= seen + 110)
        rig.do(lookout.look)
        rig.wait_for_the_end()
    assert ["'person'" in sentence for sentence in told(caplog)] == [True, False]
    assert "'dog'" in told(caplog)[1]


def test_a_camera_in_which_something_is_found_is_left_alone(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    run(write_spot_clip(tmp_path / "spot.mp4", 10), SpotEngine())
    assert not told(caplog)
