"""Recordings that pages start and stop, while the stream goes on."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xpose_stream.error import UserError
from xpose_stream.stream.camera import Camera
from xpose_stream.stream.sinks.background import Background

Kinds = Mapping[str, Callable[[str, Camera], Background]]


@dataclass(frozen=True)
class _Take:
    """A camera that is being recorded: what writes of it, by the ends of the files' names."""

    camera: Camera
    sinks: dict[str, Background]


class Takes:
    """Records all cameras that there are into `folder`, as CAMERA-TIME.parquet, and with their overlay .mp4 beside it.

    kinds  makes what writes by the end of a file's name: of a pattern, as for `run --record`, and a camera. A failure
           of it ends the recording alone.
    """

    def __init__(self, folder: Path, cameras: Mapping[str, Camera], kinds: Kinds) -> None:
        self._folder, self._cameras, self._kinds = folder, cameras, kinds
        self._takes: list[_Take] = []
        self._since = 0.0

    def start(self, video: bool) -> dict[str, Any]:
        """Begin, with the overlay too if `video`. Raises UserError when it has begun."""
        if self._takes:
            raise UserError("It is being recorded already.")
        if not self._cameras:
            raise UserError("There is no camera yet; wait until the stream is ready.")
        name = time.strftime("{camera}-%Y%m%dT%H%M%SZ", time.gmtime())  # one for both files
        kinds = [kind for kind in self._kinds if video or kind == ".parquet"]
        for camera in list(self._cameras.values()):
            sinks = {kind: self._kinds[kind](f"{self._folder}/{name}{kind}", camera) for kind in kinds}
            self._takes.append(_Take(camera, sinks))
            camera.sinks = [*camera.sinks, *sinks.values()]  # at once: both have the same frames
        self._since = time.time()
        return {}

    def stop(self) -> dict[str, Any]:
        """End, and wait until the files are complete; tells what went wrong with them."""
        if not self._takes:
            raise UserError("Nothing is being recorded.")
        for take in self._takes:
            ended = list(take.sinks.values())
            take.camera.sinks = [sink for sink in take.camera.sinks if sink not in ended]
            for sink in ended:
                sink.end()
        for take in self._takes:
            for sink in take.sinks.values():
                sink.join()
        errors = self._errors()
        self._takes = []
        return {"errors": errors}

    def told(self) -> dict[str, Any] | None:
        """How it goes, None when nothing is recorded."""
        takes = list(self._takes)
        if not takes:
            return None
        video = any(".mp4" in take.sinks for take in takes)
        lost = sum(sink.room.lost for take in takes for sink in take.sinks.values())
        return {"since": self._since, "video": video, "lost": lost, "errors": self._errors()}

    def _errors(self) -> list[str]:
        sinks = [(take.camera.name, sink) for take in list(self._takes) for sink in take.sinks.values()]
        told = [(name, str(sink.failure) if sink.failure else sink.room.full) for name, sink in sinks]
        return list(dict.fromkeys(f"{name}: {text}" for name, text in told if text))
