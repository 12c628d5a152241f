"""Messages out: a ZeroMQ socket to which any number of subscribers connect."""

from __future__ import annotations

import errno
import socket
import threading
import time
import weakref
from types import TracebackType

import zmq

from stream.messages import TracksMessage, encode
from stream.sink import SinkError

# A subscriber that reads too slowly loses messages beyond this many and never holds up the publisher:
# half a minute of one camera, some megabytes.
_QUEUE = 1000
_LINGER_MS = 300

_REASONS = {
    errno.EADDRINUSE: "it is in use already; stop the program that uses it or choose another port",
    errno.EACCES: "no permission; choose a port above 1023 or a folder you may write to",
    errno.EADDRNOTAVAIL: "this machine has no such address; use one of its own, or tcp://*:PORT for all",
    errno.ENODEV: "this machine has no such address; use one of its own, or tcp://*:PORT for all",
    errno.EINVAL: "it is no ZeroMQ endpoint; write it like tcp://127.0.0.1:5555",
    errno.EPROTONOSUPPORT: "it is no ZeroMQ endpoint; write it like tcp://127.0.0.1:5555",
}


class PublishError(SinkError):
    """The endpoint cannot be bound or sent to; the message is one sentence that names it."""


class Publisher:
    """Publishes messages as [b"tracks/<camera>", msgpack] at `endpoint`, for example tcp://*:5555 or ipc:///tmp/tracks.

    The socket is an XPUB, which is a PUB that also tells who subscribes. Subscribers see messages from the moment
    their subscription arrives. Raises PublishError. Methods may be called from any thread.
    """

    def __init__(self, endpoint: str) -> None:
        self._lock = threading.RLock()
        self._topics: set[bytes] = set()
        context = zmq.Context()  # its own, since only ending a context waits for what is queued
        self._socket = context.socket(zmq.XPUB)
        self._socket.setsockopt(zmq.SNDHWM, _QUEUE)
        self._socket.setsockopt(zmq.LINGER, _LINGER_MS)
        self._end = weakref.finalize(self, _end, self._socket, context)
        try:
            self.endpoint = bind(self._socket, endpoint)
        except PublishError:
            self.close()
            raise

    def publish(self, message: TracksMessage) -> None:
        """Send `message` to those subscribed now; never waits for them. Raises PublishError after close()."""
        with self._lock:
            if self._socket.closed:
                raise PublishError(f"cannot publish at {self.endpoint}: the publisher is closed")
            self._note_subscriptions()
            self._socket.send_multipart([b"tracks/" + message.camera.encode(), encode(message)])

    def wait_for_subscriber(self, timeout: float) -> bool:
        """Wait up to `timeout` seconds until somebody is subscribed; tells whether somebody is."""
        end = time.monotonic() + timeout
        while True:
            with self._lock:
                if self._socket.closed:
                    return False
                self._note_subscriptions()
                if self._topics:
                    return True
                left = end - time.monotonic()
                if left <= 0:
                    return False
                self._socket.poll(round(min(left, 0.05) * 1e3))

    def close(self) -> None:
        """Send what is queued, for 0.3 s at most, and free the endpoint; a second call does nothing."""
        with self._lock:
            self._end()

    def _note_subscriptions(self) -> None:
        """Read what XPUB hands up: b"\\1topic" when its first subscriber comes, b"\\0topic" when its last goes."""
        while self._socket.poll(0):
            event = self._socket.recv()
            if event[:1] == b"\1":
                self._topics.add(event[1:])
            elif event[:1] == b"\0":
                self._topics.discard(event[1:])

    def __enter__(self) -> Publisher:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()


def _end(socket: zmq.Socket, context: zmq.Context) -> None:
    socket.close()
    context.term()


def bind(socket: zmq.Socket, endpoint: str) -> str:
    """Bind `socket` and return its endpoint with the port it got. Raises PublishError."""
    try:
        _refuse_taken(endpoint)
        socket.bind(endpoint)
    except (zmq.ZMQError, OSError) as error:
        reason = _REASONS.get(error.errno or 0, error.strerror)
        raise PublishError(f"cannot open {endpoint}: {reason}") from None
    return socket.getsockopt_string(zmq.LAST_ENDPOINT).rstrip("\0")


def _refuse_taken(endpoint: str) -> None:
    """Raise OSError for an ipc:// path that somebody answers on: ZeroMQ would silently take it away from them."""
    path = endpoint.removeprefix("ipc://")
    if path == endpoint or path.startswith(("@", "*")):
        return
    with socket.socket(socket.AF_UNIX) as probe:
        try:
            probe.connect(path)
        except OSError:
            return
    raise OSError(errno.EADDRINUSE, "in use")
