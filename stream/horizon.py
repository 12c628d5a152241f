"""How far ahead of its capture a published track is predicted: to the moment of publishing, or a fixed time."""

from __future__ import annotations

import time
from typing import Any, Literal

from xpose_stream.stream.sources.frame import Frame

# "now", or seconds after capture.
Horizon = float | Literal["now"]
# s; who or what will be elsewhere by then cannot be said, and a clock that is off looks like this too.
FARTHEST = 2.0


def horizon_of(value: Any) -> Horizon | None:
    """What a user wrote; None for nothing. Raises ValueError."""
    if value is None or value == "now":
        return value
    try:
        seconds = float("nan") if isinstance(value, bool) else float(value)
    except (TypeError, ValueError):
        seconds = float("nan")
    if not 0 < seconds <= FARTHEST:
        raise ValueError(f'write "now", or seconds after the capture of a frame, above 0 and at most {FARTHEST:g}')
    return seconds


def ahead(horizon: Horizon | None, frame: Frame) -> float | None:
    """Seconds from the capture of `frame` to what is asked for.

    None when nothing is, and for "now" when the camera's clock says that the frame is of the future or older than
    `FARTHEST`: then nobody knows. A file's frames count as captured when they were decoded.
    """
    if horizon != "now":
        return horizon
    age = time.monotonic() - frame.arrived if frame.clock == "file" else time.time() - frame.captured_at
    return age if 0 <= age <= FARTHEST else None
