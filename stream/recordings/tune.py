"""The tracker's settings: by name, from a file, or fitted to a recording."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import yaml

from xpose_stream.error import UserError
from xpose_stream.settings import parse, why
from xpose_stream.stream.recordings.progress import progress
from xpose_stream.stream.recordings.recording import Recording
from xpose_stream.stream.recordings.rows import BOX, boxes_of, points_of
from xpose_stream.stream.recordings.smooth import by_track, tracker_of
from xpose_stream.stream.sinks.sink import claim, unwritable
from xpose_stream.trackers import TrackerConfig
from xpose_stream.trackers.config import PRESETS
from xpose_stream.trackers.tuning import FITTED, Way, fit

Key = tuple[str, int]
_KEY = ["camera", "track_id"]

LONGEST, MOST = 600, 4000  # rows of a track, and in all, that take part


class TuningError(UserError):
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
        settings: dict[str, Any] = parse(Path(name).read_text())
        refuse_sigmas(settings)
        TrackerConfig(**settings)
    except OSError as error:
        raise TuningError(f"the tracker settings {name} cannot be read: {error.strerror}") from None
    except (TypeError, ValueError, yaml.YAMLError) as error:
        said = why(error) if isinstance(error, yaml.YAMLError) else str(error)
        reason = said.removeprefix("TrackerConfig.__init__() ")
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
    data = Recording(recording)
    start = tracker_of(data)
    ways = _ways(data)
    with progress() as bar:
        task = bar.add_task("fitting", total=None)
        try:
            config = fit(ways, start, lambda done, most: bar.update(task, completed=done, total=most))
        except ValueError as error:
            raise TuningError(f"nothing can be fitted to {recording}: {error}") from None
    settings = {name: float(f"{getattr(config, name):.4g}") for name in FITTED}
    try:
        target.write_text(
            f"# Fitted to {recording.name}; for `xpose-stream run --tracker`.\n{yaml.safe_dump(settings)}"
        )
    except OSError as error:
        raise unwritable(target, error) from None
    return ", ".join(f"{name} {value}" for name, value in settings.items())


def _ways(recording: Recording) -> list[Way]:
    """Of the longest tracks their beginnings."""
    lengths: Counter[Key] = Counter()
    for table in recording.blocks(_KEY):
        counted = table.filter(table["track_id"].is_valid()).group_by(_KEY).aggregate([([], "count_all")])
        lengths.update({(row["camera"], row["track_id"]): row["count_all"] for row in counted.to_pylist()})
    wanted = sorted(sorted(lengths), key=lambda key: -min(lengths[key], LONGEST))[: MOST // 3]
    enough = np.cumsum([min(lengths[key], LONGEST) for key in wanted]) >= 2 * MOST  # some may tell nothing
    parts: dict[Key, list[pa.Table]] = {key: [] for key in wanted[: int(enough.argmax()) + 1 if enough.any() else None]}
    for table in recording.blocks([*_KEY, "captured_at", "measured_x", "measured_y", *BOX]):
        cameras = table["camera"].combine_chunks().dictionary_encode()
        for camera, rows in by_track(table, np.asarray(cameras.indices)):
            key = (cameras.dictionary[camera].as_py(), table["track_id"][int(rows[0])].as_py())
            room = LONGEST - sum(map(len, parts[key])) if key in parts else 0
            if room > 0:
                parts[key].append(table.take(rows[:room]))
    ways: list[Way] = []
    for key in parts:
        part = pa.concat_tables(parts[key])
        times = part["captured_at"].to_numpy()
        if len(times) > 2 and (np.diff(times) > 0).all() and sum(len(way.times) for way in ways) < MOST:
            x0, y0, x1, y1 = boxes_of(part).T
            count = len(part["measured_x"][0])
            ways.append(Way(times, points_of(part, "measured", count), np.maximum(x1 - x0, y1 - y0)))
    return ways
