"""Messages out: a ZeroMQ socket to which any number of subscribers connect."""

from __future__ import annotations

import errno
import ipaddress
import re
import socket
import threading
import time
import weakref
from types import TracebackType

import zmq

from xpose_stream.stream.sinks.guard import Guard, Refused
from xpose_stream.stream.sinks.keys import Keys
from xpose_stream.stream.sinks.messages import Format, TracksMessage, encode
from xpose_stream.stream.sinks.sink import HIGHEST_PORT, SinkError

# A subscriber that reads too slowly loses messages beyond this many and never holds up the publisher:
# half a minute of one camera, some megabytes.
_QUEUE = 1000
_LINGER_MS = 300
_LINGER_LOSSLESS_MS = 60_000
_REBIND = 5.0  # s in which an endpoint that was let go can be had again

DIRECTORY = b"directory/"  # topics of a fleet's directory, to which who wants tracks subscribes too

_OF_NETWORKS = ("tcp", "ws", "wss", "pgm", "epgm", "norm", "tipc", "vmci")

_REASONS = {
    errno.EADDRINUSE: "it is in use already; stop the program that uses it or choose another port",
    errno.EACCES: "no permission; choose a port above 1023 or a folder you may write to",
    errno.EADDRNOTAVAIL: "this machine has no such address; use one of its own, or tcp://*:PORT for all",
    errno.ENODEV: "this machine has no such address; use one of its own, or tcp://*:PORT for all",
    errno.EINVAL: (
        "it is no ZeroMQ endpoint; write it like tcp://127.0.0.1:5555 or tcp://[::1]:5555, with a port up to 65535"
    ),
    errno.EPROTONOSUPPORT: "it is no ZeroMQ endpoint; write it like tcp://127.0.0.1:5555",
}


class PublishError(SinkError):
    """The endpoint cannot be bound or sent to; the message is one sentence that names it."""


class Publisher:
    """Publishes messages as [b"tracks/<camera>", msgpack] at `endpoint`, for example tcp://*:5555 or ipc:///tmp/tracks.

    The socket is an XPUB, which is a PUB that also tells who subscribes. Subscribers see messages from the moment
    their subscription arrives. Raises PublishError. Methods may be called from any thread.

    form      "json" sends JSON in place of msgpack.
    keys      encrypt, and let in only whom they allow; those refused are counted in `refused`.
    trusted   whether everybody who reaches an endpoint beyond this machine may read it without a key.
    lossless  wait for the slowest subscriber instead of leaving it behind.
    """

    def __init__(
        self,
        endpoint: str,
        *,
        form: Format = "msgpack",
        keys: Keys | None = None,
        trusted: bool = False,
        refused: Refused | None = None,
        lossless: bool = False,
    ) -> None:
        self._lock = threading.RLock()
        self._form = form
        self._topics: set[bytes] = set()
        context = zmq.Context()  # its own, since only ending a context waits for what is queued
        self._socket = context.socket(zmq.XPUB)
        self._socket.setsockopt(zmq.SNDHWM, _QUEUE)
        self._socket.setsockopt(zmq.LINGER, _LINGER_LOSSLESS_MS if lossless else _LINGER_MS)
        self._socket.setsockopt(zmq.XPUB_NODROP, lossless)
        guard = Guard(self._socket, keys, "publish", self._expel, refused) if keys else None
        self._end = weakref.finalize(self, _end, self._socket, context, guard)
        try:
            refuse_public(endpoint, keys, trusted)
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
            self._socket.send_multipart([b"tracks/" + message.camera.encode(), encode(message, self._form)])

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
            self._socket.close()
        self._end()

    def _expel(self) -> None:
        with self._lock:
            if not self._socket.closed:
                rebind(self._socket, self.endpoint)

    def _note_subscriptions(self) -> None:
        """Read what XPUB hands up: b"\\1topic" when its first subscriber comes, b"\\0topic" when its last goes."""
        while self._socket.poll(0):
            event = self._socket.recv()
            if event[1:].startswith(DIRECTORY):
                continue
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


def _end(socket: zmq.Socket, context: zmq.Context, guard: Guard | None) -> None:
    socket.close()
    if guard:
        guard.close()
    context.term()


def bind(socket: zmq.Socket, endpoint: str) -> str:
    """Bind `socket` and return its endpoint with the port it got. Raises PublishError."""
    try:
        _refuse_taken(endpoint)
        prepare_for(socket, endpoint)
        socket.bind(endpoint)
    except (zmq.ZMQError, OSError) as error:
        reason = _REASONS.get(error.errno or 0, error.strerror)
        raise PublishError(f"cannot open {endpoint}: {reason}") from None
    return socket.getsockopt_string(zmq.LAST_ENDPOINT).rstrip("\0")


def prepare_for(socket: zmq.Socket, endpoint: str) -> None:
    """Let `socket` use IPv6 where the endpoint says so: tcp://[::1]:5555, or a name that has no other address.

    Raises zmq.ZMQError for a port that is none, such as 70000, of which ZeroMQ would make 4464.
    """
    host, _, port = endpoint.removeprefix("tcp://").rpartition(":")
    known = port == "*" or (re.fullmatch("[0-9]{1,5}", port) and int(port) <= HIGHEST_PORT)
    if endpoint.startswith("tcp://") and not known:
        raise zmq.ZMQError(errno.EINVAL)
    if endpoint.startswith("tcp://") and (host.startswith("[") or _has_ipv6_alone(host)):
        socket.setsockopt(zmq.IPV6, 1)


def _has_ipv6_alone(host: str) -> bool:
    if not re.fullmatch(r"[\w.-]*[a-zA-Z][\w.-]*", host):
        return False  # an address, or * for all
    try:
        return {found[0] for found in socket.getaddrinfo(host, None)} == {socket.AF_INET6}
    except OSError:
        return False


def rebind(socket: zmq.Socket, endpoint: str) -> None:
    """End all connections of a bound socket; who may comes back. Raises PublishError when the endpoint is lost."""
    socket.unbind(endpoint)
    end = time.monotonic() + _REBIND
    while True:
        try:
            socket.bind(endpoint)
            return
        except zmq.ZMQError as error:  # it is let go in another thread
            if time.monotonic() > end:
                raise PublishError(f"cannot open {endpoint} again: {error.strerror}") from None
            time.sleep(0.01)


def refuse_public(endpoint: str, keys: Keys | None, trusted: bool) -> None:
    """Raise PublishError for an endpoint that others than this machine reach, unless that is meant or guarded."""
    if not keys and not trusted and not is_local(endpoint):
        raise PublishError(
            f"{endpoint} can be reached from other machines: give --keys DIR to encrypt it and say who may come in, "
            "or --open when everybody on that network may"
        )


def is_local(endpoint: str) -> bool:
    """Whether nobody but this machine reaches what is bound there."""
    scheme, _, rest = endpoint.partition("://")
    host = rest.split(";")[-1].rpartition(":")[0].strip("[]")
    if scheme not in _OF_NETWORKS or not host or host in ("localhost", "lo"):
        return True  # or no endpoint at all, which is told when it is bound
    try:
        return ipaddress.ip_address(host.partition("%")[0]).is_loopback
    except ValueError:
        return False


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
