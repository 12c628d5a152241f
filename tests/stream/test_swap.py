"""Another prompt for a stream that is running, with the real engine, asked over the real socket."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import av
import pytest

from tests.stream.spot import repeat, write_spot_clip
from xpose_stream.engines import NANO, load
from xpose_stream.engines.prompts.bank import SKELETONS, Skeleton, embed
from xpose_stream.stream.control import ControlError, ask
from xpose_stream.stream.session import Session
from xpose_stream.stream.sinks.messages import Prompt, TracksMessage
from xpose_stream.stream.site import Site
from xpose_stream.stream.sources.frame import Frame
from xpose_stream.stream.stop import Stop

CROSSING = Path(__file__).parents[2] / "configs" / "demo" / "crossing.mp4"


@pytest.fixture(scope="module")
def legs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A prompt bank that fits the shipped weights and has other shapes: a person's six keypoints below the belt."""
    return bank_of("legs", 11, tmp_path_factory.mktemp("prompts"))


def bank_of(name: str, first: int, folder: Path) -> Path:
    """A prompt bank of a person's keypoints from number `first` on."""
    person = Skeleton.load(SKELETONS / "person.yaml")
    below = Skeleton("person", person.keypoints[first:], (), (), person.sigmas[first:])
    encoder = load(NANO).text_encoder
    assert encoder is not None
    embed([below], encoder, name=name).save(folder / f"{name}.safetensors")
    return folder / f"{name}.safetensors"


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first 200 frames of the demo clip, copied without decoding."""
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    with av.open(str(CROSSING)) as source, av.open(str(path), "w") as copy:
        stream = copy.add_stream_from_template(source.streams.video[0])
        for packet in islice(source.demux(source.streams.video[0]), 200):
            packet.stream = stream
            copy.mux(packet)
    return path


class Stream:
    """A clip as fast as it goes; after frame 50 another prompt is asked for, and slowly on until it is answered."""

    def __init__(self, clip: Path, folder: Path, prompt: str) -> None:
        self.endpoint, self.prompt = f"ipc://{folder}/control", prompt
        self.messages: list[TracksMessage] = []
        self.answer: Prompt | str | None = None
        self.answered_after = 0
        session = Session(Site.of(str(clip), control=self.endpoint), must_open=True)
        (self.ledger,) = session.run(self.watch).values()

    def watch(self, frame: Frame, message: TracksMessage) -> None:
        self.messages.append(message)
        if len(self.messages) == 50:
            threading.Thread(target=self.ask).start()
        if len(self.messages) >= 50 and not (self.changed or isinstance(self.answer, str)):
            time.sleep(0.1 * 1.03 ** (len(self.messages) - 50))  # a slow machine takes long to build an engine

    @property
    def changed(self) -> bool:
        return isinstance(self.answer, Prompt) and self.messages[-1].prompt == self.answer

    def ask(self) -> None:
        try:
            self.answer = ask(self.endpoint, self.prompt)
        except ControlError as error:
            self.answer = str(error)
        self.answered_after = len(self.messages)


def check_that_nothing_is_lost_or_mixed(stream: Stream) -> None:
    assert [message.frame for message in stream.messages] == list(range(200))
    assert not stream.ledger.dropped
    versions = [message.prompt.version for message in stream.messages]
    assert versions == sorted(versions)
    for message in stream.messages:
        (category,) = message.categories
        assert len(category.keypoints) == {"person": 17, "legs": 6}[message.prompt.name]
        assert all(len(track.keypoints) == len(category.keypoints) for track in message.tracks)


def test_a_prompt_of_the_same_shape_is_used_from_the_next_frame_on(clip: Path, tmp_path: Path) -> None:
    stream = Stream(clip, tmp_path, "person")
    check_that_nothing_is_lost_or_mixed(stream)
    assert stream.answer == Prompt("person", 2)
    first = [message.prompt.version for message in stream.messages].index(2)
    assert first <= stream.answered_after + 1
    ids = [{track.id for track in stream.messages[index].tracks} for index in (first - 1, first)]
    assert ids[0] & ids[1], "the same things are looked for, so their tracks live on"


def test_a_prompt_of_another_shape_is_answered_when_its_engine_is_built_while_the_stream_goes_on(
    clip: Path, tmp_path: Path, legs: Path
) -> None:
    stream = Stream(clip, tmp_path, str(legs))
    check_that_nothing_is_lost_or_mixed(stream)
    names = [message.prompt.name for message in stream.messages]
    assert names[0] == "person" and names[-1] == "legs"
    assert names[50] == "person" and stream.answer == Prompt("legs", 2)
    assert names.index("legs") <= stream.answered_after <= names.index("legs") + 30, "when it is in use"
    assert any(message.tracks for message in stream.messages[names.index("legs") + 20 :])


def test_a_prompt_that_cannot_be_had_changes_nothing(clip: Path, tmp_path: Path) -> None:
    stream = Stream(clip, tmp_path, "unicorn")
    assert "unicorn" in str(stream.answer)
    assert {message.prompt.version for message in stream.messages} == {1}


def test_no_camera_is_opened_anew_while_an_engine_is_built(rtsp_server: Callable[..., Any], tmp_path: Path) -> None:
    messages: list[TracksMessage] = []
    stop, endpoint = Stop(), f"ipc://{tmp_path}/control"
    short = write_spot_clip(tmp_path / "short.mp4", 12, (640, 480), rate=5)  # leaves the compiler some time
    with rtsp_server(repeat(short, tmp_path / "long.mp4", 50)) as server:
        session = Session(Site.of(server.url, control=endpoint), must_open=True, stop=stop)
        running = threading.Thread(target=lambda: session.run(lambda frame, message: messages.append(message)))
        running.start()
        try:
            while len(messages) < 10 and running.is_alive():
                time.sleep(0.05)
            answer = ask(endpoint, str(bank_of("shins", 13, tmp_path)))  # for which no other test has an engine built
            while messages[-1].prompt != answer and running.is_alive():
                time.sleep(0.05)
        finally:
            stop.requested = True
            running.join()
    assert answer == Prompt("shins", 2) == messages[-1].prompt
    assert {message.epoch for message in messages} == {0}
    frames = [message.frame for message in messages]
    assert frames == sorted(set(frames)), "the same connection from the first frame to the last"
