from __future__ import annotations

import threading
from collections.abc import Iterator

import msgspec
import pytest
import zmq

from xpose_stream.engines import PromptError
from xpose_stream.stream.control import Control, ControlError, ask
from xpose_stream.stream.sinks.messages import Prompt
from xpose_stream.stream.sinks.publisher import PublishError


def change(prompt: str) -> Prompt:
    if prompt == "unicorn":
        raise PromptError("There is no skeleton for 'unicorn'.")
    return Prompt(prompt, 2)


@pytest.fixture
def control() -> Iterator[Control]:
    with Control("tcp://127.0.0.1:*", change) as control:
        yield control


def test_a_stream_is_asked_for_another_prompt_and_says_its_version(control: Control) -> None:
    assert ask(control.endpoint, "dog") == Prompt("dog", 2)
    assert ask(control.endpoint, "person, dog") == Prompt("person, dog", 2)


def test_a_prompt_that_cannot_be_had_is_the_streams_sentence(control: Control) -> None:
    with pytest.raises(ControlError, match=r"There is no skeleton for 'unicorn'\."):
        ask(control.endpoint, "unicorn")
    assert ask(control.endpoint, "dog").version == 2, "it goes on"


WRONG = [b"", b"dog", b'{"prompt": 3}', b'{"prompt": "dog", "weights": "x"}', b"\xff\xfe", b'{"prompt": "\xff"}']


@pytest.mark.parametrize("request_", [*((wrong,) for wrong in WRONG), (b"do", b"g")])
def test_what_is_no_request_gets_a_sentence_and_it_goes_on(control: Control, request_: tuple[bytes, ...]) -> None:
    with zmq.Context() as context, context.socket(zmq.REQ) as socket:
        socket.setsockopt(zmq.LINGER, 0)
        socket.connect(control.endpoint)
        socket.send_multipart(request_)
        assert socket.poll(20_000)
        answer = msgspec.json.decode(socket.recv())
    assert answer["error"].startswith('The request is not {"prompt": "person"} in JSON')
    assert ask(control.endpoint, "dog").name == "dog"


def test_a_defect_is_told_and_it_goes_on() -> None:
    def fail(prompt: str) -> Prompt:
        raise RuntimeError("a defect")

    with Control("tcp://127.0.0.1:*", fail) as control:
        for _ in range(2):
            with pytest.raises(ControlError, match=r"failed at this prompt \(RuntimeError\)"):
                ask(control.endpoint, "dog")


def test_an_answer_that_takes_long_may_still_come() -> None:
    asked = threading.Event()

    def wait(prompt: str) -> Prompt:
        asked.wait(20)
        return Prompt(prompt, 2)

    with Control("tcp://127.0.0.1:*", wait) as control:
        with pytest.raises(ControlError, match=r"has not answered within 0\.2 s; the prompt may still change"):
            ask(control.endpoint, "dog", patience=0.2)
        asked.set()


def test_another_service_is_told_apart() -> None:
    with zmq.Context() as context, context.socket(zmq.REP) as other:
        port = other.bind_to_random_port("tcp://127.0.0.1")
        answering = threading.Thread(target=lambda: (other.recv(), other.send(b"hello")))
        answering.start()
        with pytest.raises(ControlError, match="is no stream's --control"):
            ask(f"tcp://127.0.0.1:{port}", "dog")
        answering.join()


def test_nobody_there_is_one_sentence_after_some_seconds() -> None:
    with pytest.raises(ControlError, match=r"no stream answers at tcp://127\.0\.0\.1:9; was it run with --control\?"):
        ask("tcp://127.0.0.1:9", "dog", reach=0.2)


def test_a_malformed_endpoint_is_one_sentence() -> None:
    with pytest.raises(ControlError, match=r"cannot ask nonsense: Invalid argument"):
        ask("nonsense", "dog")


def test_an_endpoint_in_use_is_refused(control: Control) -> None:
    with pytest.raises(PublishError, match="in use already"):
        Control(control.endpoint, change)


def test_closing_frees_the_endpoint() -> None:
    with Control("tcp://127.0.0.1:*", change) as first:
        endpoint = first.endpoint
    with Control(endpoint, change) as second:
        assert ask(second.endpoint, "dog").name == "dog"


class Builder:
    """A change of prompts that is in use when it is told to be."""

    def __init__(self) -> None:
        self.version, self.used = 1, 1

    def __call__(self, prompt: str) -> Prompt:
        self.version += 1
        return Prompt(prompt, self.version)

    def standing(self, version: int) -> float | None:
        return None if version < self.version else 0.0 if version == self.used else 20.0


def test_asking_waits_until_the_prompt_is_in_use_and_says_that_it_is_being_built() -> None:
    builder, told = Builder(), []
    with Control("tcp://127.0.0.1:*", builder, builder.standing) as control:

        def building(seconds: float) -> None:
            told.append((seconds, builder.used))
            threading.Timer(1.5, lambda: setattr(builder, "used", 2)).start()

        assert ask(control.endpoint, "dog", building=building) == Prompt("dog", 2)
        assert told == [(20.0, 1)] and builder.used == 2


def test_a_prompt_in_use_at_once_is_not_said_to_be_built() -> None:
    builder, told = Builder(), []
    with Control("tcp://127.0.0.1:*", builder, builder.standing) as control:
        threading.Timer(0.3, lambda: setattr(builder, "used", 2)).start()
        ask(control.endpoint, "dog", building=told.append)
    assert not told


def test_a_prompt_that_another_one_took_the_place_of_is_told() -> None:
    builder = Builder()
    with (
        Control("tcp://127.0.0.1:*", builder, builder.standing) as control,
        pytest.raises(ControlError, match=r"Another prompt than 'dog' was asked for since"),
    ):
        ask(control.endpoint, "dog", building=lambda seconds: builder("cat"))


def test_a_stream_that_ends_meanwhile_is_told() -> None:
    builder = Builder()
    control = Control("tcp://127.0.0.1:*", builder, builder.standing)
    with pytest.raises(ControlError, match=r"no stream answers|has not answered within 2 s"):
        ask(control.endpoint, "dog", reach=1.0, patience=2.0, building=lambda seconds: control.close())


@pytest.mark.parametrize("version", [7, -1])
def test_a_version_that_nobody_asked_for_is_told(control: Control, version: int) -> None:
    with zmq.Context() as context, context.socket(zmq.REQ) as socket:
        socket.setsockopt(zmq.LINGER, 0)
        socket.connect(control.endpoint)
        socket.send(msgspec.json.encode({"version": version}))
        assert socket.poll(20_000)
        assert msgspec.json.decode(socket.recv())["error"] == f"No prompt of version {version} was asked for here."


def test_a_stream_is_asked_over_ipv6() -> None:
    with Control("tcp://[::1]:*", lambda text: Prompt(text, 2)) as control:
        assert ask(control.endpoint, "dog") == Prompt("dog", 2)
