"""A web server in a thread of its own, which lets in whom it may."""

from __future__ import annotations

import asyncio
import ipaddress
import secrets
import socket
import threading

import uvicorn
from starlette.types import ASGIApp

from xpose_stream.stream.page.guard import LEAST_TOKEN, LOOPBACK, Guard
from xpose_stream.stream.page.orders import MOST_BYTES
from xpose_stream.stream.sinks.sink import SinkError

_NEXT = 100  # ports that are tried after the first
_CONNECTIONS = 64


class Web:
    """Has an address, at `url`, and from `start` on serves an application there; `loop` is that of its thread.

    address  "HOST:PORT". fixed: exactly that port; else the next one that is free.
    token    what a browser must know; made here if it must and there is none, which is where others than this machine's
             own reach the address.

    Raises SinkError when the address cannot be had or the token is short.
    """

    def __init__(self, address: str, *, fixed: bool = True, token: str | None = None) -> None:
        host, _, port = address.rpartition(":")
        name = host.strip("[]") or "0.0.0.0"
        self._socket = _bound(name, int(port), 1 if fixed else _NEXT)
        self.port: int = self._socket.getsockname()[1]
        local = ipaddress.ip_address(self._socket.getsockname()[0]).is_loopback
        if token is None:
            token = "" if local else secrets.token_urlsafe(24)
        elif len(token) < LEAST_TOKEN or not token.isascii() or not token.isprintable():
            self._socket.close()
            raise SinkError(f"the page's token needs {LEAST_TOKEN} or more plain characters; leave it out to get one")
        shown = f"[{name}]" if ":" in name else socket.gethostname() if name in ("0.0.0.0", "::") else name
        self.url = f"http://{shown}:{self.port}/" + (f"?token={token}" if token else "")
        self._hosts = LOOPBACK | ({shown.lower(), socket.gethostname().lower()} if not local else {shown.lower()})
        self._local, self._token = local, token
        self._runner = asyncio.Runner(loop_factory=asyncio.new_event_loop)
        self.loop = self._runner.get_loop()

    def start(self, app: ASGIApp) -> None:
        """Serve this."""
        guarded = Guard(app, self._hosts, not self._local, self._token, f"xpose_{self.port}")
        self._server = uvicorn.Server(_settings(guarded))
        self._thread = threading.Thread(target=self._serve, name="page", daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        with self._runner:
            self._runner.run(self._server.serve(sockets=[self._socket]))

    def close(self) -> None:
        """Serve no more."""
        self._server.should_exit = True
        self._thread.join(3.0)


def _settings(app: Guard) -> uvicorn.Config:
    return uvicorn.Config(
        app,
        lifespan="off",
        log_config=None,
        access_log=False,
        log_level="critical",
        server_header=False,
        ws="websockets-sansio",
        ws_max_size=MOST_BYTES,
        ws_per_message_deflate=False,
        ws_ping_interval=20.0,
        ws_ping_timeout=20.0,
        limit_concurrency=_CONNECTIONS,
        timeout_keep_alive=5,
        timeout_graceful_shutdown=1,
    )


def _bound(host: str, port: int, tries: int) -> socket.socket:
    """A listening socket at the first port that is free."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    last: OSError | None = None
    for number in range(port, min(port + tries, 65536)) if port else [0]:
        try:
            return socket.create_server((host, number), family=family)
        except OSError as error:
            last = error
    reason = last.strerror if last else "there is no such port"
    raise SinkError(f"cannot serve the page at {host}:{port}: {reason}; choose another --page HOST:PORT, or --no-page")
