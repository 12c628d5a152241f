"""What can be asked for over HTTP, and the WebSocket."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from xpose_stream import __version__
from xpose_stream.stream.camera import Camera
from xpose_stream.stream.page.client import Client
from xpose_stream.stream.page.desk import Desk
from xpose_stream.stream.page.hub import SPARING, Hub
from xpose_stream.stream.page.jpeg import Encoder
from xpose_stream.stream.page.library import Library, zipped
from xpose_stream.stream.page.news import Log, News
from xpose_stream.stream.pipeline import Pipeline
from xpose_stream.stream.recordings.export.formats import FORMATS

PROTOCOL = 1
MOST_CLIENTS = 8
_STATIC = Path(__file__).parent / "static"
_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".mjs": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
}
_STILL = 3.0  # s to wait for a frame
_FULL = 10_000  # px, wider than any frame


@dataclass(frozen=True)
class Stream:
    """What a page may see and change of a run."""

    pipeline: Pipeline
    desk: Desk

    def told(self) -> dict[str, Any]:
        """What stays, and what it looks for at first."""
        desk = self.desk
        return {"categories": self.pipeline.detector.categories, "known": desk.known, "skeletons": desk.skeletons}

    def asked(self) -> dict[str, Any]:
        """What it looks for, and did before."""
        return {"prompt": self.pipeline.detector.prompt, "asked": self.desk.asked()}


class App:
    """All that pages have in common. Files are read at the start, and because of a request only those of `library`.

    stream  what is shown live; None: recordings alone. opened: the recording that a page begins with, see Server.
    """

    def __init__(
        self,
        stream: Stream | None,
        hub: Hub,
        library: Library | None,
        log: Log,
        opened: Mapping[str, Any] | None = None,
    ) -> None:
        self._stream, self._hub, self._log = stream, hub, log
        self._library, self._opened = library, opened
        self._cameras: Mapping[str, Camera] = stream.pipeline.cameras if stream else {}
        self._encoder = Encoder()
        self._news = News(self._cameras)
        self._run = secrets.token_hex(8)
        self._clients: set[Client] = set()
        self._streams = 0
        self._ticking: asyncio.Task[None] | None = None
        self._static = {
            f"/static/{path.relative_to(_STATIC).as_posix()}": (path.read_bytes(), _TYPES[path.suffix])
            for path in sorted(_STATIC.rglob("*"))
            if path.suffix in _TYPES
        }
        self.asgi = Starlette(
            routes=[
                Route("/", self._file),
                Route("/static/{path:path}", self._file),
                Route("/healthz", self._health),
                Route("/cameras", self._states),
                Route("/cameras/{camera}.jpg", self._still),
                Route("/cameras/{camera}.mjpeg", self._motion),
                Route("/recordings/{name}/{form}", self._recorded),
                WebSocketRoute("/ws", self._page),
            ]
        )

    def close(self) -> None:
        """Let the threads go."""
        self._encoder.close()
        if self._stream:
            self._stream.desk.close()
        if self._library:
            self._library.close()

    async def _file(self, request: Request) -> Response:
        path = "/static/index.html" if request.url.path == "/" else request.scope["path"]
        if path not in self._static:
            return PlainTextResponse("There is nothing here.\n", 404)
        data, kind = self._static[path]
        return Response(data, media_type=kind)

    async def _health(self, request: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def _states(self, request: Request) -> Response:
        return JSONResponse(self._news.plain())

    async def _still(self, request: Request) -> Response:
        """The next frame, with what is tracked unless ?overlay=0."""
        if (camera := self._named(request)) is None:
            return PlainTextResponse("There is no camera of that name.\n", 404)
        with self._place() as free:
            if not free:
                return _busy()
            seen = await self._hub.next(camera, None, _STILL)
            if seen is None:
                return PlainTextResponse(f"No frame has come for {_STILL:g} s.\n", 503)
            return Response(await self._encoder(seen, _FULL, _overlay(request)), media_type="image/jpeg")

    async def _motion(self, request: Request) -> Response:
        """The newest frames, one after the other, as fast as they are taken."""
        if (camera := self._named(request)) is None:
            return PlainTextResponse("There is no camera of that name.\n", 404)
        if len(self._clients) + self._streams >= MOST_CLIENTS:
            return _busy()
        return StreamingResponse(
            self._parts(camera, _overlay(request)), media_type="multipart/x-mixed-replace; boundary=frame"
        )

    async def _parts(self, camera: str, overlay: bool) -> AsyncIterator[bytes]:
        seen = None
        with self._place(), self._hub.look():
            while camera in self._cameras:
                newer = await self._hub.next(camera, seen, _STILL)
                if newer is not None:
                    seen = newer
                    jpeg = await self._encoder(seen, _FULL, overlay)
                    head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(jpeg)}\r\n\r\n"
                    yield head.encode() + jpeg + b"\r\n"
                    if self._hub.behind:
                        await asyncio.sleep(SPARING)

    async def _recorded(self, request: Request) -> Response:
        """A recording or an export of it, to be kept; several files as a ZIP file."""
        name, form = request.path_params["name"], request.path_params["form"]
        paths = await self._library.do(self._library.files, name, form) if self._library else []
        if not paths:
            return PlainTextResponse("There is no such recording or export.\n", 404)
        path = paths[0]
        if path.is_dir() or len(paths) > 1:
            kept = {"content-disposition": f"attachment; filename*=utf-8''{quote(path.name)}.zip"}
            return StreamingResponse(zipped(paths), media_type="application/zip", headers=kept)
        return FileResponse(path, media_type="application/octet-stream", filename=path.name)

    async def _page(self, socket: WebSocket) -> None:
        await socket.accept()
        if len(self._clients) + self._streams >= MOST_CLIENTS:
            await socket.close(1013, f"{MOST_CLIENTS} pages are open already; close one of them")
            return
        client = Client(socket, self._hub, self._encoder, self._stream.desk if self._stream else None, self._library)
        self._clients.add(client)
        if self._ticking is None or self._ticking.done():
            self._ticking = asyncio.create_task(self._tick())
        try:
            await client.serve(self._hello())
        finally:
            self._clients.discard(client)
            self._rest()

    def _hello(self) -> dict[str, Any]:
        return {
            "type": "hello",
            "protocol": PROTOCOL,
            "program": __version__,
            "run": self._run,
            "cameras": list(self._cameras),
            **(self._stream.told() if self._stream else {}),
            **(self._stream.asked() if self._stream else {}),
            "opened": self._opened,
            "formats": {name: form.what for name, form in FORMATS.items()} if self._library else None,
        }

    async def _tick(self) -> None:
        """Tell all pages once a second how things are, while there are any."""
        told = 0
        while self._clients:
            lines = self._log.since(told)
            told = max((line["n"] for line in lines), default=told)
            status = {
                "type": "status",
                "time": time.time(),
                "cameras": self._news.cameras(),
                **(self._stream.asked() if self._stream else {}),
                "clients": len(self._clients) + self._streams,
                "recordings": self._library.told() if self._library else None,
            }
            for client in list(self._clients):
                client.hint(status, *([{"type": "log", "lines": lines}] if lines else []))
            await asyncio.sleep(1.0)

    @contextlib.contextmanager
    def _place(self) -> Iterator[bool]:
        """One of the places for clients, while there is one."""
        free = len(self._clients) + self._streams < MOST_CLIENTS
        self._streams += free
        try:
            yield free
        finally:
            self._streams -= free
            self._rest()

    def _rest(self) -> None:
        if not self._clients and not self._streams:
            self._encoder.forget()
            if self._library:
                self._library.forget()

    def _named(self, request: Request) -> str | None:
        name = request.path_params["camera"]
        return name if name in self._cameras else None


def _overlay(request: Request) -> bool:
    return request.query_params.get("overlay", "1") != "0"


def _busy() -> Response:
    return PlainTextResponse(f"{MOST_CLIENTS} pages are open already; close one of them.\n", 503)
