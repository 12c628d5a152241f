from __future__ import annotations

import logging
import threading

import pytest
import torch
from torch import Tensor

from tests.stream.spot import SpotEngine, spot_prompts
from xpose_stream.engines import NANO, EngineError, PinnedPrompts, PromptBank, build_engine, load, prompts_for
from xpose_stream.engines.bench import Timing, measure, table_of
from xpose_stream.engines.engine import Engine
from xpose_stream.stream.build import build, size_of
from xpose_stream.stream.prepare import CLIP, inputs, prepare


@pytest.fixture(scope="module")
def ready() -> tuple[Engine, PromptBank]:
    checkpoint = load(NANO)
    return build_engine(checkpoint.model, "cpu"), prompts_for(checkpoint, "person")


def test_an_engine_is_ready_for_the_first_frame_of_a_file(
    ready: tuple[Engine, PromptBank], caplog: pytest.LogCaptureFixture
) -> None:
    engine, prompts = ready
    with caplog.at_level(logging.INFO):
        prepare(engine, prompts, str(CLIP))
        assert "engine admitted" in caplog.text
        caplog.clear()
        assert engine.prepare(*inputs(engine, prompts)) == "openvino"
    assert not caplog.records, "nothing was left to do"


class Slow(SpotEngine):
    """Is built when it is told to be."""

    def __init__(self) -> None:
        super().__init__()
        self.go_on, self.beside = threading.Event(), threading.Event()

    def prepare(self, images: Tensor, prompts: PinnedPrompts, beside: bool = False) -> str:
        if beside:
            self.beside.set()
        self.go_on.wait()
        return "slow"


def test_an_engine_that_is_no_longer_wanted_is_not_waited_for_and_a_programs_own_is_built_beside_it() -> None:
    engine, unwanted = Slow(), threading.Event()
    waiting = threading.Thread(target=prepare, args=(engine, spot_prompts(), str(CLIP), None, unwanted.is_set))
    waiting.start()
    assert engine.beside.wait(60)
    unwanted.set()
    waiting.join(60)
    assert not waiting.is_alive() and not engine.go_on.is_set()
    engine.go_on.set()


def test_inputs_are_frames_of_the_size_and_number_asked_for(ready: tuple[Engine, PromptBank]) -> None:
    engine, prompts = ready
    images, pinned = inputs(engine, prompts, batch=2, size=(320, 180))
    assert images.shape == (2, 3, 126, 224)
    assert not torch.equal(images[0], images[1])
    assert pinned.keypoints.shape == (1, 17, 128)


def test_building_says_what_came_of_it() -> None:
    sentence = build(None, "person", "640x480", batch=1, backend="openvino", precision="auto")
    assert sentence == "openvino is ready for 640x480, batch 1, 'person'"


@pytest.mark.parametrize("text", ["640", "640x", "x480", "0x480", "640 x 480", "640x480x3", "big"])
def test_what_is_no_size_is_refused(text: str) -> None:
    with pytest.raises(EngineError, match=f"'{text}' is no size; write it like 640x480"):
        size_of(text)


def test_measuring_calls_everything_in_turn_and_reports_ratios() -> None:
    calls: list[str] = []
    timings = {name: Timing() for name in ("one", "two")}
    runs = {name: lambda name=name: calls.append(name) for name in timings}
    measure(runs, timings, rounds=2, calls=3)
    assert calls == (["one"] * 4 + ["two"] * 4) * 2
    assert {len(timing.seconds) for timing in timings.values()} == {6}
    timings["two"].seconds = [second / 2 for second in timings["one"].seconds]
    assert list(table_of(timings, "title").columns[4].cells) == ["1.00x", "2.00x"]
