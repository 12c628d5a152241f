"""A recording tracked again, from what had been detected."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from xpose_stream.stream.recordings.progress import progress
from xpose_stream.stream.recordings.recording import Recording, RecordingError, opened
from xpose_stream.stream.recordings.unfinished import unfinished
from xpose_stream.stream.sinks.columns import DETECTED
from xpose_stream.stream.sinks.given import COLUMNS, Given, detections_of
from xpose_stream.stream.sinks.messages import TracksMessage, track_messages
from xpose_stream.stream.sinks.row import rows_of
from xpose_stream.stream.sinks.sink import claim
from xpose_stream.trackers import Tracker, TrackerConfig, Tracks

Sigmas = Mapping[int, tuple[float, ...]]


def retrack(source: Path, target: Path, settings: Mapping[str, Any] | None = None) -> int:
    """Write `source` with the tracks that its detections make now to `target`; return the number of frames.

    settings of the tracker in place of those it was tracked with; without any, tracks are those that were published,
    bit for bit. Raises RecordingError when `source` holds no detections, SinkError when `target` exists or cannot be
    written.
    """
    claim(target)
    recording = Recording(source)
    config = recording.tracker
    if config is None or COLUMNS[-1].name not in pq.read_schema(source).names:
        raise RecordingError(f"{source} holds no detections; record them with `run --record-detections`")
    config = replace(config, **(settings or {}))
    frames = 0
    with (
        progress() as bar,
        unfinished(target) as partial,
        pq.ParquetWriter(partial, DETECTED, compression="zstd") as writer,
    ):
        task, rows = bar.add_task("tracking", total=len(recording)), list[dict[str, Any]]()
        for of_frame in _rows(recording, config):
            rows += of_frame
            frames += 1
            if len(rows) >= recording.block_rows // 4:
                writer.write_table(pa.Table.from_pylist(rows, DETECTED))
                bar.advance(task, len(rows))
                rows = []
        writer.write_table(pa.Table.from_pylist(rows, DETECTED))
        writer.add_key_value_metadata(recording.metadata | {"tracker": config.to_json()})
    return frames


def _rows(recording: Recording, config: TrackerConfig) -> Iterator[list[dict[str, Any]]]:
    """The rows of each frame."""
    trackers: dict[str, _Again] = {}
    for message, given in zip(recording, _given(recording), strict=True):
        if message.camera not in trackers:
            trackers[message.camera] = _Again(Tracker(config), given.resets)
        first, *others = rows_of(trackers[message.camera](message, given))
        yield [first | given.columns(), *others]


class _Again:
    """The tracker of one camera."""

    def __init__(self, tracker: Tracker, resets: int) -> None:
        self._tracker, self._resets = tracker, resets

    def __call__(self, message: TracksMessage, given: Given) -> TracksMessage:
        tracker = self._tracker
        tracker.config = replace(tracker.config, sigmas=given.sigmas)
        if given.resets != self._resets:
            tracker.reset()
            self._resets = given.resets
        tracks, predicted = self._told(tracker.update(given.detections, given.time), given), None
        if message.predicted_time is not None:
            ahead = message.predicted_time - message.captured_at
            predicted = self._told(tracker.predict(given.time + ahead), given)
        return msgspec.structs.replace(message, tracks=track_messages(tracks, predicted, message.categories))

    def _told(self, tracks: Tracks, given: Given) -> Tracks:
        return tracks if self._tracker.unsure or given.timeless else tracks.confirmed()


def _given(recording: Recording) -> Iterator[Given]:
    """What the trackers were given, of each frame in the order of the recording."""
    prompts: dict[tuple[str, int], tuple[Sigmas, int]] = {}
    for prompt in json.loads(recording.metadata["prompts"]):
        sigmas: Sigmas = {each["id"]: tuple(each["sigmas"]) for each in prompt["categories"]}
        prompts[prompt["name"], prompt["version"]] = sigmas, max(map(len, sigmas.values()))
    names = [field.name for field in COLUMNS]
    with opened(recording.path) as file:
        batches = file.iter_batches(recording.block_rows // 8, columns=["prompt", "prompt_version", *names])
        for row in itertools.chain.from_iterable(batch.to_pylist() for batch in batches):
            if row["tracker_time"] is not None:  # the first row of a frame
                sigmas, keypoints = prompts[row["prompt"], row["prompt_version"]]
                time, resets, timeless, detections = (row[name] for name in names)
                yield Given(detections_of(detections, keypoints), time, resets, sigmas, timeless)
