"""What every page is told once a second: how the cameras are, and the last lines of the log."""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Mapping
from typing import Any

from xpose_stream.stream.camera import Camera
from xpose_stream.stream.ledger import STAGES, Histogram
from xpose_stream.stream.sources.address import redact
from xpose_stream.stream.watch.report import Pulse

_LINES = 200


class News:
    """Looks at the cameras when asked; keeps only what it needs to tell what is new."""

    def __init__(self, cameras: Mapping[str, Camera]) -> None:
        self._cameras = cameras
        self._pulses: dict[str, Pulse] = {}
        self._stages: dict[str, dict[str, Histogram]] = {}

    def cameras(self) -> list[dict[str, Any]]:
        """Of each camera what Pulse tells and, since the last call, the median of every stage in ms."""
        return [self._camera(name, camera) for name, camera in list(self._cameras.items())]

    def plain(self) -> list[dict[str, Any]]:
        """The same for somebody who asks once: counts and states, and no rates."""
        looks = [Pulse().look(camera) for camera in list(self._cameras.values())]
        return [{**look, "error": redact(look["error"] or ""), "fps": None} for look in looks]

    def _camera(self, name: str, camera: Camera) -> dict[str, Any]:
        look = self._pulses.setdefault(name, Pulse()).look(camera)
        reader, before = camera.reader, self._stages.get(name, {})
        now = {stage: histogram.since(None) for stage in STAGES if (histogram := camera.ledger.stages.get(stage))}
        self._stages[name] = now
        recent = {stage: histogram.since(before.get(stage)).percentile(50) * 1e3 for stage, histogram in now.items()}
        more = {
            "error": redact(look["error"] or ""),
            "width": reader.width,
            "height": reader.height,
            "rate": reader.rate,
            "stages": {stage: round(median, 2) for stage, median in recent.items() if median == median},
        }
        return look | more


class Log(logging.Handler):
    """Keeps the last lines of the program's log while it is entered, without passwords."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self.lines: deque[dict[str, Any]] = deque(maxlen=_LINES)
        self._count = 0
        self._logger = logging.getLogger("xpose_stream")

    def emit(self, record: logging.LogRecord) -> None:
        """See logging.Handler."""
        text = redact(record.getMessage())[:1000]
        self._count += 1
        self.lines.append({"n": self._count, "time": time.time(), "level": record.levelname, "text": text})

    def since(self, count: int) -> list[dict[str, Any]]:
        """The lines after the first `count`."""
        return [line for line in list(self.lines) if line["n"] > count]

    def __enter__(self) -> Log:
        # Python writes warnings to stderr where no logger has a handler: it has one now, and shall go on to.
        self._own = [] if self._logger.hasHandlers() or logging.lastResort is None else [logging.lastResort]
        for handler in (*self._own, self):
            self._logger.addHandler(handler)
        return self

    def __exit__(self, *_: object) -> None:
        for handler in (*self._own, self):
            self._logger.removeHandler(handler)
