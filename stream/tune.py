"""The tracker's settings: by name, from a file, or fitted to a recording."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from rich.progress import Progress

from stream.sink import claim, unwritable
from stream.smooth import lists, read_recording, tracker_of
from trackers import TrackerConfig
from trackers.config import PRESETS
from trackers.tuning import FITTED, Way, fit

LONGEST, MOST = 600, 4000  # rows of a track, and in all, that take part


class TuningError(Exception):
    """Settings that cannot be read or fitted; the message is one sentence for the user."""


def tracker_config(name: str) -> TrackerConfig:
    """The preset `name`, or what the YAML file of that name says; raises TuningError when it is neither."""
    return TrackerConfig(**tracker_settings(name))


def tracker_settings(name: str) -> dict[str, Any]:
    """What the preset or file `name` sets; raises TuningError."""
    if name in PRESETS:
        return PRESETS[name]
    if not Path(name).is_file():
        raise TuningError(
            f"{name} is neither a tracker preset ({', '.join(PRESETS)}) nor a file; `tune` writes such files"
        )
    try:
        settings: dict[str, Any] = yaml.safe_load(Path(name).read_text())
        refuse_sigmas(settings)
        TrackerConfig(**settings)
    except OSError as error:
        raise TuningError(f"the tracker settings {name} cannot be read: {error.strerror}") from None
    except (TypeError, ValueError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split()).removeprefix("TrackerConfig.__init__() ")
        raise TuningError(f"{name} holds no tracker settings as `tune` writes them: {reason}") from None
    return settings


def refuse_sigmas(settings: Any) -> None:
    """Raises ValueError where settings say what only the prompt can."""
    if isinstance(settings, dict) and "sigmas" in settings:
        raise ValueError("sigmas are those of the prompt; leave them out")


def tune(recording: Path, target: Path) -> str:
    """Fit to `recording`, write the settings to `target` (YAML) and return them in words.

    Raises RecordingError, TuningError when the recording tells nothing, and SinkError when `target` exists.
    """
    claim(target)
    table = read_recording(recording)
    measured = ["measured_x", "measured_y", "box_x0", "box_y0", "box_x1", "box_y1"]
    table = table.select(["camera", "track_id", "frame", "captured_at", *measured])
    table = table.filter(table["track_id"].is_valid()).sort_by(
        [(n, "ascending") for n in ("camera", "track_id", "frame")]
    )
    keys = list(zip(table["camera"].to_pylist(), table["track_id"].to_pylist(), strict=True))
    starts = [row for row, key in enumerate(keys) if not row or key != keys[row - 1]]
    parts = [table.slice(a, min(b - a, LONGEST)) for a, b in itertools.pairwise([*starts, len(keys)])]
    start = tracker_of(recording)
    ways: list[Way] = []
    for part in sorted(parts, key=len, reverse=True):
        times = np.asarray(part["captured_at"], float)
        if len(times) > 2 and (np.diff(times) > 0).all() and sum(len(way.times) for way in ways) < MOST:
            sides = [np.asarray(part[f"box_{side}"], float) for side in ("x0", "y0", "x1", "y1")]
            sizes = np.maximum(sides[2] - sides[0], sides[3] - sides[1])
            ways.append(Way(times, lists(part, "measured"), sizes))
    with Progress(transient=True) as progress:
        task = progress.add_task("fitting", total=None)
        try:
            config = fit(ways, start, lambda done, most: progress.update(task, completed=done, total=most))
        except ValueError as error:
            raise TuningError(f"nothing can be fitted to {recording}: {error}") from None
    settings = {name: float(f"{getattr(config, name):.4g}") for name in FITTED}
    try:
        target.write_text(
            f"# Fitted to {recording.name}; for `run_stream.py run --tracker`.\n{yaml.safe_dump(settings)}"
        )
    except OSError as error:
        raise unwritable(target, error) from None
    return ", ".join(f"{name} {value}" for name, value in settings.items())
