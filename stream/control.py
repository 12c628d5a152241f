"""Changing what a running stream looks for: a ZeroMQ REP socket that takes a prompt and answers with its version."""

from __future__ import annotations

import logging
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
PATIENCE = 120.0  # s, for an answer: a stream may have to load CLIP for it

log = logging.getLogger(__name__)


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
        except Exception as error:  # whatever it is, the stream goes on and can be asked again
            log.exception("a prompt could not be changed")
            return Answer(error=f"The stream failed at this prompt ({type(error).__name__}); its log says where.")

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


def ask(endpoint: str, prompt: str, reach: float = 5.0, patience: float = PATIENCE) -> Prompt:
    """Ask the stream at `endpoint` to look for `prompt` from now on.

    Raises ControlError when it refuses, is not reached within `reach` s, or does not answer within `patience` s.
    """
    with zmq.Context() as context, context.socket(zmq.REQ) as socket:
        socket.setsockopt(zmq.LINGER, 0)
        socket.setsockopt(zmq.IMMEDIATE, 1)  # a request waits for somebody to take it, and then for the answer
        socket.setsockopt(zmq.SNDTIMEO, round(reach * 1e3))
        try:
            socket.connect(endpoint)
        except zmq.ZMQError as error:
            raise ControlError(f"cannot ask {endpoint}: {error.strerror}; write it like tcp://127.0.0.1:5556") from None
        try:
            socket.send(msgspec.json.encode(Ask(prompt)))
        except zmq.Again:
            raise ControlError(f"no stream answers at {endpoint}; was it run with --control?") from None
        if not socket.poll(round(patience * 1e3)):
            raise ControlError(f"{endpoint} has not answered within {patience:g} s; the prompt may still change")
        try:
            answer = msgspec.json.decode(socket.recv(), type=Answer)
        except (msgspec.MsgspecError, UnicodeDecodeError):
            raise ControlError(f"what answers at {endpoint} is no stream's --control") from None
    if answer.prompt is None:
        raise ControlError(answer.error)
    return answer.prompt
