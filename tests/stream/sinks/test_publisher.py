from __future__ import annotations

import re
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import zmq

from tests.stream.scene import message_of
from xpose_stream.stream.client import ListenError, Subscriber, describe
from xpose_stream.stream.sinks.messages import decode
from xpose_stream.stream.sinks.publisher import Publisher, PublishError

COUNTING = """
import sys
from xpose_stream.stream.client import Subscriber
for message in Subscriber(sys.argv[1], quiet=20):
    print(message.camera, message.frame, flush=True)
    if message.frame == int(sys.argv[2]):
        break
"""

CARELESS = """
import sys
from xpose_stream.stream.client import Subscriber
from xpose_stream.stream.sinks.publisher import Publisher
from tests.stream.scene import message_of
publisher = Publisher(sys.argv[1])
messages, unread = Subscriber(publisher.endpoint), Subscriber(publisher.endpoint)
assert publisher.wait_for_subscriber(60)
publisher.publish(message_of(5))
next(messages)
cycle = [publisher, messages, unread]
cycle.append(cycle)
del publisher, messages, unread, cycle
"""


def test_a_subscriber_in_another_process_receives_every_message() -> None:
    with Publisher("tcp://127.0.0.1:0") as publisher:
        command = [sys.executable, "-c", COUNTING, publisher.endpoint, "499"]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert publisher.wait_for_subscriber(60)
            for index in range(500):
                publisher.publish(message_of(index))
            output, _ = process.communicate(timeout=20)
    assert output.splitlines() == [f"hall {index}" for index in range(500)]


def test_the_wire_has_a_topic_per_camera_and_one_payload() -> None:
    with Publisher("tcp://127.0.0.1:0") as publisher, zmq.Context() as context, context.socket(zmq.SUB) as subscriber:
        subscriber.subscribe(b"tracks/door")
        subscriber.connect(publisher.endpoint)
        assert publisher.wait_for_subscriber(30)
        publisher.publish(message_of(0, camera="hall"))
        publisher.publish(message_of(1, camera="door"))
        topic, payload = subscriber.recv_multipart()
    assert topic == b"tracks/door"
    assert decode(payload).frame == 1


def test_waiting_for_a_subscriber_ends_with_its_timeout_and_notices_who_left() -> None:
    with Publisher("tcp://127.0.0.1:0") as publisher:
        assert not publisher.wait_for_subscriber(0.05)
        messages = Subscriber(publisher.endpoint)
        assert publisher.wait_for_subscriber(30)
        publisher.publish(message_of(0))
        assert next(messages).frame == 0
        messages.close()
        deadline = time.monotonic() + 5
        while publisher.wait_for_subscriber(0):
            assert time.monotonic() < deadline


def test_a_subscriber_that_does_not_read_never_blocks_the_publisher() -> None:
    message = message_of(0, people=4)
    with Publisher("tcp://127.0.0.1:0") as publisher, zmq.Context() as context, context.socket(zmq.SUB) as subscriber:
        subscriber.setsockopt(zmq.LINGER, 0)
        subscriber.setsockopt(zmq.RCVHWM, 1)
        subscriber.subscribe(b"")
        subscriber.connect(publisher.endpoint)
        assert publisher.wait_for_subscriber(30)
        slowest = 0.0
        for _ in range(6000):
            start = time.monotonic()
            publisher.publish(message)
            slowest = max(slowest, time.monotonic() - start)
        start = time.monotonic()
        publisher.close()
        assert time.monotonic() - start < 20
    assert slowest < 20  # it would be for ever


def test_messages_sent_just_before_closing_still_arrive() -> None:
    publisher = Publisher("tcp://127.0.0.1:0")
    messages = Subscriber(publisher.endpoint, quiet=30)
    assert publisher.wait_for_subscriber(30)
    publisher.publish(message_of(11))
    publisher.close()
    publisher.close()
    assert next(messages).frame == 11
    messages.close()
    with pytest.raises(PublishError, match="closed"):
        publisher.publish(message_of(12))


def test_closing_in_another_thread_ends_the_wait_for_a_subscriber() -> None:
    publisher = Publisher("tcp://127.0.0.1:0")
    threading.Timer(0.1, publisher.close).start()
    assert not publisher.wait_for_subscriber(10)


def test_a_program_that_closes_nothing_still_ends(tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-c", CARELESS, f"ipc://{tmp_path}/tracks"], check=True, timeout=90)


def test_an_endpoint_in_use_is_refused_by_name() -> None:
    with (
        Publisher("tcp://127.0.0.1:0") as first,
        pytest.raises(PublishError, match=rf"^cannot open {first.endpoint}: it is in use already; [^\n]*$"),
    ):
        Publisher(first.endpoint)


def test_an_ipc_path_in_use_is_refused_and_one_left_behind_is_taken(tmp_path: Path) -> None:
    endpoint = f"ipc://{tmp_path}/tracks"
    with Publisher(endpoint), pytest.raises(PublishError, match="in use already"):
        Publisher(endpoint, trusted=True)
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(f"{tmp_path}/dead")
    Publisher(f"ipc://{tmp_path}/dead").close()


@pytest.mark.parametrize(
    ("endpoint", "reason"),
    [
        ("nonsense", "no ZeroMQ endpoint"),
        ("http://127.0.0.1:5555", "no ZeroMQ endpoint"),
        ("tcp://127.0.0.1", "no ZeroMQ endpoint"),
        ("", "no ZeroMQ endpoint"),
        ("tcp://203.0.113.7:5555", "no such address"),
        ("ipc:///no/such/folder/tracks", "No such file or directory"),
    ],
)
def test_an_endpoint_that_cannot_be_bound_is_refused_in_one_sentence(endpoint: str, reason: str) -> None:
    with pytest.raises(PublishError, match=rf"^cannot open {endpoint}: [^\n]*{reason}"):
        Publisher(endpoint, trusted=True)


def test_a_listener_outlives_the_publisher_and_finds_the_next_one() -> None:
    first = Publisher("tcp://127.0.0.1:0")
    messages = Subscriber(first.endpoint, quiet=10)
    assert first.wait_for_subscriber(30)
    first.publish(message_of(1))
    assert next(messages).frame == 1
    first.close()
    with Publisher(first.endpoint) as second, ThreadPoolExecutor() as reader:
        following = reader.submit(next, messages)  # a ZeroMQ socket subscribes anew only while somebody reads it
        assert second.wait_for_subscriber(10)
        second.publish(message_of(2))
        assert following.result().frame == 2
    messages.close()


def test_a_listener_ends_when_it_has_been_quiet() -> None:
    with Publisher("tcp://127.0.0.1:0") as publisher:
        assert list(Subscriber(publisher.endpoint, quiet=0.1)) == []


@pytest.mark.parametrize("endpoint", ["nonsense", "tcp://*:5555", "", "tcp://127.0.0.1:70000", "tcp://127.0.0.1:-1"])
def test_listening_to_a_malformed_endpoint_is_refused_at_once(endpoint: str) -> None:
    with pytest.raises(ListenError, match=r"^cannot listen to [^\n]*; write it like tcp://127.0.0.1:5555$"):
        Subscriber(endpoint)


def test_a_message_is_described_in_one_line() -> None:
    line = describe(message_of(30))
    assert line.startswith("hall frame 30 at 1.000 s (file clock), ")
    assert line.endswith(" ms: person 1 0.90 confirmed, person 2 0.90 confirmed")
    assert describe(message_of(0, people=0)).endswith("no tracks")


@pytest.mark.parametrize("bound", ["tcp://[::1]:*", "tcp://[::]:*"])
def test_ipv6_is_spoken_where_the_endpoint_says_so(bound: str) -> None:
    with Publisher(bound, trusted=True) as publisher:
        messages = iter(Subscriber(f"tcp://[::1]:{publisher.endpoint.rpartition(':')[2]}", quiet=20))
        with ThreadPoolExecutor() as pool:
            first = pool.submit(next, messages)
            assert publisher.wait_for_subscriber(20)
            publisher.publish(message_of(3))
            assert first.result().frame == 3


@pytest.mark.parametrize("port", ["70000", "-1", "5 5", "99999999", "", "port"])
def test_a_port_that_is_none_is_not_taken_for_another(port: str) -> None:
    with pytest.raises(PublishError, match=r"it is no ZeroMQ endpoint; .* with a port up to 65535"):
        Publisher(f"tcp://127.0.0.1:{port}")


def test_an_ipv6_port_in_use_is_refused_by_name() -> None:
    with Publisher("tcp://[::1]:*") as publisher, pytest.raises(PublishError, match=r"\[::1\]:\d+: it is in use"):
        Publisher(publisher.endpoint)


@pytest.mark.parametrize("endpoint", ["tcp://::1:5555", "tcp://[::1:5555", "tcp://[::1]", "tcp://[::g]:1"])
def test_an_ipv6_endpoint_that_is_none_is_refused_in_one_sentence(endpoint: str) -> None:
    with pytest.raises(PublishError, match=rf"^cannot open {re.escape(endpoint)}: [^\n]+$"):
        Publisher(endpoint, trusted=True)
