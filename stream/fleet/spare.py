"""The process of a shard before it is told to begin: it has imported what takes seconds, and waits.

    python -m xpose_stream.stream.fleet.spare SITE

Standard input is one end of a socket pair. It sends a byte when it is ready; with the descriptor of its life, taken,
that comes there, it becomes `run --site SITE`. It ends when the other end is closed.
"""

from __future__ import annotations

import os
import runpy
import shlex
import socket
import sys
import threading
from contextlib import suppress
from importlib import import_module
from select import select

from setproctitle import setproctitle

_SLOW = (
    "typer",
    "rich.console",
    "xpose_stream.stream.session",
    "xpose_stream.stream.page.server",
    "xpose_stream.stream.watch.report",
    "openvino",
)
_POLITE = 10  # nice; 19 would never be done on a busy machine


def main() -> None:
    """Wait, and run."""
    [site] = sys.argv[1:]
    door = socket.socket(fileno=os.dup(0))
    if not select([door], [], [], 0)[0]:  # nobody waits for it yet
        waiting = threading.Thread(target=_import, name="imports")
        waiting.start()
        waiting.join()
        with suppress(OSError):
            door.send(b"\0")
    word, *_ = socket.recv_fds(door, 1, 1)  # the descriptor stays open, and with it the life, until this process ends
    door.close()
    if not word:
        return
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    sys.argv = ["xpose-stream", "run", "--site", site]
    setproctitle(shlex.join(sys.argv))
    runpy.run_module("xpose_stream.run_stream", run_name="__main__", alter_sys=True)


def _import() -> None:
    """In a thread, which alone makes way for all others: a process cannot take its priority back."""
    os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _POLITE)
    for name in _SLOW:
        with suppress(ImportError):
            import_module(name)
    from xpose_stream.trackers import warm_up

    warm_up()


if __name__ == "__main__":
    main()
