"""The whole way of a frame with real parts: the shipped weights, real H.264, a real RTSP server."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
import torch

from engines import EagerEngine, PinnedPrompts, load, prompts_for
from engines.xpose import XPoseOutput
from stream.frame import Frame
from stream.messages import TracksMessage
from stream.pipeline import Pipeline
from stream.session import NANO
from stream.sources import SourceLost, open_source
from stream.stop import Stop

CROSSING = Path(__file__).parents[2] / "configs" / "demo" / "crossing.mp4"


class Remembering(EagerEngine):
    """The CPU engine, which keeps its answers."""

    def __init__(self) -> None:
        self.checkpoint = load(NANO)
        super().__init__(self.checkpoint.model, torch.device("cpu"))
        self.answers: list[XPoseOutput] = []

    def __call__(self, images: torch.Tensor, prompts: PinnedPrompts) -> XPoseOutput:
        self.answers.append(super().__call__(images, prompts))
        return self.answers[-1]


class Run:
    """What came of a source, per frame index; `stop_after` frames."""

    def __init__(self, spec: str | Path, stop_after: int | None = None) -> None:
        engine = Remembering()
        self.messages: list[TracksMessage] = []
        self.stop = Stop()
        self.stop_after = stop_after
        pipeline = Pipeline(engine, prompts_for(engine.checkpoint, "person"), None, [self.keep], self.stop)
        self.ledger = pipeline.ledger
        with open_source(spec) as source, suppress(SourceLost):  # how a live source ends
            pipeline.run(source)
        self.answers = {m.frame: answer for m, answer in zip(self.messages, engine.answers, strict=False)}

    def keep(self, frame: Frame, message: TracksMessage) -> None:
        self.messages.append(message)
        self.stop.requested = len(self.messages) == self.stop_after


@pytest.fixture(scope="module")
def from_file() -> Run:
    return Run(CROSSING, stop_after=150)


def test_every_frame_of_a_file_is_published_in_order(from_file: Run) -> None:
    assert [message.frame for message in from_file.messages] == list(range(150))
    assert from_file.ledger.balanced
    assert set(from_file.ledger.dropped) <= {"stopped"}


def test_messages_carry_tracks_with_capture_times_of_the_file(from_file: Run) -> None:
    late = from_file.messages[-1]
    assert late.clock == "file" and late.captured_at == pytest.approx(149 / 30, abs=1e-3)
    assert late.prompt.name == "person" and late.categories[0].keypoints[0] == "nose"
    assert len(late.tracks) >= 2


def test_rtsp_gives_the_same_keypoints_as_the_file(from_file: Run, rtsp_server: Callable) -> None:
    with rtsp_server(CROSSING) as server:
        live = Run(server.url, stop_after=120)
    assert live.ledger.balanced
    common = sorted(live.answers.keys() & from_file.answers.keys())
    assert len(common) >= 10  # a busy machine drops frames
    for index in common:
        for got, expected in zip(live.answers[index], from_file.answers[index], strict=True):
            assert torch.equal(got, expected)
    # Before the first drop the tracker had the same to work with, at intervals that differ by the RTP clock's rounding.
    for index, (ours, theirs) in enumerate(zip(live.messages, from_file.messages, strict=False)):
        if ours.frame != index:
            break
        assert [track.id for track in ours.tracks] == [track.id for track in theirs.tracks]
        for one, other in zip(ours.tracks, theirs.tracks, strict=True):
            assert one.measured == other.measured
            for point, same in zip(one.keypoints, other.keypoints, strict=True):
                assert point == pytest.approx(same, abs=0.5)


def test_a_live_source_drops_the_older_frame_and_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    import time

    engine = Remembering()
    monkeypatch.setattr(Remembering, "__call__", slow(Remembering.__call__, time.sleep))
    stop = Stop()
    seen: list[int] = []

    def keep(frame: Frame, message: TracksMessage) -> None:
        seen.append(frame.index)
        stop.requested = len(seen) == 5

    pipeline = Pipeline(engine, prompts_for(engine.checkpoint, "person"), None, [keep], stop)
    with open_source(CROSSING, realtime=True) as source:
        ledger = pipeline.run(source)
    assert ledger.balanced
    assert ledger.dropped["newer frame came"] > 0
    assert seen == sorted(seen) and seen[-1] > 5  # it skipped frames instead of falling behind


def slow(call: Callable, sleep: Callable) -> Callable:
    def slower(*arguments: object) -> XPoseOutput:
        sleep(0.15)
        return call(*arguments)

    return slower
