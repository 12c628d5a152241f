"""One C3D file after the other, in a process of its own: ezc3d keeps some 60 bytes of every point for ever.

    python -m xpose_stream.stream.recordings.export.c3d_file

reads pickled keywords of `save` from standard input, and answers each with a pickled None, or what it raised.
"""

from __future__ import annotations

import pickle
import subprocess
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

import ezc3d
import numpy as np
from numpy.typing import NDArray

_MOST = 2_000_000  # points that a process writes, until another takes its place
_TEXT = 250  # characters of a parameter


class Files:
    """Writes files while it is entered; called as `save`, and raises what that does."""

    def __init__(self) -> None:
        self._process: subprocess.Popen[bytes] | None = None
        self._points = 0

    def __call__(self, **file: Any) -> None:
        """Write one."""
        self._points += file["residuals"].size
        if self._process is None or self._points > _MOST:
            self._end()
            command = [sys.executable, "-m", __name__]
            # Ctrl-C is not its own: what stops this process ends it.
            pipes: dict[str, Any] = {"stdin": subprocess.PIPE, "stdout": subprocess.PIPE, "start_new_session": True}
            self._process, self._points = subprocess.Popen(command, **pipes), file["residuals"].size
        assert self._process.stdin and self._process.stdout
        pickle.dump(file, self._process.stdin, pickle.HIGHEST_PROTOCOL)
        self._process.stdin.flush()
        if (failure := pickle.load(self._process.stdout)) is not None:
            raise failure

    def _end(self) -> None:
        if self._process:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def __enter__(self) -> Files:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()


def save(
    path: Path,
    points: NDArray[np.float64],
    residuals: NDArray[np.float64],
    first: int,
    rate: float,
    labels: Sequence[str],
    told: Mapping[str, Any],
) -> None:
    """Write a file.

    points     [4, K, N] in mm
    residuals  [1, K, N], -1 where there is no point
    first      number of the first frame
    told       parameters of the group XPOSE
    """
    file: Any = ezc3d.c3d()
    file["data"]["points"] = points
    masks = np.zeros((7, *residuals.shape[1:]), bool)
    file["data"]["meta_points"] = {"residuals": residuals, "camera_masks": masks}
    file["header"]["points"]["first_frame"] = first
    point = file["parameters"]["POINT"]
    point["RATE"]["value"] = [rate]
    point["LABELS"]["value"] = list(labels)
    point["UNITS"]["value"] = ["mm"]
    file.add_parameter("POINT", "X_SCREEN", ["+X"])
    file.add_parameter("POINT", "Y_SCREEN", ["+Y"])
    file.add_parameter("MANUFACTURER", "SOFTWARE", ["xpose-stream"])
    for name, value in told.items():
        parts = [value[at : at + _TEXT] for at in range(0, len(value), _TEXT)] if isinstance(value, str) else [value]
        file.add_parameter("XPOSE", name, parts)
    file.write(str(path))


def main() -> None:
    """Write what comes, until nothing does."""
    while True:
        try:
            file = pickle.load(sys.stdin.buffer)
        except EOFError:
            return
        failure = None
        try:
            save(**file)
        except Exception as error:
            failure = error
        pickle.dump(failure, sys.stdout.buffer)
        sys.stdout.buffer.flush()


if __name__ == "__main__":
    main()
