"""What tests of several packages share: a real RTSP server, and a cache of engines of their own."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from types import TracebackType

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile("unhurried", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("unhurried")  # the machine may be busy
signal.signal(signal.SIGHUP, signal.SIG_DFL)  # under nohup it is ignored, and stays so in what the tests start

SERVER = Path(__file__).parent / "stream" / "rtsp_server.py"
PYTHON = "/usr/bin/python3"  # Debian's, which has GStreamer's bindings
BINDINGS = "import gi; gi.require_version('GstRtspServer', '1.0'); from gi.repository import GstRtspServer"


class RtspServer:
    """One clip served at `url` by a process of its own, to every client from its first frame and in real time."""

    def __init__(
        self,
        clip: Path,
        user: str | None = None,
        password: str | None = None,
        port: int = 0,
        shared: bool = False,
        amid: bool = False,
    ) -> None:
        command = [PYTHON, str(SERVER), str(clip), "--port", str(port)]
        command += ["--shared"] * shared + ["--amid"] * amid
        if user and password:
            command += ["--user", user, "--password", password]
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        assert self.process.stdout
        self.port = int(self.process.stdout.readline())
        self.url = f"rtsp://127.0.0.1:{self.port}/clip"

    def stall(self) -> None:
        """Stop answering, connections stay."""
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """Go on after a stall."""
        self.process.send_signal(signal.SIGCONT)

    def kill(self) -> None:
        """Die at once."""
        self.process.kill()
        self.process.wait()

    def __enter__(self) -> RtspServer:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.kill()


@pytest.fixture(scope="session")
def rtsp_server() -> Iterator[Callable[..., RtspServer]]:
    """RtspServer(clip, user=…, password=…, port=…, amid=…), a context manager; all are dead when the tests end."""
    if subprocess.run([PYTHON, "-c", BINDINGS], capture_output=True).returncode:
        pytest.skip("Debian packages gir1.2-gst-rtsp-server-1.0 and python3-gst-1.0 are not installed")
    servers: list[RtspServer] = []

    def serve(
        clip: Path, user: str | None = None, password: str | None = None, port: int = 0, amid: bool = False
    ) -> RtspServer:
        servers.append(RtspServer(clip, user, password, port, amid=amid))
        return servers[-1]

    yield serve
    for server in servers:
        server.kill()


@pytest.fixture(scope="session", autouse=True)
def engine_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Engines are built once per test run, and not into the user's cache."""
    os.environ["XPOSE_CACHE"] = str(tmp_path_factory.mktemp("engines"))
    yield
    del os.environ["XPOSE_CACHE"]
