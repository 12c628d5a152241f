"""Where a camera is served now: a ZeroMQ topic for each, so that who wants a camera need not know a machine."""

from __future__ import annotations

import threading
from collections.abc import Iterable
from types import TracebackType
from typing import Literal

import msgspec
import zmq

from xpose_stream.stream.sinks.guard import Guard
from xpose_stream.stream.sinks.keys import Keys
from xpose_stream.stream.sinks.publisher import DIRECTORY, bind, rebind, refuse_public
from xpose_stream.stream.sinks.sink import SinkError


class Entry(msgspec.Struct, frozen=True):
    """One camera. endpoint: where its messages are published; key: that stream's public key in Z85, "" without keys.

    run: its messages' epoch is at least this many times 10^9; older ones are of a process that does not know yet that
    another serves the camera. state: serving; starting; waiting: nobody serves it, and `why` says why. page: the
    address of a page that shows it, "" where there is none.
    """

    camera: str
    state: Literal["serving", "starting", "waiting"]
    endpoint: str = ""
    key: str = ""
    run: int = 0
    shard: str = ""
    machine: str = ""
    why: str = ""
    page: str = ""
    version: int = 1


_entry = msgspec.json.Decoder(Entry)


def entry_of(payload: bytes) -> Entry | None:
    """What a directory said; None for what is no entry of the version read here."""
    try:
        entry = _entry.decode(payload)
    except msgspec.DecodeError:
        return None
    return entry if entry.version == 1 else None


class Directory:
    """Publishes [b"directory/<camera>", JSON] at `endpoint`: what changes at once, and all to who begins to listen.

    keys, trusted: as for Publisher. Raises PublishError.
    """

    def __init__(self, endpoint: str, *, keys: Keys | None = None, trusted: bool = False) -> None:
        self._told: dict[str, Entry] = {}
        self._lock = threading.Lock()
        self._context = zmq.Context()
        self._socket = self._context.socket(zmq.XPUB)
        self._socket.setsockopt(zmq.SNDHWM, 0)  # a thousand cameras at once are some hundred kB
        self._socket.setsockopt(zmq.LINGER, 300)
        self._socket.setsockopt(zmq.XPUB_VERBOSE, 1)  # told of everybody who comes
        self._guard = Guard(self._socket, keys, "directory", self._expel, None) if keys else None
        try:
            refuse_public(endpoint, keys, trusted)
            self.endpoint = bind(self._socket, endpoint)
        except SinkError:
            self.close()
            raise

    def tell(self, entries: Iterable[Entry]) -> int:
        """This is how it is now; returns how many messages that took."""
        told = {entry.camera: entry for entry in entries}
        gone = {camera: Entry(camera, "waiting", why="it is not in the site") for camera in self._told.keys() - told}
        with self._lock:
            asked = []
            while self._socket.poll(0):
                event = self._socket.recv()
                asked += [event[1:]] if event[:1] == b"\1" else []
            changed = [entry for camera, entry in {**told, **gone}.items() if self._told.get(camera) != entry]
            asked_for = [entry for entry in told.values() if any(_topic(entry).startswith(topic) for topic in asked)]
            out = {entry.camera: entry for entry in [*changed, *asked_for]}
            for entry in out.values():
                self._socket.send_multipart([_topic(entry), msgspec.json.encode(entry)])
            self._told = told
        return len(out)

    def close(self) -> None:
        """Tell no more."""
        with self._lock:
            self._socket.close()
        if self._guard:
            self._guard.close()
        self._context.term()

    def _expel(self) -> None:
        with self._lock:
            if not self._socket.closed:
                rebind(self._socket, self.endpoint)

    def __enter__(self) -> Directory:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _topic(entry: Entry) -> bytes:
    return DIRECTORY + entry.camera.encode()
