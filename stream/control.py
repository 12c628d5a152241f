"""Changing what a running stream looks for: a ZeroMQ REP socket that takes a prompt and answers with its version."""

from __future__ import annotations

import threading
from collections.abc import Callable
from types import TracebackType

import msgspec
import zmq

from engines import PromptError
from stream.messages import Prompt
from stream.publisher import bind
from stream.sink import SinkError

_POLL_MS = 100


class Ask(msgspec.Struct, forbid_unknown_fields=True):
    """JSON to send: a prompt as `run --prompt` takes it."""

    prompt: str


class Answer(msgspec.Struct, omit_defaults=True):
    """JSON that comes back: the prompt and the version by which messages will tell it, or what was wrong."""

    prompt: Prompt | None = None
    error: str = ""


class ControlError(Exception):
    """A running stream cannot be asked, or refuses; the message is one sentence."""


class Control:
    """Answers at `endpoint` for as long as it is open, in a thread of its own; `change` is called with each prompt.

    Bind it to this machine (tcp://127.0.0.1:…): whoever reaches it may change what the stream looks for. Raises
    PublishError when the endpoint cannot be had.
    """

    def __init__(self, endpoint: str, change: Callable[[str], Prompt]) -> None:
        self._change = change
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.REP)
        self._socket.setsockopt(zmq.LINGER, 300)
        self._closing = threading.Event()
        try:
            self.endpoint = bind(self._socket, endpoint)
        except SinkError:
            self._context.destroy(linger=0)
            raise
        self._thread = threading.Thread(target=self._serve, name="control", daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        try:
            while not self._closing.is_set():
                if self._socket.poll(_POLL_MS):
                    request = b"".join(self._socket.recv_multipart())
                    self._socket.send(msgspec.json.encode(self._answer(request)))
        finally:  # whatever ends this: a context waits for its sockets
            self._socket.close()

    def _answer(self, request: bytes) -> Answer:
        try:
            return Answer(self._change(msgspec.json.decode(request, type=Ask).prompt))
        except (msgspec.DecodeError, UnicodeDecodeError) as error:
            return Answer(error=f'The request is not {{"prompt": "person"}} in JSON: {error}.')
        except PromptError as error:
            return Answer(error=str(error))

    def close(self) -> None:
        """Stop answering; what is being answered still is."""
        self._closing.set()
        self._thread.join(1.0)
        if not self._thread.is_alive():
            self._context.term()

    def __enter__(self) -> Control:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def ask(endpoint: str, prompt: str, patience: float = 5.0) -> Prompt:
    """Ask the stream at `endpoint` to look for `prompt` from now on. Raises ControlError."""
    with zmq.Context() as context, context.socket(zmq.REQ) as socket:
        socket.setsockopt(zmq.LINGER, 0)
        try:
            socket.connect(endpoint)
        except zmq.ZMQError as error:
            raise ControlError(f"cannot ask {endpoint}: {error.strerror}; write it like tcp://127.0.0.1:5556") from None
        socket.send(msgspec.json.encode(Ask(prompt)))
        if not socket.poll(round(patience * 1e3)):
            raise ControlError(f"no stream answers at {endpoint} within {patience:g} s; was it run with --control?")
        answer = msgspec.json.decode(socket.recv(), type=Answer)
    if answer.prompt is None:
        raise ControlError(answer.error)
    return answer.prompt
