"""Cameras are found by name, and followed from one stream to another."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest

from tests.stream.scene import message_of
from xpose_stream.stream.client import ListenError, Subscriber
from xpose_stream.stream.sinks.directory import Directory, Entry
from xpose_stream.stream.sinks.keys import Keys, new
from xpose_stream.stream.sinks.publisher import Publisher, PublishError
from xpose_stream.stream.sources.frame import RUN


@contextmanager
def speaking(directory: Directory, entries: list[Entry], *streams: tuple[Publisher, str, int]) -> Iterator[None]:
    """Each stream says again and again what it has of its camera, in a run, and the directory what is in `entries`."""
    over = threading.Event()

    def speak() -> None:
        while not over.wait(0.01):
            directory.tell(entries)
            for publisher, camera, run in streams:
                publisher.publish(msgspec.structs.replace(message_of(0, camera=camera), epoch=run * RUN))

    speaker = threading.Thread(target=speak)
    speaker.start()
    try:
        yield
    finally:
        over.set()
        speaker.join()


def until(stream: Subscriber, camera: str, run: int) -> None:
    assert any(message.camera == camera and message.epoch == run * RUN for message in stream)


def test_a_camera_is_followed_and_who_was_replaced_is_not_listened_to() -> None:
    with (
        Directory("tcp://127.0.0.1:*") as directory,
        Publisher("tcp://127.0.0.1:*") as one,
        Publisher("tcp://127.0.0.1:*") as two,
        Subscriber(directory.endpoint, "tracks/hal", quiet=30) as stream,
    ):
        door = Entry("door", "serving", one.endpoint, run=1)
        halo = Entry("halo", "serving", one.endpoint, run=1)  # keeps the first stream connected
        entries = [Entry("hall", "serving", one.endpoint, run=1), door, halo]
        streams = (one, "hall", 1), (one, "door", 1), (one, "halo", 1), (two, "hall", 2), (two, "door", 2)
        with speaking(directory, entries, *streams):
            until(stream, "hall", 1)
            entries[0] = Entry("hall", "serving", two.endpoint, run=2)
            until(stream, "hall", 2)
            got = {(message.camera, message.epoch // RUN) for message, _ in zip(stream, range(100), strict=False)}
    assert got == {("hall", 2), ("halo", 1)}


def test_what_changes_is_told_once_and_all_to_who_comes() -> None:
    with Directory("tcp://127.0.0.1:*") as directory:
        entries = [Entry(f"c{number}", "starting") for number in range(1500)]
        assert directory.tell(entries) == 1500 and directory.tell(entries) == 0
        assert directory.tell([Entry("c0", "serving"), *entries[1:]]) == 1
        assert directory.tell(entries[1:]) == 1  # c0 is gone


def test_with_keys_the_directory_and_the_streams_let_in_whom_they_allow(tmp_path: Path) -> None:
    new("server", tmp_path / "keys")
    new("robot", tmp_path)
    (tmp_path / "server.key").write_bytes((tmp_path / "keys" / "server.key").read_bytes())
    (tmp_path / "keys" / "allowed" / "robot.key").write_bytes((tmp_path / "robot.key").read_bytes())
    keys = Keys(tmp_path / "keys")
    with Directory("tcp://127.0.0.1:*", keys=keys) as directory, Publisher("tcp://127.0.0.1:*", keys=keys) as one:
        entries = [Entry("hall", "serving", one.endpoint, keys.public, 1)]
        with (
            Subscriber(directory.endpoint, key=tmp_path / "robot.key_secret", quiet=30) as stream,
            speaking(directory, entries, (one, "hall", 1)),
        ):
            until(stream, "hall", 1)
        with Subscriber(directory.endpoint, quiet=30) as stranger, pytest.raises(ListenError, match="is encrypted"):
            next(stranger)
    with pytest.raises(PublishError, match="can be reached from other machines"):
        Directory("tcp://*:0")
