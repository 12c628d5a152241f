"""What a run recorded, in a program."""

from __future__ import annotations

from pathlib import Path

from xpose_stream.stream.recordings.recording import Recording


def read(path: str | Path) -> Recording:
    """Open what `--record` or `xpose_stream.stream(…, record=…)` wrote; of any size, it is read as far as it is needed.

    Raises Error when there is no such file, or it is none.
    """
    return Recording(path)
