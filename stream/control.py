"""Changing what a running stream looks for: a ZeroMQ REP socket that takes a prompt and answers with its version."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import TracebackType

import msgspec
import zmq

from xpose_stream.error import UserError
from xpose_stream.stream.sinks.guard import Doorstep, Guard, Refused
from xpose_stream.stream.sinks.keys import Key, Keys
from xpose_stream.stream.sinks.messages import Prompt
from xpose_stream.stream.sinks.publisher import bind, prepare_for, rebind, refuse_public
from xpose_stream.stream.sinks.sink import SinkError

_POLL_MS = 100
_MOMENT, _BLINK = 1.0, 0.01  # s, for a prompt to come into use before it is said that it is not, and between two looks
PATIENCE = 120.0  # s, for an answer: a stream may have to load CLIP for it

log = logging.getLogger(__name__)


class Ask(msgspec.Struct, forbid_unknown_fields=True):
    """JSON to send: a prompt as `run --prompt` takes it."""

    prompt: str


class Await(msgspec.Struct, forbid_unknown_fields=True):
    """JSON to send: how it stands with the prompt that was given this version."""

    version: int


class Answer(msgspec.Struct, omit_defaults=True):
    """JSON that comes back: the prompt and the version by which messages tell it, or what was wrong.

    building: s, about, after which the prompt will be in use; 0 when it is.
    """

    prompt: Prompt | None = None
    error: str = ""
    building: float = 0.0


class ControlError(UserError):
    """A running stream cannot be asked, or refuses; the message is one sentence."""


class Control:
    """Answers at `endpoint` for as long as it is open, in a thread of its own; `change` is called with each prompt.

    Whoever reaches it may change what the stream looks for; keys, trusted and refused: as for Publisher. Raises
    PublishError when the endpoint cannot be had.
    """

    def __init__(
        self,
        endpoint: str,
        change: Callable[[str], Prompt],
        standing: Callable[[int], float | None] = lambda version: 0.0,
        *,
        keys: Keys | None = None,
        trusted: bool = False,
        refused: Refused | None = None,
    ) -> None:
        self._change, self._standing = change, standing
        self._given: dict[int, Prompt] = {}
        self._expelling = threading.Event()
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.REP)
        self._socket.setsockopt(zmq.LINGER, 300)
        self._guard = Guard(self._socket, keys, "control", self._expelling.set, refused) if keys else None
        self._closing = threading.Event()
        try:
            refuse_public(endpoint, keys, trusted)
            self.endpoint = bind(self._socket, endpoint)
        except SinkError:
            self._socket.close()
            if self._guard:
                self._guard.close()
            self._context.destroy(linger=0)
            raise
        self._thread = threading.Thread(target=self._serve, name="control", daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        try:
            while not self._closing.is_set():
                if self._expelling.is_set():
                    self._expelling.clear()
                    rebind(self._socket, self.endpoint)
                if self._socket.poll(_POLL_MS):
                    request = b"".join(self._socket.recv_multipart())
                    self._socket.send(msgspec.json.encode(self._answer(request)))
        finally:  # whatever ends this: a context waits for its sockets
            self._socket.close()

    def _answer(self, request: bytes) -> Answer:
        try:
            asked = msgspec.json.decode(request, type=dict[str, str | int])
            if "version" in asked:
                return self._told(msgspec.convert(asked, Await).version)
            prompt = self._change(msgspec.convert(asked, Ask).prompt)
            self._given[prompt.version] = prompt
            return self._told(prompt.version)
        except (msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError) as error:
            return Answer(error=f'The request is not {{"prompt": "person"}} in JSON: {error}.')
        except UserError as error:
            return Answer(error=str(error))
        except Exception as error:  # whatever it is, the stream goes on and can be asked again
            log.exception("a prompt could not be changed")
            return Answer(error=f"The stream failed at this prompt ({type(error).__name__}); its log says where.")

    def _told(self, version: int) -> Answer:
        """How it stands with a prompt that was asked for here, after a moment in which it may have come into use."""
        prompt, end = self._given.get(version), time.monotonic() + _MOMENT
        if prompt is None:
            return Answer(error=f"No prompt of version {version} was asked for here.")
        while (left := self._standing(version)) and time.monotonic() < end and not self._closing.is_set():
            time.sleep(_BLINK)
        if left is None:
            return Answer(error=f"Another prompt than '{prompt.name}' was asked for since; that one counts.")
        return Answer(prompt, building=left)

    def close(self) -> None:
        """Stop answering; what is being answered still is."""
        self._closing.set()
        self._thread.join(1.0)
        if self._guard:
            self._guard.close()
        if not self._thread.is_alive():
            self._context.term()

    def __enter__(self) -> Control:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def ask(
    endpoint: str,
    prompt: str,
    reach: float = 5.0,
    patience: float = PATIENCE,
    key: str | Path | None = None,
    building: Callable[[float], object] = lambda seconds: None,
) -> Prompt:
    """Ask the stream at `endpoint` to look for `prompt` from now on, and wait until it does.

    `key`: the file NAME.key_secret, if it has --keys. `building` is called once when an engine must be built for it,
    with about how many s that takes. Raises ControlError when it refuses, does not let in, is not reached within
    `reach` s, or does not answer within `patience` s.
    """
    with zmq.Context() as context, context.socket(zmq.REQ) as socket:
        socket.setsockopt(zmq.LINGER, 0)
        socket.setsockopt(zmq.IMMEDIATE, 1)  # a request waits for somebody to take it, and then for the answer
        doorstep = Doorstep(socket, endpoint, Key.load(key) if key else None)
        try:
            prepare_for(socket, endpoint)
            socket.connect(endpoint)
            answer = _exchange(socket, doorstep, Ask(prompt), endpoint, reach, patience)
            if answer.prompt and answer.building:
                building(answer.building)
            while answer.prompt and answer.building:  # each answer takes a moment to come
                answer = _exchange(socket, doorstep, Await(answer.prompt.version), endpoint, reach, patience)
        except zmq.ZMQError as error:
            raise ControlError(f"cannot ask {endpoint}: {error.strerror}; write it like tcp://127.0.0.1:5556") from None
        except (msgspec.MsgspecError, UnicodeDecodeError):
            raise ControlError(f"what answers at {endpoint} is no stream's --control") from None
        finally:
            doorstep.close()
    if answer.prompt is None:
        raise ControlError(answer.error)
    return answer.prompt


def _exchange(
    socket: zmq.Socket, doorstep: Doorstep, request: Ask | Await, endpoint: str, reach: float, patience: float
) -> Answer:
    _send(socket, doorstep, msgspec.json.encode(request), endpoint, reach)
    if not socket.poll(round(patience * 1e3)):
        raise ControlError(f"{endpoint} has not answered within {patience:g} s; the prompt may still change")
    return msgspec.json.decode(socket.recv(), type=Answer)


def _send(socket: zmq.Socket, doorstep: Doorstep, request: bytes, endpoint: str, reach: float) -> None:
    poller = zmq.Poller()
    poller.register(socket, zmq.POLLOUT)
    poller.register(doorstep.monitor, zmq.POLLIN)
    end = time.monotonic() + reach
    while (left := end - time.monotonic()) > 0:
        ready = dict(poller.poll(round(left * 1e3)))
        if refusal := doorstep.refusal():
            raise ControlError(refusal)
        if socket in ready:
            socket.send(request)
            return
    raise ControlError(doorstep.broken_off or f"no stream answers at {endpoint}; was it run with --control?")
