"""The page's web server: a thread of its own in the process of a run."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from types import TracebackType
from typing import Any

from xpose_stream.stream.page.app import App, Stream
from xpose_stream.stream.page.hub import Hub
from xpose_stream.stream.page.library import Library
from xpose_stream.stream.page.news import Log
from xpose_stream.stream.page.web import Web


class Server:
    """Serves the page while it is entered, at `url`; `hub` is the sink that it shows. Otherwise see Web.

    stream  what it shows live, and lets be changed; None: only recordings, of which `opened` is played at once:
            its name as `recording`, and `start` (s), `speed` and `loop`.
    """

    def __init__(
        self,
        address: str,
        stream: Stream | None,
        library: Library | None = None,
        *,
        opened: Mapping[str, Any] | None = None,
        fixed: bool = True,
        token: str | None = None,
    ) -> None:
        self._web = Web(address, fixed=fixed, token=token)
        self.port, self.url = self._web.port, self._web.url
        self.hub = Hub(self._web.loop)
        self._log = Log()
        self._app = App(stream, self.hub, library, self._log, opened)
        self._called = "live page" if stream else "page"

    def __enter__(self) -> Server:
        print(f"{self._called}: {self.url}", file=sys.stderr, flush=True)
        self._log.__enter__()
        self._web.start(self._app.asgi)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.hub.close()
        self._web.close()
        self._app.close()
        self._log.__exit__()
