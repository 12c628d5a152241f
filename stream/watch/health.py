"""Whether a run is alive and ready, for whoever restarts what is not: an orchestrator, a fleet, systemd."""

from __future__ import annotations

import json
import os
import socket
import time
from collections.abc import Iterable
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from xpose_stream.stream.pipeline import Pipeline

_PATIENCE = 60.0  # s that a model may take for one batch; a run that is longer at one step hangs
_SECOND = 1.0  # s between two words to systemd, which is to be given a WatchdogSec of several


class Health:
    """Answers GET /health and /ready; all else is `app`'s.

    health: 200 unless the way of the frames has stood still for a minute. ready: 200 once frames are worked on and not
    every camera has failed. Both say in JSON how the cameras are; anything but 200 is 503.
    """

    def __init__(self, pipeline: Pipeline, app: WSGIApplication) -> None:
        self._pipeline, self._app = pipeline, app

    def __call__(self, environment: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        """See WSGI."""
        path, ticked = environment.get("PATH_INFO"), self._pipeline.ticked
        if path not in ("/health", "/ready"):
            return self._app(environment, start)
        cameras = {name: camera.state for name, camera in list(self._pipeline.cameras.items())}
        good = ticked is None or time.monotonic() - ticked < _PATIENCE
        if path == "/ready":
            good &= ticked is not None and set(cameras.values()) != {"failed"}
        start("200 OK" if good else "503 Service Unavailable", [("Content-Type", "application/json")])
        return [json.dumps({"ok": good, "cameras": cameras}).encode()]


class Service:
    """Tells systemd, where it started this process and asks for that, when it is ready, and that it is alive."""

    def __init__(self) -> None:
        self._address = os.environ.get("NOTIFY_SOCKET", "")
        self._ready, self._next = False, 0.0

    def alive(self) -> None:
        """To be called again and again, from where everything has to come by."""
        if self._address and time.monotonic() >= self._next:
            self._next = time.monotonic() + _SECOND
            self._say("WATCHDOG=1" if self._ready else "READY=1\nWATCHDOG=1")
            self._ready = True

    def stopping(self) -> None:
        """No longer; what is left to do may take a while."""
        if self._address:
            self._say("STOPPING=1")

    def _say(self, text: str) -> None:
        address = "\0" + self._address[1:] if self._address.startswith("@") else self._address
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as door:
            try:
                door.sendto(text.encode(), address)
            except OSError:  # nobody is there: this was started by hand, with its environment
                self._address = ""
