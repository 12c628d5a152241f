"""What a tracker assumes about bodies and detectors."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

# s between two frames from which on nothing is told by one about the other but roughly where things were; between 5 and
# 4 frames per s, so that neither is now this, now that.
FAR = 0.22
# Of a detector: what it gives a lower score is no detection.
LEAST_SCORE = 0.1
# robot: least lag. mocap: least jitter. raw: identities only, all detections, keypoints as they were detected.
# reference: robot, with filterpy's filter.
PRESETS: dict[str, dict[str, Any]] = {
    "robot": {},
    "mocap": {"process_noise": 1.0, "damping": 0.1},
    "raw": {
        "process_noise": 1e3,
        "outliers": float("inf"),
        "high_score": LEAST_SCORE,
        "low_score": LEAST_SCORE,
        "duplicate": float("inf"),
        "tentative": 0.0,
    },
    "reference": {"filter": "reference"},
}


@dataclass(frozen=True, slots=True)
class TrackerConfig:
    """Settings of a `Tracker`. A "size" is the longer side of a thing's box, so nothing here depends on the picture.

    Attributes:
        high_score: detections from here on start and confirm tracks.
        low_score: detections from here on still continue confirmed tracks; lower ones are ignored.
        similarity: a pair of track and detection below this (0..1) is not matched by the strict comparison.
        reentry: nor below this by the lenient one, which also knows tracks that come out of hiding.
        duplicate: two detections of a class, or a detection and a track, above this (0..1) are the same thing twice.
        astray: sizes / s, how much farther from where it is thought a track may come out of hiding per s of hiding.
        merges: whether the detector sees two who cross as one. Then who comes out where is decided by their ways, which
            is worse than by poses if the detector does tell them apart.
        sigmas: per class id the OKS fall-off of each keypoint, COCO's convention; 0.06 for what is not listed.
        confirm_hits: detections that make a tentative track a confirmed one.
        tentative: s, tentative tracks are told too in a frame at least so long after the one before; 0: always.
        coast: s, for how long a confirmed track is published without a detection.
        forget: s without a detection after which a track is dropped, but not before it was missed in two frames.
        measurement_noise: sizes, standard deviation of a detected coordinate.
        process_noise: sizes / s^1.5, root of the spectral density of a keypoint's white-noise acceleration.
        damping: s, in which a keypoint's velocity decays towards its body's; inf leaves a constant-velocity filter.
        body_noise: sizes / s^1.5, the same for the velocity that all its keypoints share.
        slow: share of the measurements' variance that stays from frame to frame, so that filtering does not reduce it.
        outliers: degrees of freedom of the Student-t noise of keypoints; inf means Gaussian.
        filter: "fast", or "reference": the same by filterpy, some hundred times slower.
    """

    high_score: float = 0.5
    low_score: float = 0.25
    similarity: float = 0.15
    reentry: float = 0.2
    astray: float = 0.5
    merges: bool = False
    duplicate: float = 0.5
    sigmas: Mapping[int, tuple[float, ...]] = field(default_factory=dict)
    confirm_hits: int = 2
    tentative: float = FAR
    coast: float = 0.33
    forget: float = 2.0
    measurement_noise: float = 0.015
    process_noise: float = 2.0
    damping: float = 0.07
    body_noise: float = 0.5
    slow: float = 0.35
    outliers: float = 5.0
    filter: Literal["fast", "reference"] = "fast"

    @classmethod
    def preset(cls, name: str, **changes: Any) -> TrackerConfig:
        """One of `PRESETS`, with `changes` of single settings; raises ValueError for another name."""
        if name not in PRESETS:
            raise ValueError(f"There is no tracker preset {name!r}; there are {', '.join(PRESETS)}.")
        return cls(**(PRESETS[name] | changes))

    def to_json(self) -> str:
        """The settings without `sigmas`, which are the prompts'; infinity, which JSON does not have, is null."""
        settings = {name: value for name, value in asdict(self).items() if name != "sigmas"}
        return json.dumps({name: None if value == math.inf else value for name, value in settings.items()})

    @classmethod
    def from_json(cls, text: str | bytes) -> TrackerConfig:
        """What `to_json` wrote; the usual value for a setting that is missing. Raises TypeError or ValueError."""
        told = json.loads(text)
        if not isinstance(told, dict):
            raise ValueError(f"{told!r} is no object of settings")
        settings: dict[str, Any] = {name: math.inf if value is None else value for name, value in told.items()}
        return cls(**settings)

    def __post_init__(self) -> None:
        if not 0 <= self.low_score <= self.high_score <= 1:
            raise ValueError(
                f"Scores must satisfy 0 <= low_score <= high_score <= 1, not {self.low_score} and {self.high_score}."
            )
        if not 0 <= self.coast <= self.forget:
            raise ValueError(f"Times must satisfy 0 <= coast <= forget, not {self.coast} and {self.forget} s.")
        if not self.tentative >= 0:
            raise ValueError(f"tentative must be 0 or more, not {self.tentative}.")
        for name in (
            "similarity",
            "reentry",
            "body_noise",
            "duplicate",
            "astray",
            "slow",
            "measurement_noise",
            "process_noise",
            "damping",
            "outliers",
        ):
            if not getattr(self, name) > 0:
                raise ValueError(f"{name} must be positive, not {getattr(self, name)}.")
            object.__setattr__(self, name, float(getattr(self, name)))
        if self.filter not in ("fast", "reference"):
            raise ValueError(f"filter must be fast or reference, not {self.filter!r}.")
        if self.confirm_hits < 1:
            raise ValueError(f"confirm_hits must be at least 1, not {self.confirm_hits}.")
        for class_id, sigmas in self.sigmas.items():
            if not all(sigma > 0 for sigma in sigmas):
                raise ValueError(f"Every sigma of class {class_id} must be positive, not {tuple(sigmas)}.")
