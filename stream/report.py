"""How a run goes and what it did: a live table for a person, JSON lines for a program."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Protocol, TextIO

from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from stream.camera import Camera
from stream.ledger import Histogram, Ledger


class Report(Protocol):
    """Is shown the cameras, again and again, while it is entered."""

    def show(self, cameras: Mapping[str, Camera]) -> None:
        """Called ten times a second; returns quickly."""

    def __enter__(self) -> Report: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...


@dataclass
class Pulse:
    """What a camera did since it was last looked at."""

    published: int = 0
    total: Histogram = field(default_factory=Histogram)
    at: float = field(default_factory=time.monotonic)

    def look(self, camera: Camera) -> dict[str, Any]:
        """State, frames per s and latency since the last look, and counts since the beginning; plain values."""
        ledger, reader, now = camera.ledger, camera.reader, time.monotonic()
        histogram = ledger.stages.get("total") or Histogram()
        recent = histogram.since(self.total)
        rate = (ledger.published - self.published) / max(now - self.at, 1e-3)
        self.published, self.total, self.at = ledger.published, histogram.since(None), now
        p50, p99 = (recent.percentile(q) for q in (50, 99))
        return {
            "camera": camera.name,
            "state": camera.state,
            "decoder": reader.codec,
            "fps": round(rate, 1),
            "p50_ms": None if p50 != p50 else round(p50 * 1e3, 1),
            "p99_ms": None if p99 != p99 else round(p99 * 1e3, 1),
            "received": ledger.received,
            "published": ledger.published,
            "dropped": dict(ledger.dropped),
            "reconnects": reader.reconnects,
            "corrupt": reader.corrupt,
            "epoch": max(reader.epoch, 0),
            "clock": camera.clock,
            "drift_ppm": None if reader.drift is None else round(reader.drift, 1),
            "error": str(camera.error) if camera.error else None,
        }


class LiveTable:
    """A table of cameras on the terminal that changes twice a second."""

    def __init__(self, console: Console) -> None:
        self._live = Live(Table(title="waiting for the first frame (Ctrl-C ends)"), console=console, auto_refresh=False)
        self._pulses: dict[str, Pulse] = {}
        self._next = 0.0

    def show(self, cameras: Mapping[str, Camera]) -> None:
        """See Report."""
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + 0.5
        table = Table(title="Ctrl-C ends")
        for name in ("camera", "state", "frames/s", "p50 ms", "p99 ms", "dropped", "reconnects", "clock", ""):
            table.add_column(name, justify="right" if "s" in name[-2:] or name == "dropped" else "left")
        for camera in cameras.values():
            looked = self._pulses.setdefault(camera.name, Pulse()).look(camera)
            row = [looked[key] for key in ("camera", "state", "fps", "p50_ms", "p99_ms")]
            row += [sum(looked["dropped"].values()), looked["reconnects"], looked["clock"], looked["error"] or ""]
            table.add_row(*(Text("" if value is None else str(value)) for value in row))
        self._live.update(table, refresh=True)

    def __enter__(self) -> LiveTable:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()


class JsonLines:
    """A line of JSON per camera when its state changes and each `period` s, and one at the end."""

    def __init__(self, out: TextIO, period: float = 5.0) -> None:
        self._out, self._period = out, period
        self._pulses: dict[str, Pulse] = {}
        self._told: dict[str, tuple[str, float]] = {}

    def show(self, cameras: Mapping[str, Camera]) -> None:
        """See Report."""
        now = time.monotonic()
        for name, camera in list(cameras.items()):
            state, at = self._told.get(name, ("", now))
            if camera.state != state or now - at >= self._period:
                self._told[name] = camera.state, now
                self.write("camera", **self._pulses.setdefault(name, Pulse()).look(camera))

    def end(self, ledgers: Mapping[str, Ledger]) -> None:
        """Tell what became of all frames."""
        self.write("end", cameras={name: ledger.as_dict() for name, ledger in ledgers.items()})

    def write(self, event: str, **values: Any) -> None:
        """One line, out at once."""
        with contextlib.suppress(BrokenPipeError):  # nobody listens any more; the run goes on
            print(json.dumps({"event": event, "time": round(time.time(), 3), **values}), file=self._out, flush=True)

    def __enter__(self) -> JsonLines:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing to give back."""


def table_of(ledger: Ledger, title: str) -> Table:
    """Frames by fate and latencies by stage."""
    numbers = ledger.as_dict()
    table = Table(title=Text(title, "table.title"), show_header=False)  # a Text: what users named is no markup
    table.add_column(justify="left")
    table.add_column(justify="right")
    table.add_row("frames received", str(ledger.received))
    table.add_row("frames published", str(ledger.published))
    for reason, count in sorted(ledger.dropped.items()) or [("for any reason", 0)]:
        table.add_row(f"frames dropped: {reason}", str(count))
    for stage, latency in numbers["latency_ms"].items():
        quantiles = " / ".join(f"{latency[q]:.1f}" for q in ("p50", "p95", "p99"))
        table.add_row(f"{stage}: p50 / p95 / p99", f"{quantiles} ms")
    return table
