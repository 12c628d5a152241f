"""Exports that pages ask for, in a process of their own: they take minutes, and this one has frames to see to."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import threading
import time
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from xpose_stream.error import UserError
from xpose_stream.stream.recordings.export.export import export
from xpose_stream.stream.recordings.recording import Recording
from xpose_stream.stream.stop import Stopped, interruptible

_OFTEN = 0.2  # s between two tellings


class Exporter:
    """One export at a time."""

    def __init__(self) -> None:
        self._told: dict[str, Any] | None = None
        self._process: multiprocessing.process.BaseProcess | None = None

    @property
    def busy(self) -> bool:
        """One is being written."""
        return self._told is not None and self._told["state"] == "writing"

    def start(self, path: Path, form: str, video: Path | None, metres_per_pixel: float | None) -> None:
        """Begin to write a recording in the format `form`. Raises UserError when there is one already."""
        if self.busy:
            raise UserError("Another export is being written; wait for it.")
        spawn = multiprocessing.get_context("spawn")
        heard, tell = spawn.Pipe(duplex=False)
        how = {"video": video, "metres_per_pixel": metres_per_pixel}
        self._told = {"recording": path.name, "format": form, "state": "writing", "done": 0, "total": 1}
        self._process = spawn.Process(target=_write, args=(path, form, how, tell), name="export", daemon=True)
        self._process.start()
        tell.close()
        threading.Thread(target=self._listen, args=(heard,), name="export", daemon=True).start()

    def told(self) -> dict[str, Any] | None:
        """How the latest goes or ended."""
        return self._told

    def close(self) -> None:
        """End what is being written; nothing is left of it."""
        if self._process and self._process.is_alive():
            self._process.terminate()
            self._process.join(3.0)

    def _listen(self, heard: Connection) -> None:
        assert self._told
        with contextlib.suppress(EOFError, OSError):
            while self._told["state"] == "writing":
                self._told = self._told | heard.recv()
        if self._told["state"] == "writing":
            self._told = self._told | {"state": "failed", "error": "It was ended before it was done."}


def _write(path: Path, form: str, how: dict[str, Any], tell: Connection) -> None:
    """In the process."""
    os.nice(10)
    done, told = 0, 0.0

    def step(rows: int) -> None:
        nonlocal done, told
        done += rows
        if time.monotonic() - told > _OFTEN:
            tell.send({"done": done})
            told = time.monotonic()

    with contextlib.suppress(Stopped, BrokenPipeError), interruptible():
        try:
            recording = Recording(path)
            tell.send({"total": max(len(recording), 1)})
            written, notes = export(recording, form, step=step, **how)
            tell.send({"state": "done", "file": written.name, "notes": notes})
        except UserError as error:
            tell.send({"state": "failed", "error": str(error).replace(str(path.parent) + os.sep, "")})
