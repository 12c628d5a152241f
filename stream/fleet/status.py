"""How a shard is: what its keeper knows of the process and reads from its metrics."""

from __future__ import annotations

import time
import urllib.error
import urllib.request
from collections import deque
from typing import Literal

import msgspec
from prometheus_client.parser import text_string_to_metric_families

from xpose_stream.stream.sources.frame import RUN

State = Literal["starting", "running", "waiting", "failed", "stopping", "stopped", "unreachable"]
_WINDOW = 5.0  # s over which rates are taken
_TIMEOUT = 2.0  # s for an answer from this machine


class CameraStatus(msgspec.Struct, frozen=True):
    """One camera of a shard. run: the number of its run, as its messages' epoch has it. fps: published."""

    run: int
    up: bool = False
    published: int = 0
    fps: float = 0.0


class ShardStatus(msgspec.Struct, frozen=True):
    """A shard as it was last seen.

    state: starting until its first frames can be worked on; waiting: for leases that others have; failed: its process
    ended, and `error` says what it said last; unreachable: its machine does not answer. version: of the change that it
    has made last. refused: the version of a change that it cannot make, and `error` says why. p95_ms: of the time from
    a decoded frame to its message. restarts: since it was first started here.
    """

    shard: str
    machine: str
    state: State
    version: int = 0
    refused: int = 0
    cameras: dict[str, CameraStatus] = {}
    endpoint: str = ""
    pid: int | None = None
    restarts: int = 0
    p95_ms: float | None = None
    error: str = ""


class Look(msgspec.Struct, frozen=True):
    """What the metrics of a process said at one time (s, monotonic): by camera, and how many frames took how long."""

    at: float
    up: dict[str, bool]
    published: dict[str, int]
    epochs: dict[str, int]
    took: dict[float, float]


class Sight:
    """Looks at a process by its metrics at HOST:PORT, again and again."""

    def __init__(self, metrics: str) -> None:
        self._url = f"http://{metrics}"
        self._looks: deque[Look] = deque()
        self.ready = False

    def look(self) -> bool:
        """Whether it answered, and was alive."""
        try:
            self.ready = _get(f"{self._url}/ready") is not None
            if _get(f"{self._url}/health") is None or (page := _get(f"{self._url}/metrics")) is None:
                return False
        except OSError:
            self.ready = False
            return False
        self._looks.append(_parse(page))
        while self._looks[-1].at - self._looks[0].at > _WINDOW:
            self._looks.popleft()
        return True

    @property
    def cameras(self) -> dict[str, CameraStatus]:
        """As they were when it last answered."""
        if not self._looks:
            return {}
        first, last = self._looks[0], self._looks[-1]
        took = max(last.at - first.at, 1e-3)
        return {
            name: CameraStatus(
                last.epochs.get(name, 0) // RUN, up, count := last.published.get(name, 0),
                round(max(count - first.published.get(name, 0), 0) / took, 1),
            )
            for name, up in last.up.items()
        }  # fmt: skip

    @property
    def p95_ms(self) -> float | None:
        """Of all cameras together, over the last seconds; the upper end of the bucket that it lies in."""
        if not self._looks:
            return None
        first, last = self._looks[0].took, self._looks[-1].took
        counts = {end: last[end] - first.get(end, 0.0) for end in sorted(last)}
        total = max(counts.values(), default=0.0)
        ends = [end for end, count in counts.items() if count >= 0.95 * total]
        return ends[0] * 1e3 if total > 0 and ends[0] != float("inf") else None


def _get(url: str) -> str | None:
    """None when it answers that all is not well. Raises OSError when it does not answer."""
    try:
        with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(url, timeout=_TIMEOUT) as answer:
            return str(answer.read().decode())
    except urllib.error.HTTPError:
        return None


def _parse(page: str) -> Look:
    look = Look(time.monotonic(), {}, {}, {}, {})
    for family in text_string_to_metric_families(page):
        for sample in family.samples:
            camera = sample.labels.get("camera", "")
            if sample.name == "xpose_camera_up":
                look.up[camera] = sample.value == 1
            elif sample.name == "xpose_frames_published_total":
                look.published[camera] = int(sample.value)
            elif sample.name == "xpose_epoch":
                look.epochs[camera] = int(sample.value)
            elif sample.name == "xpose_latency_seconds_bucket" and sample.labels["stage"] == "total":
                end = float(sample.labels["le"])
                look.took[end] = look.took.get(end, 0.0) + sample.value
    return look
