"""Filters when identities are given: jitter against lag, and what smoothing afterwards adds."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.peers import Filterpy, OneEuro
from benchmarks.scenes import Scene, boxes_of
from benchmarks.scores import Steadiness, given, steadiness
from xpose_stream.trackers import Tracker, TrackerConfig
from xpose_stream.trackers.smoothing import smooth

Floats = NDArray[np.float64]
Places = Callable[[Scene], Floats]  # [F, N, K, 2] px, NaN where there is nothing

START = 15  # frames in which filters settle
# What is swept: One-Euro's cutoff at rest (Hz) and slope, filterpy's change of motion, our process noise.
CUTOFFS, SLOPES = (0.3, 1.0, 2.0, 4.0), (0.002, 0.01, 0.03, 0.1)
VELOCITY, ACCELERATION = (0.03, 0.1, 0.2, 0.3, 0.5, 1.0), (0.003, 0.01, 0.03, 0.1, 0.3)
OURS = (0.7, 1.0, 1.5, 2.0, 3.0, 5.0)


@dataclass(frozen=True)
class Point:
    """A filter with one setting in one scene."""

    family: str
    setting: str
    scene: str
    score: Steadiness


def ours(config: TrackerConfig) -> Places:
    """The tracker, one for each person."""

    def follow(scene: Scene) -> Floats:
        places = np.full((len(scene.times), *scene.motion[:, 0].shape), np.nan)
        for person in range(len(scene.motion)):
            tracker = Tracker(config)
            for frame, (detections, owners) in enumerate(zip(scene.detections, scene.owners, strict=True)):
                tracks = tracker.update(detections[owners == person], float(scene.times[frame]))
                if len(tracks):
                    places[frame, person] = tracks.keypoints[0]
        return places

    return follow


def one_euro(**settings: float) -> Places:
    """One-Euro; without settings the detections themselves, held where there are none."""

    def follow(scene: Scene) -> Floats:
        raw = given(scene)
        places = np.empty_like(raw)
        for person in range(raw.shape[1]):
            one = OneEuro(**settings)
            for frame, time in enumerate(scene.times):
                places[frame, person] = one(raw[frame, person], float(time))
        return places

    return follow


def filterpy(order: int, change: float) -> Places:
    """filterpy's filter for each keypoint: constant velocity (order 2) or acceleration (3)."""

    def follow(scene: Scene) -> Floats:
        raw = given(scene)
        filters, places = Filterpy(0.02, change, order), np.empty_like(raw)
        for frame, time in enumerate(scene.times):
            boxes = scene.boxes(float(time))
            filters(raw[frame], (boxes[:, 2:] - boxes[:, :2]).max(1), float(time))
            places[frame] = filters.state(raw.shape[1:])[0]
        return places

    return follow


def smoothed(config: TrackerConfig) -> Places:
    """What Rauch-Tung-Striebel smoothing makes of our tracks."""

    def follow(scene: Scene) -> Floats:
        filtered, raw = ours(config)(scene), given(scene)
        places = np.full(raw.shape, np.nan)
        for person in range(raw.shape[1]):
            here = np.isfinite(filtered[:, person]).all((1, 2))
            boxes = boxes_of(filtered[here, person])
            sizes, centres = (boxes[:, 2:] - boxes[:, :2]).max(1), filtered[here, person].mean(1)
            places[here, person] = smooth(scene.times[here], raw[here, person], sizes, centres, config).keypoints
        return places

    return follow


def sweep(scenes: dict[str, Scene], config: TrackerConfig) -> list[Point]:
    """Every filter at every setting, judged where ours publishes a track."""
    families: list[tuple[str, str, Places]] = [("detections, held", "", one_euro())]
    families += [("ours", f"{q}", ours(replace(config, process_noise=q))) for q in OURS]
    families += [
        (f"ours, {name}", "", ours(replace(TrackerConfig.preset(name), sigmas=config.sigmas)))
        for name in ("robot", "mocap")
    ]
    families += [("ours, smoothed", "", smoothed(config))]
    families += [("One-Euro", f"{f} {b}", one_euro(least=f, beta=b)) for f in CUTOFFS for b in SLOPES]
    families += [("filterpy, constant velocity", f"{q}", filterpy(2, q)) for q in VELOCITY]
    families += [("filterpy, constant acceleration", f"{q}", filterpy(3, q)) for q in ACCELERATION]
    points = []
    for name, scene in scenes.items():
        both = ours(config)(scene) + one_euro()(scene)
        valid: NDArray[np.bool_] = np.all(np.isfinite(both), (2, 3))
        valid[:START] = False
        points += [Point(f, s, name, steadiness(scene, places(scene), valid)) for f, s, places in families]
    return points


def least_lag(points: list[Point], scene: str, family: str, jitter: float) -> float:
    """ms, of the settings whose jitter is at most 1.1 times `jitter`; NaN when none is so steady."""
    lags = [p.score.lag for p in points if (p.scene, p.family) == (scene, family) and p.score.jitter <= 1.1 * jitter]
    return min(lags) * 1e3 if lags else float("nan")


def plot(points: list[Point], path: Path) -> None:
    """Jitter against lag, one panel per scene; of each family the settings that no other one of it beats."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    scenes = list(dict.fromkeys(p.scene for p in points))
    figure, axes = plt.subplots(1, len(scenes), figsize=(5 * len(scenes), 4), squeeze=False)
    for axis, scene in zip(axes[0], scenes, strict=True):
        for family in dict.fromkeys(p.family for p in points if p.family != "detections, held"):
            own = sorted((p.score.lag * 1e3, p.score.jitter) for p in points if (p.scene, p.family) == (scene, family))
            best: list[Any] = [one for one in own if not any(o[0] <= one[0] and o[1] < one[1] for o in own)]
            style = "*" if family.startswith("ours,") else "o-"
            axis.plot(*zip(*best, strict=True), style, label=family, markersize=10 if style == "*" else 4)
        axis.set(title=scene, xlabel="lag, ms", ylabel="jitter, px", xlim=(0, 110), ylim=(0, None))
        axis.grid(alpha=0.3)
    axes[0][0].legend(fontsize=7)
    figure.tight_layout()
    figure.savefig(path, dpi=110)
