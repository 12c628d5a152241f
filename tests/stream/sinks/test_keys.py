"""Who has no key that is allowed gets nothing, and is told why."""

from __future__ import annotations

import contextlib
import logging
import re
import shutil
import socket
import stat
import struct
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.stream.scene import message_of
from xpose_stream.stream.client import ListenError, Subscriber
from xpose_stream.stream.control import Control, ControlError, ask
from xpose_stream.stream.sinks.guard import Refused
from xpose_stream.stream.sinks.keys import Keys, KeysError, new
from xpose_stream.stream.sinks.messages import Prompt
from xpose_stream.stream.sinks.publisher import Publisher, PublishError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A stream's keys, and of robot (allowed) and stranger (not)."""
    new("server", tmp_path / "stream")
    for name in ("robot", "stranger"):
        new(name, tmp_path / name)
        shutil.copy(tmp_path / "stream" / "server.key", tmp_path / name)
    shutil.copy(tmp_path / "robot" / "robot.key", tmp_path / "stream" / "allowed")
    return tmp_path


def secret(folder: Path, name: str) -> Path:
    return folder / name / f"{name}.key_secret"


def eventually(true: Callable[[], object]) -> None:
    end = time.monotonic() + 20
    while not true():
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_pair_is_its_owners_alone_and_is_never_overwritten(tmp_path: Path) -> None:
    for path in new("robot", tmp_path):
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
    before = (tmp_path / "robot.key").read_text()
    with pytest.raises(KeysError, match=r"robot\.key exists already and is not overwritten$"):
        new("robot", tmp_path)
    assert (tmp_path / "robot.key").read_text() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["robot.key", "robot.key_secret"]
    with pytest.raises(KeysError, match="cannot be the name of a key"):
        new("../robot", tmp_path)


def test_who_is_allowed_receives_every_message(folder: Path) -> None:
    with Publisher("tcp://127.0.0.1:0", keys=Keys(folder / "stream")) as publisher:
        stream = Subscriber(publisher.endpoint, key=secret(folder, "robot"), quiet=20)
        assert publisher.wait_for_subscriber(20)
        for index in range(300):
            publisher.publish(message_of(index))
        assert [next(stream).frame for _ in range(300)] == list(range(300))
        stream.close()


def test_who_is_not_allowed_gets_nothing_and_both_sides_are_told_why(
    folder: Path, caplog: pytest.LogCaptureFixture
) -> None:
    refused = Refused()
    new("server", folder / "other")
    shutil.copytree(folder / "robot", folder / "astray")
    shutil.copy(folder / "other" / "server.key", folder / "astray" / "server.key")
    cases: list[tuple[Path | None, str, str, str]] = [
        (None, "is encrypted: give a key, --key NAME.key_secret", "no key", "without a key"),
        (secret(folder, "stranger"), "does not let .*stranger.key_secret in: .* stranger.key in its allowed/",
         "unknown key", r"its public key \S{40} is not in .*allowed"),
        (folder / "astray" / "robot.key_secret", "does not answer to .*astray/server.key: copy the server.key",
         "wrong stream", "its server.key is not of this one"),
    ]  # fmt: skip
    with (
        caplog.at_level(logging.WARNING),
        Publisher("tcp://127.0.0.1:0", keys=Keys(folder / "stream"), refused=refused) as publisher,
    ):
        for key, told, reason, logged in cases:
            begun = time.monotonic()
            with Subscriber(publisher.endpoint, key=key, quiet=90) as stream:
                publisher.publish(message_of(0))
                with pytest.raises(ListenError, match=told):
                    next(stream)
            assert time.monotonic() - begun < 60  # 2 s on a machine that does nothing else
            eventually(lambda reason=reason: refused["publish", reason])  # type: ignore[misc]
            eventually(lambda logged=logged: re.search(f"publish: a client was refused: .*{logged}", caplog.text))  # type: ignore[misc]


def test_a_key_for_a_stream_that_is_not_encrypted_is_told(folder: Path) -> None:
    with Publisher("tcp://127.0.0.1:0") as publisher:
        stream = Subscriber(publisher.endpoint, key=secret(folder, "robot"))
        with pytest.raises(ListenError, match="leave --key out"):
            next(stream)
        stream.close()


def test_what_breaks_off_before_it_has_said_what_it_is_may_want_a_key(caplog: pytest.LogCaptureFixture) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, ThreadPoolExecutor() as pool:

        def turn_away() -> None:
            with contextlib.suppress(OSError):  # the server is closed
                while True:
                    server.accept()[0].close()

        pool.submit(turn_away)
        endpoint = f"tcp://127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(ControlError, match="breaks off at once: if a stream is there, it is encrypted: give a key"):
            ask(endpoint, "dog", reach=1)
        with Subscriber(endpoint, quiet=3) as stream:  # waits, since a stream may come
            assert next(stream, None) is None
        assert "breaks off at once" in caplog.text
        server.shutdown(socket.SHUT_RDWR)


def test_changes_of_what_is_allowed_are_followed_while_it_runs(folder: Path) -> None:
    allowed = folder / "stream" / "allowed"
    with Publisher("tcp://127.0.0.1:0", keys=Keys(folder / "stream")) as publisher:
        robot = Subscriber(publisher.endpoint, key=secret(folder, "robot"), quiet=20)
        assert publisher.wait_for_subscriber(20)
        publisher.publish(message_of(0))
        assert next(robot).frame == 0
        shutil.copy(folder / "stranger" / "stranger.key", allowed)
        stranger = Subscriber(publisher.endpoint, key=secret(folder, "stranger"), quiet=1)
        eventually(lambda: (publisher.publish(message_of(1)), next(stranger, None))[1])
        (allowed / "robot.key").unlink()
        with pytest.raises(ListenError, match="does not let"):
            for _ in range(1000):
                publisher.publish(message_of(2))
                next(robot)
                time.sleep(0.02)
        eventually(lambda: (publisher.publish(message_of(3)), next(stranger, None))[1])  # comes in again by itself
        robot.close()
        stranger.close()


def test_the_control_socket_takes_prompts_of_those_allowed_only(folder: Path) -> None:
    with Control("tcp://127.0.0.1:*", lambda prompt: Prompt(prompt, 2), keys=Keys(folder / "stream")) as control:
        assert ask(control.endpoint, "dog", key=secret(folder, "robot")) == Prompt("dog", 2)
        with pytest.raises(ControlError, match="is encrypted: give a key"):
            ask(control.endpoint, "dog")
        with pytest.raises(ControlError, match="does not let"):
            ask(control.endpoint, "dog", key=secret(folder, "stranger"))
        (folder / "stream" / "allowed" / "robot.key").unlink()
        with pytest.raises(ControlError, match="does not let"):
            ask(control.endpoint, "dog", key=secret(folder, "robot"))


@pytest.mark.parametrize("endpoint", ["tcp://*:0", "tcp://0.0.0.0:0", "tcp://[::]:0", "tcp://eth0:5555"])
def test_beyond_this_machine_a_socket_is_bound_with_keys_or_when_that_is_meant(endpoint: str, folder: Path) -> None:
    told = r"can be reached from other machines: give --keys DIR .*, or --open when"
    with pytest.raises(PublishError, match=told):
        Publisher(endpoint)
    with pytest.raises(PublishError, match=told):
        Control(endpoint, lambda prompt: Prompt(prompt, 2))
    if endpoint == "tcp://*:0":
        Publisher(endpoint, trusted=True).close()
        Publisher(endpoint, keys=Keys(folder / "stream")).close()
        Control(endpoint, lambda prompt: Prompt(prompt, 2), trusted=True).close()


def test_a_folder_or_file_that_holds_no_key_is_told(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "none").mkdir()
    with pytest.raises(KeysError, match="holds no key of a stream: run `keys new server --out"):
        Keys(tmp_path / "none")
    with pytest.raises(KeysError, match=r"holds no secret key; name the file that ends in .key_secret"):
        Subscriber("tcp://127.0.0.1:9", key=folder / "robot" / "robot.key")
    with pytest.raises(KeysError, match="there is no such file"):
        Subscriber("tcp://127.0.0.1:9", key=folder / "robot" / "nobody.key_secret")
    (folder / "robot" / "server.key").unlink()
    with pytest.raises(KeysError, match=r"copy the stream's server.key to .*/robot/server.key"):
        Subscriber("tcp://127.0.0.1:9", key=secret(folder, "robot"))
    secret(folder, "robot").write_text("nonsense")
    with pytest.raises(KeysError, match="it is not what `keys new` writes"):
        Subscriber("tcp://127.0.0.1:9", key=secret(folder, "robot"))


def test_a_secret_key_in_allowed_lets_nobody_in_and_is_told(folder: Path, caplog: pytest.LogCaptureFixture) -> None:
    shutil.copy(secret(folder, "stranger"), folder / "stream" / "allowed" / "stranger.key")
    keys = Keys(folder / "stream")
    assert len(keys.allowed) == len(keys.allowed) == 1
    assert caplog.text.count("holds a secret key, which its owner alone should have") == 1


def test_what_passes_between_them_cannot_be_read(folder: Path) -> None:
    """Recorded on loopback: all packets of both sockets, encrypted, and once plain to see that they are recorded."""
    for key, readable in ((None, True), (secret(folder, "robot"), False)):
        how = {"keys": Keys(folder / "stream") if key else None}
        with (
            Publisher("tcp://127.0.0.1:0", **how) as publisher,
            Control("tcp://127.0.0.1:*", lambda prompt: Prompt(prompt, 2), **how) as control,
            Wire(publisher.endpoint, control.endpoint) as wire,
        ):
            stream = Subscriber(publisher.endpoint, key=key, quiet=20)
            assert publisher.wait_for_subscriber(20)
            for index in range(20):
                publisher.publish(message_of(index, camera="entrance"))
            assert [next(stream).frame for _ in range(20)] == list(range(20))
            stream.close()
            assert ask(control.endpoint, "dalmatian", key=key).name == "dalmatian"
        for text in (b"entrance", b"tracks/", b"left_shoulder", b"captured_at", b"dalmatian"):
            assert (text in wire.taken) == readable
        assert len(wire.taken) > 20_000 and (b"CURVE" in wire.taken) != readable


class Wire:
    """Takes down what passes on loopback from and to these endpoints."""

    def __init__(self, *endpoints: str) -> None:
        self.taken = b""
        self._ports = {int(endpoint.rpartition(":")[2]) for endpoint in endpoints}
        try:
            self._socket = socket.socket(socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3))
        except PermissionError:
            pytest.skip("only root may record packets")
        self._socket.setsockopt(socket.SOL_SOCKET, 33, 1 << 24)  # SO_RCVBUFFORCE: nothing is read before the end
        self._socket.bind(("lo", 0))

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *_: object) -> None:
        with self._socket, contextlib.suppress(BlockingIOError):
            while True:
                packet = self._socket.recv(1 << 17, socket.MSG_DONTWAIT)[14:]  # without Ethernet's head
                tcp = packet[4 * (packet[0] & 15) :] if packet[9:10] == b"\6" else b""
                if self._ports & set(struct.unpack(">HH", tcp[:4] or bytes(4))):
                    self.taken += tcp[4 * (tcp[12] >> 4) :]
