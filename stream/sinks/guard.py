"""Who comes in: encrypted sockets that let in exactly the allowed keys, and tell who was turned away and why."""

from __future__ import annotations

import logging
import threading
import time
from collections import Counter
from collections.abc import Callable

import zmq
from zmq.auth.thread import ThreadAuthenticator
from zmq.utils.monitor import recv_monitor_message

from xpose_stream.stream.sinks.keys import Key, Keys

_POLL_MS = 200
_AGAIN = 60.0  # s until the same is told again
_SETTLED = 0.3  # s after which a client that may come in is in
_PATIENCE = 3  # handshakes in a row that a stream breaks off
_SUSPICION = 10  # such of a client without a key: a stream's port that is forwarded breaks off too while none is there
_FAILED = zmq.Event.HANDSHAKE_FAILED_NO_DETAIL | zmq.Event.HANDSHAKE_FAILED_PROTOCOL | zmq.Event.HANDSHAKE_FAILED_AUTH
_MISMATCH, _CRYPTOGRAPHIC = 0x11000002, 0x11000001

_GIVE_A_KEY = "give a key, --key NAME.key_secret, that `keys new NAME` makes"
Refused = Counter[tuple[str, str]]  # by socket and reason

log = logging.getLogger(__name__)


class Guard:
    """Guards a socket that is not bound yet; `what` it is called. What fails is counted in `refused` and logged.

    `expel` is called, from another thread, when somebody who is inside is no longer allowed: all connections must be
    ended then, and who still may comes back by itself.
    """

    def __init__(
        self, socket: zmq.Socket, keys: Keys, what: str, expel: Callable[[], None], refused: Refused | None
    ) -> None:
        self._keys, self._what, self._expel = keys, what, expel
        self._refused = Refused() if refused is None else refused
        self._inside: dict[bytes, float] = {}  # since when
        self._told: dict[str, float] = {}
        self._closing = threading.Event()
        keys.use(socket)
        self._door = ThreadAuthenticator(socket.context)
        self._door.start()
        self._door.configure_curve_callback("*", self)
        self._monitor = socket.get_monitor_socket(_FAILED)
        self._thread = threading.Thread(target=self._watch, name=f"guard of {what}", daemon=True)
        self._thread.start()

    def callback(self, domain: str, key: bytes) -> bool:
        """Whether that public key may come in now; called by the authenticator."""
        if key not in self._keys.allowed:
            self._tell("unknown key", f"its public key {key.decode()} is not in {self._keys.folder / 'allowed'}")
            return False
        self._inside[key] = time.monotonic()
        return True

    def close(self) -> None:
        """Guard no longer; before the context ends, and after the socket is closed."""
        self._closing.set()
        self._thread.join()
        self._monitor.close()
        self._door.stop()

    def _watch(self) -> None:
        while not self._closing.is_set():
            while self._monitor.poll(_POLL_MS):
                if self._closing.is_set():
                    return
                event = recv_monitor_message(self._monitor)
                if event["event"] & _FAILED:
                    self._note(event["event"], event["value"])
            gone = self._inside.keys() - self._keys.allowed
            # Who is still shaking hands would outlive the end of all connections.
            if gone and time.monotonic() - max(self._inside[key] for key in gone) > _SETTLED:
                self._inside.clear()
                log.warning("%s: a key was taken away; everybody has to come in again", self._what)
                self._expel()

    def _note(self, event: int, value: int) -> None:
        reason, told = "broken off", "it ended before it had said who it is"
        if event == zmq.Event.HANDSHAKE_FAILED_AUTH:
            reason, told = "unknown key", ""  # told with the key, where that is known
        elif value == _MISMATCH:
            reason, told = "no key", "it came without a key, and this stream is encrypted"
        elif value == _CRYPTOGRAPHIC:
            reason, told = "wrong stream", "it took this for another stream: its server.key is not of this one"
        self._refused[self._what, reason] += 1
        if told:
            self._tell(reason, told)

    def _tell(self, reason: str, told: str) -> None:
        now = time.monotonic()
        if now - self._told.get(told, -_AGAIN) >= _AGAIN:
            self._told[told] = now
            log.warning("%s: a client was refused: %s", self._what, told)


class Doorstep:
    """A client's side: why a stream at `endpoint` does not let it in, from `monitor`'s events of its socket."""

    def __init__(self, socket: zmq.Socket, endpoint: str, key: Key | None) -> None:
        if key:
            key.use(socket)
        self.monitor = socket.get_monitor_socket(_FAILED | zmq.Event.HANDSHAKE_SUCCEEDED)
        self._socket, self._endpoint, self._key = socket, endpoint, key
        self._broken = 0

    def refusal(self) -> str | None:
        """One sentence when it is known by now that it is not let in."""
        said = None
        while self.monitor.poll(0):
            event = recv_monitor_message(self.monitor)
            said = said or self._said(event["event"], event["value"])
        return said

    @property
    def broken_off(self) -> str | None:
        """One sentence where all handshakes broke off: an encrypted stream may do so before it has said what it is."""
        if self._broken <= 0:
            return None
        return f"{self._endpoint} breaks off at once: if a stream is there, it is encrypted: {_GIVE_A_KEY}"

    def close(self) -> None:
        """Before the socket is closed."""
        self._socket.disable_monitor()

    def _said(self, event: int, value: int) -> str | None:
        where, key = self._endpoint, self._key
        if event == zmq.Event.HANDSHAKE_SUCCEEDED:
            self._broken = -1_000_000_000  # it has been in: what breaks off now is a stream that ends
        elif event == zmq.Event.HANDSHAKE_FAILED_AUTH and key:
            public = key.path.with_suffix(".key").name
            return f"{where} does not let {key.path} in: the stream's --keys folder needs {public} in its allowed/"
        elif value == _MISMATCH and not key:
            return f"{where} is encrypted: {_GIVE_A_KEY}"
        elif value == _MISMATCH:
            return f"{where} is not encrypted, so no key fits: leave --key out, or run the stream with --keys"
        elif event == zmq.Event.HANDSHAKE_FAILED_NO_DETAIL:
            self._broken += 1
            if not key and self._broken == _SUSPICION:
                log.warning("%s", self.broken_off)
            elif key and self._broken >= _PATIENCE:
                beside = key.path.with_name("server.key")
                copy = "copy the server.key of the stream that runs there to it"
                # A stream without keys may break off too, before it has said what it is.
                return f"{where} does not answer to {beside}: {copy}, or leave --key out if it is not encrypted"
        return None
