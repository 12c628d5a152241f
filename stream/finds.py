"""What was found in a camera's frames, counted."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import Any


@dataclass
class Finds:
    """Detections that are good enough to begin a track, and tracks that were published.

    detections, tracks             how many in the latest frame.
    frames                         published.
    with_detections, with_tracks   frames that had any.
    asked                          frames since the prompt began, and `since` when that was (s, time.monotonic()).
    best                           the highest score that the model gave anything since the prompt began, however low.
    anything                       whether anything was found since the prompt began.
    """

    detections: int = 0
    tracks: int = 0
    frames: int = 0
    with_detections: int = 0
    with_tracks: int = 0
    asked: int = 0
    since: float = 0.0
    best: float = 0.0
    anything: bool = False

    def begin(self) -> None:
        """Another prompt: what was found of the one before tells nothing of it."""
        self.asked, self.best, self.anything = 0, 0.0, False

    def add(self, detections: int, tracks: int, best: float) -> None:
        """Count what one frame had."""
        if not self.asked:
            self.since = time.monotonic()
        self.asked += 1
        self.frames += 1
        self.detections, self.tracks = detections, tracks
        self.with_detections += detections > 0
        self.with_tracks += tracks > 0
        self.best = max(self.best, best)
        self.anything = self.anything or detections > 0 or tracks > 0

    def share(self, count: int) -> float:
        """Of the frames published, 0..1."""
        return count / self.frames if self.frames else 0.0

    def as_dict(self) -> dict[str, Any]:
        """Plain numbers."""
        return {
            "frames_with_detections": self.with_detections,
            "frames_with_tracks": self.with_tracks,
            "share_with_detections": round(self.share(self.with_detections), 4),
            "share_with_tracks": round(self.share(self.with_tracks), 4),
            "best_score": round(self.best, 3),
        }
