"""How a run goes and what it did: a live table for a person, JSON lines for a program."""

from __future__ import annotations

import contextlib
import json
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Protocol, TextIO

from rich.box import SIMPLE_HEAD
from rich.console import Console, Group
from rich.live import Live
from rich.table import Table
from rich.text import Text

from xpose_stream.stream.camera import Camera
from xpose_stream.stream.ledger import Histogram, Ledger


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
    _moved: tuple[float, float] | None = None  # how far a file was when first looked at, and when (s)

    def look(self, camera: Camera) -> dict[str, Any]:
        """State, frames per s and latency since the last look, and counts since the beginning; plain values."""
        ledger, reader, now = camera.ledger, camera.reader, time.monotonic()
        finds = ledger.finds
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
            "detections": finds.detections,
            "tracks": finds.tracks,
            "found": finds.as_dict(),
            "progress": None if reader.progress is None else round(reader.progress, 3),
            "left_s": self._left(reader.progress, now),
            "reconnects": reader.reconnects,
            "corrupt": reader.corrupt,
            "epoch": max(reader.epoch, 0),
            "clock": camera.clock,
            "drift_ppm": None if reader.drift is None else round(reader.drift, 1),
            "paused": {sink.name: sink.room.full for sink in camera.sinks if sink.room.full},
            "error": str(camera.error) if camera.error else None,
        }

    def _left(self, progress: float | None, now: float) -> float | None:
        """s until a file is over, at the pace since it was first seen to move; None while that is unknown."""
        if progress is None:
            return None
        if self._moved is None:
            self._moved = (progress, now) if progress < 1 else None
            return 0.0 if progress >= 1 else None
        first, at = self._moved
        return None if progress <= first else round((1 - progress) / (progress - first) * (now - at), 1)


class LiveTable:
    """A table of cameras on the terminal that changes twice a second, made for 80 columns and more."""

    def __init__(self, console: Console) -> None:
        waiting = Text("waiting for the first frame (Ctrl-C ends)", "table.title")
        self._live = Live(waiting, console=console, auto_refresh=False)
        self._pulses: dict[str, Pulse] = {}
        self._next = 0.0

    def show(self, cameras: Mapping[str, Camera]) -> None:
        """See Report."""
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + 0.5
        looks = [self._pulses.setdefault(camera.name, Pulse()).look(camera) for camera in cameras.values()]
        with contextlib.suppress(OSError):  # the terminal is gone; the run goes on
            self._live.update(Group(live_table(looks), *notes(looks)), refresh=True)

    def __enter__(self) -> LiveTable:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(OSError):
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
            done = ["done"] if camera.over and camera.ledger.balanced else []  # what it ends with is told
            told = " ".join([camera.state, *done, *(sink.name for sink in camera.sinks if sink.room.full)])
            if told != state or now - at >= self._period:
                self._told[name] = told, now
                self.write("camera", **self._pulses.setdefault(name, Pulse()).look(camera))

    def end(self, ledgers: Mapping[str, Ledger]) -> None:
        """Tell what became of all frames."""
        self.write("end", cameras={name: ledger.as_dict() for name, ledger in ledgers.items()})

    def write(self, event: str, **values: Any) -> None:
        """One line, out at once."""
        with contextlib.suppress(OSError):  # nobody listens any more, or its disk is full; the run goes on
            print(json.dumps({"event": event, "time": round(time.time(), 3), **values}), file=self._out, flush=True)

    def __enter__(self) -> JsonLines:
        return self

    def __exit__(self, *_: object) -> None:
        """Nothing to give back."""


def live_table(looks: Sequence[dict[str, Any]]) -> Table:
    """A row for each camera. Detections and tracks: in the latest frame, and the share of frames that had any."""
    table = Table(title="Ctrl-C ends", box=SIMPLE_HEAD, padding=0, pad_edge=False, show_edge=False)
    table.add_column("camera", overflow="fold", min_width=6)
    for name in ("state", "frames/s", "p50/p99 ms", "dropped", "detections", "tracks", "clock"):
        table.add_column(name, justify="left" if name in ("state", "clock") else "right", no_wrap=True)
    for look in looks:
        found = look["found"]
        table.add_row(
            Text(look["camera"]),
            look["state"],
            str(look["fps"]),
            "" if look["p50_ms"] is None else f"{_short(look['p50_ms'])}/{_short(look['p99_ms'])}",
            str(sum(look["dropped"].values())),
            f"{look['detections']}, {_percent(found['share_with_detections'])}",
            f"{look['tracks']}, {_percent(found['share_with_tracks'])}",
            look["clock"],
        )
    return table


def notes(looks: Sequence[dict[str, Any]]) -> list[Text]:
    """Lines below the table: of a file how far it is, of a camera what it suffered."""
    notes = []
    for look in looks:
        said = []
        if look["progress"] is not None and look["state"] == "playing":
            left = f", {_clock_time(look['left_s'])} left" if look["left_s"] is not None else ""
            said.append(f"{_percent(look['progress'])} done{left}")
        if look["reconnects"]:
            said.append(f"came back {look['reconnects']} times" if look["reconnects"] > 1 else "came back once")
        if look["error"]:
            said.append(look["error"])
        said += [f"{name}: {why}" for name, why in look["paused"].items()]
        if said:
            notes.append(Text(f"{look['camera']}: {'; '.join(said)}"))
    return notes


def _short(ms: float) -> str:
    return f"{ms:.0f}" if ms >= 100 else f"{ms:.1f}"


def _percent(share: float) -> str:
    """Rounded, but neither nothing nor all where it is not."""
    return f"{min(max(round(share * 100), int(share > 0)), 99 + int(share >= 1))} %"


def _clock_time(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{seconds:02}" if minutes >= 60 else f"{minutes}:{seconds:02}"


def table_of(ledger: Ledger, title: str) -> Table:
    """Frames by fate, what was found in them, and latencies by stage."""
    numbers = ledger.as_dict()
    table = Table(title=Text(title, "table.title"), show_header=False)  # a Text: what users named is no markup
    table.add_column(justify="left")
    table.add_column(justify="right")
    table.add_row("frames received", str(ledger.received))
    table.add_row("frames published", str(ledger.published))
    for reason, count in sorted(ledger.dropped.items()) or [("for any reason", 0)]:
        table.add_row(f"frames dropped: {reason}", str(count))
    finds = ledger.finds
    for what, count in (("detections", finds.with_detections), ("tracks", finds.with_tracks)):
        table.add_row(f"frames with {what}", f"{count} ({_percent(finds.share(count))})")
    if not finds.anything:
        table.add_row("best score of anything", f"{finds.best:.2f}")
    for stage, latency in numbers["latency_ms"].items():
        quantiles = " / ".join(f"{latency[q]:.1f}" for q in ("p50", "p95", "p99"))
        table.add_row(f"{stage}: p50 / p95 / p99", f"{quantiles} ms")
    return table
