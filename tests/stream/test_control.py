from __future__ import annotations

import threading
from collections.abc import Iterator

import msgspec
import pytest
import zmq

from engines import PromptError
from stream.control import Control, ControlError, ask
from stream.messages import Prompt
from stream.publisher import PublishError


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
