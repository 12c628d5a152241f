"""Messages in: subscribe to a stream, here or on another machine."""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import AsyncIterator, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

import zmq
import zmq.asyncio

from xpose_stream.error import UserError
from xpose_stream.stream.sinks.directory import Entry, entry_of
from xpose_stream.stream.sinks.guard import Doorstep
from xpose_stream.stream.sinks.keys import Key
from xpose_stream.stream.sinks.messages import MessageError, TracksMessage, decode
from xpose_stream.stream.sinks.publisher import DIRECTORY, prepare_for
from xpose_stream.stream.sources.frame import RUN

_AT_ONCE = 10_000  # messages of which the newest are found: who publishes faster than we read is not waited for


class ListenError(UserError):
    """The endpoint cannot be connected to at all, or does not let us in; the message is one sentence that names it."""


class Subscriber:
    """Iterates, by `for` or `async for`, over the messages published at `endpoint`, a stream's or a fleet's directory.

    A directory tells where each camera is published; it is followed, so that a camera may move to another machine. The
    publisher need not be there yet, and is found again when it goes and comes back. Iterating raises ListenError
    when the stream does not let us in, and MessageError for a message of another version or kind. For one thread.

    topic   what topics begin with: "tracks/hall" for one camera.
    key     the file NAME.key_secret, for a stream with --keys; beside it lies the stream's server.key.
    newest  leave out what is outdated when we come to read it: of each camera only the newest message.
    quiet   s without a message after which the iteration ends; None: never.

    lost     by camera, messages that were published and did not arrive.
    skipped  by camera, those that arrived and were left out for `newest`.
    """

    def __init__(
        self,
        endpoint: str,
        topic: str = "tracks/",
        *,
        key: str | Path | None = None,
        newest: bool = False,
        quiet: float | None = None,
    ) -> None:
        self.lost: Counter[str] = Counter()
        self.skipped: Counter[str] = Counter()
        self._newest, self._quiet = newest, quiet
        self._next: dict[str, int] = {}
        self._ready: deque[TracksMessage] = deque()
        self._credentials = credentials = Key.load(key) if key else None
        self._entries: dict[str, Entry] = {}
        self._connected: set[str] = set()
        self._socket: zmq.Socket = zmq.Context.instance().socket(zmq.SUB)
        self._socket.setsockopt(zmq.LINGER, 0)
        self._socket.setsockopt(zmq.HEARTBEAT_IVL, 1000)  # a publisher that vanished without a word is noticed in 4 s
        self._socket.setsockopt(zmq.HEARTBEAT_TIMEOUT, 3000)
        self._socket.setsockopt(zmq.RECONNECT_IVL_MAX, 1000)
        self._socket.setsockopt(zmq.SUBSCRIBE, topic.encode())
        self._socket.setsockopt(zmq.SUBSCRIBE, DIRECTORY + topic.partition("/")[2].encode())
        self._doorstep = Doorstep(self._socket, endpoint, credentials)
        try:
            prepare_for(self._socket, endpoint)
            self._socket.connect(endpoint)
        except zmq.ZMQError as error:
            self.close()
            raise ListenError(
                f"cannot listen to {endpoint}: {error.strerror}; write it like tcp://127.0.0.1:5555"
            ) from None

    def __iter__(self) -> Iterator[TracksMessage]:
        return self

    def __next__(self) -> TracksMessage:
        poller, end = self._polled(zmq.Poller()), self._end()
        while not self._ready:
            if not poller.poll(_left(end)):
                raise StopIteration
            self._read()
        return self._ready.popleft()

    def __aiter__(self) -> AsyncIterator[TracksMessage]:
        return self

    async def __anext__(self) -> TracksMessage:
        poller, end = self._polled(zmq.asyncio.Poller()), self._end()
        while not self._ready:
            if not self._socket.poll(0) and not await poller.poll(_left(end)):
                raise StopAsyncIteration
            self._read()
        return self._ready.popleft()

    def close(self) -> None:
        """Listen no longer; a second call does nothing."""
        if not self._socket.closed:
            self._doorstep.close()
            self._socket.close()

    def _polled(self, poller: Any) -> Any:
        poller.register(self._socket, zmq.POLLIN)
        poller.register(self._doorstep.monitor, zmq.POLLIN)
        return poller

    def _end(self) -> float | None:
        return None if self._quiet is None else time.monotonic() + self._quiet

    def _read(self) -> None:
        """Take one message that is there, or all and keep the newest."""
        if refusal := self._doorstep.refusal():
            raise ListenError(refusal)
        newest: dict[str, TracksMessage] = {}
        for _ in range(_AT_ONCE if self._newest else 1):
            if not self._socket.poll(0):
                break
            if (message := self._received()) is None:
                continue
            self.skipped[message.camera] += message.camera in newest
            newest[message.camera] = message
        self._ready.extend(newest.values())

    def _received(self) -> TracksMessage | None:
        """None for a word of a directory, and for what a process says that does not know that it has been replaced."""
        parts = self._socket.recv_multipart()
        if parts[0].startswith(DIRECTORY) and len(parts) == 2:
            self._follow(entry_of(parts[1]))
            return None
        if len(parts) != 2:
            raise MessageError(f"not a tracks message, which has two parts, but {len(parts)}")
        message = decode(parts[1])
        if (entry := self._entries.get(message.camera)) and message.epoch // RUN < entry.run:
            return None
        # A sequence that goes back is a stream that was started anew.
        self.lost[message.camera] += max(message.sequence - self._next.get(message.camera, message.sequence), 0)
        self._next[message.camera] = message.sequence + 1
        return message

    def _follow(self, entry: Entry | None) -> None:
        """Be connected to all that serve a camera, and to nobody else."""
        if entry is None:
            return
        self._entries[entry.camera] = entry
        wanted = {one.endpoint: one for one in self._entries.values() if one.endpoint}
        for endpoint in self._connected - wanted.keys():
            with suppress(zmq.ZMQError):
                self._socket.disconnect(endpoint)
        for endpoint in wanted.keys() - self._connected:
            if self._credentials and wanted[endpoint].key:
                replace(self._credentials, stream=wanted[endpoint].key.encode()).use(self._socket)
            prepare_for(self._socket, endpoint)
            with suppress(zmq.ZMQError):
                self._socket.connect(endpoint)
        self._connected = set(wanted)

    def __enter__(self) -> Subscriber:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _left(end: float | None) -> int | None:
    """ms"""
    return None if end is None else max(round((end - time.monotonic()) * 1e3), 0)


def describe(message: TracksMessage) -> str:
    """One line for a person to read: where, when, and every track with its category, id, score and status."""
    names = {category.id: category.name for category in message.categories}
    tracks = ", ".join(f"{names[t.category]} {t.id} {t.score:.2f} {t.status}" for t in message.tracks)
    return (
        f"{message.camera} frame {message.frame} at {message.captured_at:.3f} s ({message.clock} clock), "
        f"{message.latency_ms:.0f} ms: {tracks or 'no tracks'}"
    )
