"""The page of a fleet: all cameras, each a link to the page of the shard that serves it now."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from html import escape
from types import TracebackType
from urllib.parse import quote, urlencode

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.routing import Route

from xpose_stream.stream.page.web import Web
from xpose_stream.stream.sinks.directory import Entry
from xpose_stream.stream.site import PageSite

_AGAIN = 2  # s after which a browser asks how it is now
_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="dark light">
<meta http-equiv="refresh" content="{again}">
<title>{count} cameras</title>
<h1>{count} cameras, {serving} served</h1>
<table>
<tr><th align="left">camera<th align="left">state<th align="left">machine<th align="left">shard</tr>
{rows}
</table>
"""


class Front:
    """Serves it while it is entered; `tell` says where cameras are.

    `/camera/NAME` leads to a camera on its shard's page, `/cameras/NAME.jpg` and `.mjpeg` to its pictures, wherever it
    is; `/cameras` is the directory as JSON. All pages have one token. Raises SinkError.
    """

    def __init__(self, site: PageSite) -> None:
        self._entries: dict[str, Entry] = {}
        self._token = {"token": site.token} if site.token else {}
        self._web = Web(site.address, token=site.token)
        self.url = self._web.url
        self._app = Starlette(
            routes=[
                Route("/", self._list),
                Route("/healthz", self._health),
                Route("/cameras", self._plain),
                Route("/cameras/{picture}", self._picture),
                Route("/camera/{camera}", self._camera),
            ]
        )

    def tell(self, entries: Iterable[Entry]) -> None:
        """This is how it is now."""
        self._entries = {entry.camera: entry for entry in sorted(entries, key=lambda entry: entry.camera)}

    async def _list(self, request: Request) -> Response:
        entries = self._entries.values()
        serving = sum(entry.state == "serving" for entry in entries)
        rows = "\n".join(_row(entry) for entry in entries)
        return HTMLResponse(_PAGE.format(again=_AGAIN, count=len(entries), serving=serving, rows=rows))

    async def _health(self, request: Request) -> Response:
        return PlainTextResponse("ok\n")

    async def _plain(self, request: Request) -> Response:
        return Response(msgspec.json.encode(list(self._entries.values())), media_type="application/json")

    async def _camera(self, request: Request) -> Response:
        name = request.path_params["camera"]
        return self._led(name, "", {"camera": name})

    async def _picture(self, request: Request) -> Response:
        name, _, form = request.path_params["picture"].rpartition(".")
        return self._led(name, f"cameras/{quote(name, safe='')}.{form}", {})

    def _led(self, camera: str, path: str, asked: dict[str, str]) -> Response:
        """To where a camera is; the browser is to ask here again the next time."""
        entry = self._entries.get(camera)
        if entry is None:
            return PlainTextResponse("There is no camera of that name.\n", 404)
        if not entry.page:
            return PlainTextResponse(f"Nobody serves it now: {entry.why}.\n", 503)
        query = urlencode({**self._token, **asked})
        return RedirectResponse(f"{entry.page}{path}?{query}".rstrip("?"), 307)

    def __enter__(self) -> Front:
        print(f"the fleet's page: {self.url}", file=sys.stderr, flush=True)
        self._web.start(self._app)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._web.close()


def _row(entry: Entry) -> str:
    name, state = escape(entry.camera), f"{entry.state}: {entry.why}" if entry.why else entry.state
    link = f'<a href="/camera/{quote(entry.camera, safe="")}">{name}</a>' if entry.page else name
    return f"<tr><td>{link}<td>{escape(state)}<td>{escape(entry.machine)}<td>{escape(entry.shard)}</tr>"
