"""A Ray cluster of real nodes on loopback, whose parts can be killed."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from types import TracebackType

import psutil

from tests.stream.fleet.conftest import free_ports

RAY = Path(sys.executable).with_name("ray")


class Cluster:
    """Nodes by the name of the machine; the first is the head."""

    def __init__(self, *machines: str) -> None:
        self.port = free_ports(1)
        self.address = f"127.0.0.1:{self.port}"
        self._folder = Path(tempfile.mkdtemp(prefix="xr"))  # sockets must have short names
        self.environment = os.environ | {
            "RAY_gcs_rpc_server_reconnect_timeout_s": "3600",  # nodes go on when the head is gone
            "RAY_AUTH_MODE": "token",
            "RAY_AUTH_TOKEN": secrets.token_hex(32),
            "RAY_worker_niceness": "0",  # else shards, which actors start, have what all others leave
            "RAY_health_check_period_ms": "1000",  # a machine that is gone is missed after three
            "RAY_health_check_failure_threshold": "3",
            "PYTHONPATH": str(Path(__file__).parents[3]),
        }
        self._nodes = 0
        for machine in machines:
            self.start(machine)

    def start(self, machine: str) -> None:
        """Have it join."""
        where = ["--head", f"--port={self.port}", "--include-dashboard=false", f"--temp-dir={self._folder}"]
        where = [f"--address={self.address}"] if self._nodes else where
        command = [str(RAY), "start", "--node-ip-address=127.0.0.1", "--num-cpus=1", "--num-gpus=0"]
        command += [f"--labels=xpose-machine={machine}", "--object-store-memory=80000000", "--disable-usage-stats"]
        done = subprocess.run([*command, *where], capture_output=True, text=True, env=self.environment, timeout=200)
        assert done.returncode == 0, done.stdout + done.stderr
        self._nodes += 1

    def kill(self, machine: str, part: str) -> None:
        """kill -9 the "raylet" of a machine, or "gcs_server", which makes it the head."""
        [process] = [
            one for one in self._processes(part) if part != "raylet" or f'"{machine}"' in " ".join(one.cmdline())
        ]
        process.kill()

    def close(self) -> None:
        """End all of it."""
        for process in self._processes():
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    def _processes(self, name: str = "") -> list[psutil.Process]:
        """Those of this cluster, whose folder they are told."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.NoSuchProcess):
                if name in process.name() and str(self._folder) in " ".join(process.cmdline()):
                    found.append(process)
        return found

    def __enter__(self) -> Cluster:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
