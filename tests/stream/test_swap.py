"""Another prompt for a stream that is running, with the real engine, asked over the real socket."""

from __future__ import annotations

import threading
import time
from itertools import islice
from pathlib import Path

import av
import pytest

from engines import NANO, load
from engines.prompts import SKELETONS, Skeleton, embed
from stream.control import ControlError, ask
from stream.frame import Frame
from stream.messages import Prompt, TracksMessage
from stream.session import Session
from stream.site import Site

CROSSING = Path(__file__).parents[2] / "configs" / "demo" / "crossing.mp4"


@pytest.fixture(scope="module")
def legs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A prompt bank that fits the shipped weights and has other shapes: a person's six keypoints below the belt."""
    person = Skeleton.load(SKELETONS / "person.yaml")
    below = Skeleton("person", person.keypoints[11:], (), (), person.sigmas[11:])
    encoder = load(NANO).text_encoder
    assert encoder is not None
    path = tmp_path_factory.mktemp("prompts") / "legs.safetensors"
    embed([below], encoder, name="legs").save(path)
    return path


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


def test_a_prompt_of_another_shape_waits_for_its_engine_while_the_stream_goes_on(
    clip: Path, tmp_path: Path, legs: Path
) -> None:
    stream = Stream(clip, tmp_path, str(legs))
    check_that_nothing_is_lost_or_mixed(stream)
    names = [message.prompt.name for message in stream.messages]
    assert names[0] == "person" and names[-1] == "legs"
    assert names[stream.answered_after] == "person", "the answer does not wait for the engine"
    assert any(message.tracks for message in stream.messages[names.index("legs") + 20 :])


def test_a_prompt_that_cannot_be_had_changes_nothing(clip: Path, tmp_path: Path) -> None:
    stream = Stream(clip, tmp_path, "unicorn")
    assert "unicorn" in str(stream.answer)
    assert {message.prompt.version for message in stream.messages} == {1}
