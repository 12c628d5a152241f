from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import msgpack
import msgspec
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.stream.scene import PERSON, frame_of, message_of, tracks_of
from xpose_stream.stream.sinks.messages import (
    Category,
    MessageError,
    Prompt,
    TrackMessage,
    TracksMessage,
    decode,
    encode,
    from_tracks,
)
from xpose_stream.stream.sinks.publisher import Publisher
from xpose_stream.trackers import KeypointStatus, Status

DOC = Path(__file__).parents[3] / "docs" / "messages.md"

unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])  # the machine may be busy
reals = st.floats(allow_nan=False, allow_infinity=False)
pairs = st.tuples(reals, reals)
integers = st.integers(0, 2**62)


@st.composite
def tracks(draw: st.DrawFn, category: Category) -> TrackMessage:
    def each(kind: st.SearchStrategy) -> list:
        return [draw(kind) for _ in category.keypoints]

    return TrackMessage(
        id=draw(integers),
        category=category.id,
        score=draw(reals),
        status=draw(st.sampled_from(["tentative", "confirmed", "coasting"])),
        age=draw(reals),
        box=draw(st.tuples(reals, reals, reals, reals)),
        keypoints=each(st.none() | pairs),
        keypoint_status=each(st.sampled_from(["never_seen", "predicted", "rejected", "measured"])),
        velocities=each(st.none() | pairs),
        covariances=each(st.none() | st.tuples(reals, reals, reals)),
        measured=each(st.none() | pairs),
        predicted=each(st.none() | pairs) if draw(st.booleans()) else None,
        predicted_covariances=each(st.none() | st.tuples(reals, reals, reals)) if draw(st.booleans()) else None,
        keypoint_scores=each(st.none() | st.floats(0, 1)) if draw(st.booleans()) else None,
    )


@st.composite
def messages(draw: st.DrawFn) -> TracksMessage:
    names = draw(st.lists(st.text(), max_size=3))
    edges = st.lists(st.tuples(*[st.integers(0, len(names) - 1)] * 2), max_size=3) if names else st.just([])
    category = Category(draw(integers), draw(st.text()), tuple(names), tuple(draw(edges)))
    return TracksMessage(
        camera=draw(st.text()),
        sequence=draw(integers),
        frame=draw(integers),
        width=draw(integers),
        height=draw(integers),
        pts=draw(reals),
        captured_at=draw(reals),
        clock=draw(st.sampled_from(["sender", "arrival", "file"])),
        clock_uncertainty=draw(reals),
        epoch=draw(integers),
        published_at=draw(reals),
        latency_ms=draw(reals),
        predicted_time=draw(st.none() | reals),
        image=draw(st.none() | st.text()),
        prompt=Prompt(draw(st.text()), draw(integers)),
        categories=[category],
        tracks=draw(st.lists(tracks(category), max_size=3)),
    )


@unhurried
@given(messages())
def test_a_message_survives_the_wire(message: TracksMessage) -> None:
    assert decode(encode(message)) == message


@unhurried
@given(st.binary(max_size=200))
def test_bytes_that_are_no_message_are_refused_in_one_sentence(payload: bytes) -> None:
    with pytest.raises(MessageError, match=r"^not a tracks message"):
        decode(payload)


@unhurried
@given(messages(), st.data())
def test_a_damaged_message_is_refused_or_read_but_never_crashes(message: TracksMessage, data: st.DataObject) -> None:
    payload = bytearray(encode(message))
    payload[data.draw(st.integers(0, len(payload) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(payload)))
    try:
        assert isinstance(decode(bytes(payload[:cut])), TracksMessage)
    except MessageError as error:
        assert "\n" not in str(error)


def test_another_version_is_refused_by_number_and_added_fields_are_ignored() -> None:
    content = msgpack.unpackb(encode(message_of(0)))
    assert decode(msgpack.packb(content | {"added_later": 1})) == decode(msgpack.packb(content))
    with pytest.raises(MessageError, match="has version 2, but this program reads version 1"):
        decode(msgpack.packb({"version": 2, "anything": []}))


def test_tracks_become_plain_numbers_cut_to_the_keypoints_of_their_category() -> None:
    frame, tracks = frame_of(6), tracks_of(6, people=2, keypoints=9)
    message = from_tracks(frame, tracks, [PERSON], prompt=Prompt("person", 3), sequence=4)
    assert (message.frame, message.sequence, message.width, message.height) == (6, 4, 320, 240)
    assert (message.captured_at, message.clock, message.prompt) == (frame.captured_at, "file", Prompt("person", 3))
    assert [track.id for track in message.tracks] == [1, 2]
    np.testing.assert_array_equal(np.array(message.tracks[1].keypoints), tracks.keypoints[1, :5])
    assert message.tracks[0].covariances == [(4.0, 1.0, 9.0)] * 5
    assert message.tracks[0].status == "confirmed"
    assert message.tracks[0].keypoint_status == ["measured"] * 5
    assert message.tracks[0].keypoint_scores == [0.75] * 5
    assert decode(encode(message)) == message


def test_what_is_not_known_is_null_and_never_a_guess_or_nan() -> None:
    tracks = tracks_of(0, people=1)
    tracks.keypoint_status[0, 2] = KeypointStatus.NEVER_SEEN
    tracks.keypoint_status[0, 3] = KeypointStatus.PREDICTED
    tracks.measurements[0, 2:4] = tracks.keypoint_scores[0, 2:4] = np.nan
    tracks.status[0] = Status.COASTING
    [track] = from_tracks(frame_of(0), tracks, [PERSON], prompt=Prompt("person", 1), sequence=0).tracks
    assert track.status == "coasting"
    assert track.keypoint_status[2:4] == ["never_seen", "predicted"]
    assert track.keypoints[2] is track.velocities[2] is track.covariances[2] is track.measured[2] is None
    assert track.keypoints[3] is not None and track.measured[3] is None
    assert track.keypoint_scores == [0.75, 0.75, None, None, 0.75]


def test_a_frame_without_tracks_makes_a_message_with_its_time_and_latency() -> None:
    message = from_tracks(frame_of(3), tracks_of(3, people=0), [PERSON], prompt=Prompt("person", 1), sequence=0)
    assert message.tracks == []
    assert message.categories == [PERSON]
    assert 0 <= message.latency_ms < 1000


def test_the_documentation_lists_exactly_the_fields_that_are_sent() -> None:
    for kind in (TracksMessage, Category, TrackMessage):
        rows = "\n".join(rf"\| `{field.name}` \|.*" for field in msgspec.structs.fields(kind))
        assert re.search(rf"\|---\|---\|---\|---\|\n{rows}\n\n", DOC.read_text()), f"docs/messages.md: {kind.__name__}"


def test_the_documented_consumer_works_without_this_package(tmp_path: Path) -> None:
    consumer, _ = re.findall(r"```python\n(.*?)```", DOC.read_text(), re.DOTALL)
    with Publisher("tcp://127.0.0.1:0") as publisher:
        script = tmp_path / "consumer.py"
        script.write_text(consumer.replace("tcp://127.0.0.1:5555", publisher.endpoint))
        command = [sys.executable, "-Pu", str(script)]
        with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            assert publisher.wait_for_subscriber(20)
            publisher.publish(message_of(7, people=1))
            line = process.stdout.readline()
            process.kill()
    assert line.startswith("7 1 {'nose': [67.0, 60.0], 'left_shoulder': [87.0, 90.0],")
