"""The process of one shard: `run --site` as it is, which says with a lock that it lives; and the one to come."""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import xpose_stream
from xpose_stream.stream.fleet.leases import Life

_LOG = 8_000_000  # bytes, from which on a log begins anew; the one before is kept
_OTHERS = ("NOTIFY_SOCKET", "OMP_NUM_THREADS", "MKL_NUM_THREADS")  # of the fleet itself, and Ray's


def package_root() -> str:
    """Where a process of this machine, or of another with the same installation, finds this program."""
    return str(Path(xpose_stream.__file__).parents[1])


class Spare:
    """A process that has imported all that a shard needs and waits for its word. how: it can begin only so."""

    def __init__(self, command: Sequence[str], environment: Mapping[str, str], log: IO[bytes], how: object) -> None:
        self.how = how
        self._door, theirs = socket.socketpair()
        with theirs:
            self.child = subprocess.Popen(
                command,
                stdin=theirs.fileno(),
                stdout=log,
                stderr=log,
                env=environment,
                start_new_session=True,  # Ctrl-C is the fleet's, which stops it in order
            )

    @property
    def ready(self) -> bool:
        """Whether it would begin at once."""
        with contextlib.suppress(OSError):
            return self.child.poll() is None and bool(self._door.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT))
        return False

    def begin(self, descriptor: int) -> None:
        """Have it run, ready or not, with the descriptor of its life, in which its number stands at once."""
        os.write(descriptor, f"{self.child.pid}\n".encode())
        with self._door, contextlib.suppress(OSError):
            socket.send_fds(self._door, [b"\0"], [descriptor])

    def close(self) -> None:
        """It is not needed."""
        self._door.close()
        self.child.kill()
        self.child.wait()


class Process:
    """The process of a shard in `folder`, whether it was started here or by somebody before; `bound`: it is asked to
    stop when the thread that started it ends."""

    def __init__(self, folder: Path, bound: bool = False) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self.folder, self.life = folder, Life(folder / "life")
        self._bound = bound
        self._child: subprocess.Popen[bytes] | None = None
        self.spare: Spare | None = None

    @property
    def alive(self) -> bool:
        """Whether it runs."""
        if self._child:
            self._child.poll()  # lets go of one that has ended
        return self.life.lived

    @property
    def site(self) -> dict[str, Any] | None:
        """What it was given last; None when that cannot be read."""
        with contextlib.suppress(OSError, ValueError):
            told: dict[str, Any] = json.loads((self.folder / "site.yaml").read_text())
            return told
        return None

    def tell(self, site: Mapping[str, Any]) -> None:
        """Write its file, which holds what the fleet's does, passwords too: nobody else may read it."""
        new = self.folder / "site.new"
        with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "w") as file:
            json.dump(site, file, indent=1)  # JSON is YAML
        new.replace(self.folder / "site.yaml")

    def prepare(self, gpu: int | None, beside: int) -> None:
        """Have another process ready that can take over; one that could not get ready is not tried again."""
        self.spare = self.spare or self._new(gpu, beside)

    def start(self, descriptor: int, gpu: int | None, beside: int) -> None:
        """Run the site that it was told; `descriptor` is of its life, taken. `beside`: how many share the machine."""
        self.shorten_log()
        log = self.folder / "log"
        self._begun = log.stat().st_size if log.exists() else 0
        spare, self.spare = self.spare, None
        if spare and not (spare.ready and spare.how == (gpu, beside)):
            spare.close()
            spare = None
        spare = spare or self._new(gpu, beside)
        spare.begin(descriptor)
        self._child = spare.child

    def relax(self) -> None:
        """Nobody need be ready to take over."""
        if self.spare:
            self.spare.close()
            self.spare = None

    def _new(self, gpu: int | None, beside: int) -> Spare:
        environment = {key: value for key, value in os.environ.items() if key not in _OTHERS}
        environment["PYTHONPATH"] = os.pathsep.join(filter(None, [package_root(), environment.get("PYTHONPATH", "")]))
        environment["OMP_NUM_THREADS"] = str(max((os.cpu_count() or 1) // beside, 1))  # else they wait for each other
        if gpu is not None:
            environment["CUDA_VISIBLE_DEVICES"] = str(gpu)
        command = ["setpriv", "--pdeathsig", "TERM"] if self._bound else []
        command += [sys.executable, "-m", "xpose_stream.stream.fleet.spare"]
        command.append(str(self.folder / "site.yaml"))
        with open(self.folder / "log", "ab") as log:
            return Spare(command, environment, log, (gpu, beside))

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal, while it lives."""
        if pid := self.life.pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    @property
    def last_words(self) -> str:
        """Why it ended, in one sentence."""
        with contextlib.suppress(OSError), open(self.folder / "log", "rb") as log:
            log.seek(max(log.seek(0, os.SEEK_END) - 20_000, getattr(self, "_begun", 0), 0))
            if found := re.findall(r"^error: (.+)$", log.read().decode(errors="replace"), re.MULTILINE):
                return str(found[-1])
        code = self._child.poll() if self._child else None
        how = f"was ended by signal {-code}" if code and code < 0 else f"ended with status {code}" if code else "ended"
        return f"its process {how}; its log is {self.folder / 'log'}"

    def shorten_log(self) -> None:
        """Begin a log anew that has become long; whoever writes it appends."""
        with contextlib.suppress(OSError):
            if (log := self.folder / "log").stat().st_size > _LOG:
                (self.folder / "log.1").write_bytes(log.read_bytes())
                os.truncate(log, 0)
