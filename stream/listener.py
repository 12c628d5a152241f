"""Messages in: subscribe to a publisher, here or on another machine."""

from __future__ import annotations

from collections.abc import Iterator

import zmq

from stream.messages import TracksMessage, decode


class ListenError(Exception):
    """The endpoint cannot be connected to at all; the message is one sentence that names it."""


def listen(endpoint: str, topic: str = "tracks/", *, quiet: float | None = None) -> Iterator[TracksMessage]:
    """Iterate over the messages published at `endpoint` under topics that begin with `topic`.

    The publisher need not be there yet, and is found again when it goes and comes back. Ends when nothing has come for
    `quiet` seconds (None: never). Raises ListenError for a malformed endpoint, and stream.messages.MessageError from
    the iterator for a message of another version or kind.
    """
    socket: zmq.Socket = zmq.Context.instance().socket(zmq.SUB)
    socket.setsockopt(zmq.LINGER, 0)
    socket.setsockopt(zmq.HEARTBEAT_IVL, 1000)  # a publisher that vanished without a word is noticed in 4 s
    socket.setsockopt(zmq.HEARTBEAT_TIMEOUT, 3000)
    socket.setsockopt(zmq.RECONNECT_IVL_MAX, 1000)
    socket.setsockopt(zmq.SUBSCRIBE, topic.encode())
    try:
        socket.connect(endpoint)
    except zmq.ZMQError as error:
        socket.close()
        raise ListenError(
            f"cannot listen to {endpoint}: {error.strerror}; write it like tcp://127.0.0.1:5555"
        ) from None
    return _messages(socket, quiet)


def _messages(socket: zmq.Socket, quiet: float | None) -> Iterator[TracksMessage]:
    try:
        while socket.poll(None if quiet is None else round(quiet * 1e3)):
            _, payload = socket.recv_multipart()
            yield decode(payload)
    finally:
        socket.close()


def describe(message: TracksMessage) -> str:
    """One line for a person to read: where, when, and every track with its category, id, score and status."""
    names = {category.id: category.name for category in message.categories}
    tracks = ", ".join(f"{names[t.category]} {t.id} {t.score:.2f} {t.status}" for t in message.tracks)
    return (
        f"{message.camera} frame {message.frame} at {message.captured_at:.3f} s ({message.clock} clock), "
        f"{message.latency_ms:.0f} ms: {tracks or 'no tracks'}"
    )
