"""Tracks as streams of the Lab Streaming Layer, on one clock with EEG, force plates and eye trackers."""

from __future__ import annotations

import math
import time
from types import TracebackType

import pylsl

from xpose_stream.stream.sinks.messages import Category, Prompt, TracksMessage
from xpose_stream.stream.sinks.osc import taken_at

_AXES = (("x", "PositionX", "px"), ("y", "PositionY", "px"), ("c", "Confidence", "normalized"))


class Lsl:
    """Two streams for each camera: "xpose CAMERA" of type MoCap and "xpose CAMERA events" of type Markers.

    LSL's channels are fixed, so there are `slots` for each category; a track stays in the lowest that was free when it
    began, and what came when all were taken is left out. Channels are x, y (px) and confidence (0 to 1) of each
    keypoint of each slot; NaN where nothing is known. Samples have the time of capture on LSL's clock; of a file, of
    decoding.
    Markers: "birth TRACK CATEGORY SLOT", "death TRACK CATEGORY SLOT", "prompt VERSION NAME". With another prompt the
    streams begin anew.
    """

    def __init__(self, slots: int = 4) -> None:
        self._slots = slots
        self._cameras: dict[str, _Streams] = {}

    def send(self, message: TracksMessage) -> None:
        """The sample of one frame, and what happened to tracks."""
        streams = self._cameras.get(message.camera)
        if streams is None or streams.categories != message.categories:
            streams = self._cameras[message.camera] = _Streams(message.camera, message.categories, self._slots)
        streams.send(message)

    def __enter__(self) -> Lsl:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._cameras.clear()  # which ends the streams


class _Streams:
    """The streams of one camera while what is looked for stays the same."""

    def __init__(self, camera: str, categories: list[Category], slots: int) -> None:
        self.categories = categories
        self._taken: dict[int, list[int | None]] = {category.id: [None] * slots for category in categories}
        self._prompt: Prompt | None = None
        labels = [
            (f"{category.name}{slot}", name, *axis)
            for category in categories for slot in range(slots) for name in category.keypoints for axis in _AXES
        ]  # fmt: skip
        info = pylsl.StreamInfo(f"xpose {camera}", "MoCap", len(labels), 0.0, "float32", f"xpose-{camera}")
        channels = info.desc().append_child("channels")
        for body, name, axis, kind, unit in labels:
            channel = channels.append_child("channel")
            for key, value in (("label", f"{body}_{name}_{axis}"), ("marker", name), ("object", body)):
                channel.append_child_value(key, value)
            channel.append_child_value("type", kind)
            channel.append_child_value("unit", unit)
        self._samples = pylsl.StreamOutlet(info)
        events = pylsl.StreamInfo(f"xpose {camera} events", "Markers", 1, 0.0, "string", f"xpose-{camera}-events")
        self._events = pylsl.StreamOutlet(events)

    def send(self, message: TracksMessage) -> None:
        """See Lsl."""
        at = pylsl.local_clock() - (time.time() - taken_at(message))
        if message.prompt != self._prompt:
            self._prompt = message.prompt
            self._events.push_sample([f"prompt {message.prompt.version} {message.prompt.name}"], at)
        by_id = {track.id: track for track in message.tracks}
        sample: list[float] = []
        for category in self.categories:
            slots = self._taken[category.id]
            mine = {track.id for track in message.tracks if track.category == category.id}
            self._change(slots, mine, category.name, at)
            for owner in slots:
                track = by_id.get(owner) if owner is not None else None
                scores = (track.keypoint_scores if track else None) or [None] * len(category.keypoints)
                for place in range(len(category.keypoints)):
                    point = track.keypoints[place] if track else None
                    sample += [*(point or (math.nan, math.nan)), (scores[place] or 0.0) if point else math.nan]
        self._samples.push_sample(sample, at)

    def _change(self, slots: list[int | None], ids: set[int], category: str, at: float) -> None:
        """Who has gone gives its slot back, who is new gets one."""
        for slot, owner in enumerate(slots):
            if owner is not None and owner not in ids:
                slots[slot] = None
                self._events.push_sample([f"death {owner} {category} {slot}"], at)
        for new in sorted(ids - set(slots)):
            if None in slots:
                slot = slots.index(None)
                slots[slot] = new
                self._events.push_sample([f"birth {new} {category} {slot}"], at)
