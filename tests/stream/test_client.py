from __future__ import annotations

import asyncio
import json
import re
import subprocess
from pathlib import Path

import msgpack
import pytest
import zmq

from tests.stream.scene import message_of
from xpose_stream.stream.client import Subscriber
from xpose_stream.stream.sinks.messages import Format, MessageError, TracksMessage, encode
from xpose_stream.stream.sinks.publisher import Publisher

EXAMPLE = Path(__file__).parents[2] / "docs" / "examples" / "listen.cpp"


@pytest.mark.parametrize("form", ["msgpack", "json"])
def test_every_message_arrives_in_either_format(form: Format) -> None:
    sent = [message_of(index) for index in range(200)]
    with Publisher("tcp://127.0.0.1:0", form=form) as publisher, Subscriber(publisher.endpoint, quiet=20) as stream:
        assert publisher.wait_for_subscriber(20)
        for message in sent:
            publisher.publish(message)
        assert [next(stream) for _ in sent] == sent
        assert stream.lost["hall"] == 0


def test_an_asynchronous_program_gets_every_message_and_the_end() -> None:
    sent = [message_of(index) for index in range(200)]

    async def received(stream: Subscriber) -> list[TracksMessage]:
        return [message async for message in stream]

    with Publisher("tcp://127.0.0.1:0") as publisher, Subscriber(publisher.endpoint, quiet=10) as stream:
        assert publisher.wait_for_subscriber(20)
        for message in sent:
            publisher.publish(message)
        assert asyncio.run(received(stream)) == sent


def test_what_was_lost_is_counted_by_camera_and_a_new_run_is_no_loss() -> None:
    with Publisher("tcp://127.0.0.1:0") as publisher, Subscriber(publisher.endpoint, quiet=20) as stream:
        assert publisher.wait_for_subscriber(20)
        for camera, sequence in [("hall", 7), ("door", 0), ("hall", 8), ("hall", 12), ("door", 1), ("hall", 0)]:
            publisher.publish(message_of(sequence, camera=camera))
        assert [next(stream).sequence for _ in range(6)] == [7, 0, 8, 12, 1, 0]
        assert stream.lost == {"hall": 3, "door": 0}


def test_the_newest_of_each_camera_is_read_and_what_is_left_out_is_no_loss() -> None:
    with Publisher("tcp://127.0.0.1:0") as publisher:
        stream = Subscriber(publisher.endpoint, quiet=20, newest=True)
        assert publisher.wait_for_subscriber(20)
        publisher.publish(message_of(0, camera="hall"))
        assert next(stream).sequence == 0
        for index in range(1, 50):
            publisher.publish(message_of(index, camera="hall"))
            publisher.publish(message_of(index, camera="door"))
        seen: dict[str, int] = {}
        while seen != {"hall": 49, "door": 49}:
            message = next(stream)
            seen[message.camera] = message.sequence
        assert stream.lost == {"hall": 0, "door": 0}
        assert stream.skipped["hall"] + stream.skipped["door"] > 0
        stream.close()


@pytest.mark.parametrize(
    ("parts", "told"),
    [
        ([b"tracks/x", msgpack.packb({"version": 2})], "has version 2, but this program reads version 1"),
        ([b"tracks/x", b'{"version": 3}'], "has version 3, but this program reads version 1"),
        ([b"tracks/x", b"{nonsense"], "not a tracks message"),
        ([b"tracks/x"], "two parts, but 1"),
    ],
)
def test_another_version_or_kind_is_refused_in_a_sentence(parts: list[bytes], told: str) -> None:
    with zmq.Context() as context, context.socket(zmq.XPUB) as other:
        other.linger = 0
        port = other.bind_to_random_port("tcp://127.0.0.1")
        with Subscriber(f"tcp://127.0.0.1:{port}", quiet=20) as stream:
            assert {other.recv(), other.recv()} == {b"\1tracks/", b"\1directory/"}
            other.send_multipart(parts)
            with pytest.raises(MessageError, match=told):
                next(stream)


def test_the_example_in_cpp_reads_every_message(tmp_path: Path) -> None:
    program, headers = tmp_path / "listen", ["zmq.hpp", "msgpack.hpp"]
    if not all(Path("/usr/include", header).exists() for header in headers):
        pytest.skip("Debian packages cppzmq-dev and libmsgpack-cxx-dev are not installed")
    [command] = re.findall(r"^// (g\+\+ .*?)  ", EXAMPLE.read_text(), re.MULTILINE)
    compiling = command.replace("listen.cpp", str(EXAMPLE)).replace("-o listen", f"-o {program}").split()
    subprocess.run([*compiling, "-Wall", "-Wextra", "-Werror"], check=True, timeout=120)
    with Publisher("tcp://127.0.0.1:0") as publisher:
        process = subprocess.Popen([program, publisher.endpoint, "300"], stdout=subprocess.PIPE, text=True)
        assert publisher.wait_for_subscriber(30)
        for index in range(300):
            publisher.publish(message_of(index, people=index % 3))
        output, _ = process.communicate(timeout=30)
    assert process.returncode == 0 and len(output.splitlines()) == 300
    assert output.splitlines()[4:6] == ["hall 4: 1 at 64,60", "hall 5: 1 at 65,60 2 at 155,60"]


def test_a_message_reads_the_same_in_json() -> None:
    message = message_of(3)
    assert json.loads(encode(message, "json")) == msgpack.unpackb(encode(message))
