"""A TCP proxy in front of an RTSP server, with which a test delays, drips, corrupts, cuts and re-times what comes."""

from __future__ import annotations

import contextlib
import socket
import struct
import threading
import time
from collections.abc import Callable
from types import TracebackType


class Proxy:
    """Passes `port` on as its own `port`; every knob may be turned at any time, for what comes from the server.

    frozen  pass on nothing.
    drip    s to wait after every byte.
    damage  what becomes of each RTP packet, see damage.py; None: nothing happens to it.
    shift   RTP ticks to add to the times of all packets from now on.
    clock   s to add to the wall clock in sender reports.
    """

    def __init__(self, port: int) -> None:
        self.frozen = False
        self.drip = 0.0
        self.damage: Callable[[bytes], bytes] | None = None
        self.shift = 0
        self.clock = 0
        self._target = port
        self._open: set[socket.socket] = set()
        self._server = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._server.getsockname()[1]
        self.url = f"rtsp://127.0.0.1:{self.port}/clip"
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Close all connections."""
        for one in list(self._open):
            with contextlib.suppress(OSError):
                one.shutdown(socket.SHUT_RDWR)

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._server.accept()
                server = socket.create_connection(("127.0.0.1", self._target))
            except OSError:
                if self._server.fileno() < 0:
                    return
                client.close()
                continue
            self._open |= {client, server}
            threading.Thread(target=self._pass, args=(client, server, False), daemon=True).start()
            threading.Thread(target=self._pass, args=(server, client, True), daemon=True).start()

    def _pass(self, source: socket.socket, target: socket.socket, changed: bool) -> None:
        try:
            stream = source.makefile("rb", buffering=65536)
            while data := self._next(stream) if changed else source.recv(65536):
                while self.frozen and changed:
                    time.sleep(0.01)
                if changed and (damage := self.damage) and data.startswith(b"$"):
                    data = damage(data)
                if not changed or not self.drip:
                    target.sendall(data)
                    continue
                for byte in data:
                    target.sendall(bytes([byte]))
                    time.sleep(self.drip)
        except (OSError, ValueError):
            pass
        finally:
            for one in (source, target):
                one.close()
                self._open.discard(one)

    def _next(self, stream) -> bytes:  # type: ignore[no-untyped-def]  # the file of a socket
        """The next interleaved RTP packet, changed as wished, or line of RTSP."""
        head = stream.read(1)
        if head != b"$":
            return head + stream.readline() if head else b""
        rest = stream.read(3)
        packet = bytearray(stream.read(struct.unpack(">H", rest[1:])[0]))
        if self.shift and len(packet) >= 20:
            place = 16 if rest[0] % 2 else 4  # in a sender report, in a packet of video
            (ticks,) = struct.unpack_from(">I", packet, place)
            struct.pack_into(">I", packet, place, (ticks + self.shift) % 2**32)
        if self.clock and rest[0] % 2 and packet[1] == 200:
            (seconds,) = struct.unpack_from(">I", packet, 8)
            struct.pack_into(">I", packet, 8, seconds + self.clock)
        return head + rest + bytes(packet)

    def __enter__(self) -> Proxy:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._server.close()
        self.cut()
