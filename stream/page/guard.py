"""Who may ask this server for anything: checked before every request and every WebSocket."""

from __future__ import annotations

import hmac
import ipaddress
import re
from html import escape
from http.cookies import CookieError, SimpleCookie
from urllib.parse import parse_qs, parse_qsl, urlencode

from starlette.responses import HTMLResponse, PlainTextResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

LOOPBACK = frozenset({"127.0.0.1", "localhost", "[::1]"})
LEAST_TOKEN = 16  # characters
_HOST = re.compile(r"(\[[0-9a-f:.]{2,45}\]|[a-z0-9._-]{1,253})(:\d{1,5})?")
HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; worker-src 'self'; style-src 'self'; img-src 'self' blob: data:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
    "cross-origin-opener-policy": "same-origin",
    "cross-origin-resource-policy": "same-site",
    "referrer-policy": "no-referrer",
    "x-content-type-options": "nosniff",
    "cache-control": "no-store",
}
_HEADERS = [(name.encode(), value.encode()) for name, value in HEADERS.items()]


class Guard:
    """ASGI middleware. Lets through what is addressed to one of `hosts`, comes from no other site, and has the `token`.

    hosts  names without port, in small letters. A port is not looked at, so that a tunnel may have another one: a page
           of another site can choose its own name but not ours (DNS rebinding), and says its origin, port and all.
    bare   any IP address is a host too, as on a server that listens to all of them: rebinding needs a name.
    token  "" where none is needed. It may come as the cookie that opening `/?token=…` sets, as `?token=…`, for
           dashboards, or as `Authorization: Bearer …`. `/healthz` is without.
    """

    def __init__(self, app: ASGIApp, hosts: frozenset[str], bare: bool, token: str, cookie: str) -> None:
        self._app, self._hosts, self._bare, self._token, self._cookie = app, hosts, bare, token, cookie

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """See ASGI."""
        if scope["type"] == "lifespan":
            return await self._app(scope, receive, send)
        answer = self._refusal(scope)
        if answer is None and scope["type"] == "http":
            answer = self._welcome(scope)
        if scope["type"] == "websocket":
            if answer is not None:
                return await send({"type": "websocket.close", "code": 1008, "reason": ""})
            return await self._app(scope, receive, send)

        async def with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                message["headers"] = [*message["headers"], *_HEADERS]
            await send(message)

        await (answer or self._app)(scope, receive, with_headers)

    def _refusal(self, scope: Scope) -> Response | None:
        headers: dict[str, list[str]] = {}
        for name, value in scope["headers"]:
            headers.setdefault(name.decode("latin-1").lower(), []).append(value.decode("latin-1"))
        host = headers.get("host", [])
        match = _HOST.fullmatch(host[0].lower()) if len(host) == 1 else None
        if not match or not self._ours(match[1]):
            return PlainTextResponse("This server is not known by that name; open the address it printed.\n", 403)
        origins = headers.get("origin", [])
        if any(origin.lower() not in (f"http://{match[0]}", f"https://{match[0]}") for origin in origins):
            return PlainTextResponse("Another site may not ask this.\n", 403)
        foreign = headers.get("sec-fetch-site", ["none"])[0] == "cross-site"
        if foreign and headers.get("sec-fetch-dest", [""])[0] != "document":
            return PlainTextResponse("Another site may not show this.\n", 403)
        if self._token and scope["path"] != "/healthz" and not self._has_token(scope, headers):
            return PlainTextResponse("Open the address with the token that the program printed when it started.\n", 401)
        return None

    def _ours(self, name: str) -> bool:
        if name in self._hosts:
            return True
        try:
            ipaddress.ip_address(name.strip("[]"))
        except ValueError:
            return False
        return self._bare

    def _has_token(self, scope: Scope, headers: dict[str, list[str]]) -> bool:
        given = [_queried(scope)]
        given += [value.removeprefix("Bearer ") for value in headers.get("authorization", [])]
        for line in headers.get("cookie", []):
            try:
                morsel = SimpleCookie(line).get(self._cookie)
            except CookieError:
                continue
            given += [morsel.value] if morsel else []
        wanted = self._token.encode()
        return any([hmac.compare_digest(each.encode("utf-8", "replace"), wanted) for each in given])

    def _welcome(self, scope: Scope) -> Response | None:
        """Keep the token in a cookie, and out of the address and the history, of whoever opens the page with it."""
        if not self._token or scope["path"] != "/" or not _queried(scope):
            return None
        asked = parse_qsl(scope["query_string"].decode("latin-1"), max_num_fields=16)
        rest = urlencode([(name, value) for name, value in asked if name != "token"])
        place = f"/?{rest}" if rest else "/"
        answer: Response = RedirectResponse(place, 303)
        if (b"sec-fetch-site", b"cross-site") in scope["headers"]:
            # Where another site leads here, as a fleet's does, a browser keeps a strict cookie to itself until this one
            # goes on.
            answer = HTMLResponse(f'<!doctype html><meta http-equiv="refresh" content="0;url={escape(place)}">')
        answer.set_cookie(self._cookie, self._token, max_age=30 * 86400, httponly=True, samesite="strict")
        return answer


def _queried(scope: Scope) -> str:
    try:
        return parse_qs(scope["query_string"].decode("latin-1"), max_num_fields=16).get("token", [""])[-1]
    except ValueError:
        return ""
