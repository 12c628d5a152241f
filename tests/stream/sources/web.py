"""A web server for the tests: a folder's files, or whatever a function writes."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

Write = Callable[[http.server.BaseHTTPRequestHandler], None]


class Served:
    """What is being served: its address, and the paths asked for so far."""

    def __init__(self, url: str) -> None:
        self.url = url
        self.asked: list[str] = []


@contextmanager
def served(folder: Path, answers: dict[str, Write] | None = None) -> Iterator[Served]:
    """Serve the files of a folder; the paths in `answers` are answered by calling what stands there."""

    class Handler(http.server.SimpleHTTPRequestHandler):
        def __init__(self, *given: object) -> None:
            super().__init__(*given, directory=str(folder))  # type: ignore[arg-type]

        def do_GET(self) -> None:
            here.asked.append(self.path)
            write = (answers or {}).get(self.path)
            with suppress(BrokenPipeError, ConnectionResetError):  # who asked has gone
                write(self) if write else super().do_GET()

        def log_message(self, format: str, *args: object) -> None:
            """Keep quiet."""

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        here = Served(f"http://127.0.0.1:{server.server_address[1]}")
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield here
        server.shutdown()


def headed(kind: str, body: bytes, length: bool = True) -> Write:
    """An answer with this content type and body."""

    def write(request: http.server.BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("Content-Type", kind)
        if length:
            request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body)

    return write


def ranged(kind: str, body: bytes, breaks: int) -> Write:
    """The same of a server that knows ranges, closes connections without a word, and so many times in the middle."""
    left = breaks

    def write(request: http.server.BaseHTTPRequestHandler) -> None:
        nonlocal left
        asked = request.headers.get("Range", "bytes=0-").removeprefix("bytes=").partition("-")[0]
        start = int(asked)
        request.protocol_version = "HTTP/1.1"
        request.send_response(206)
        request.send_header("Content-Type", kind)
        request.send_header("Accept-Ranges", "bytes")
        request.send_header("Content-Range", f"bytes {start}-{len(body) - 1}/{len(body)}")
        request.send_header("Content-Length", str(len(body) - start))
        request.end_headers()
        part = body[start:]
        if left and len(part) > 20_000:
            left -= 1
            part = part[: len(part) // 3]
        request.wfile.write(part)

    return write
