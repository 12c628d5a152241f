"""The tracker against its peers on scenes with exact truth; every figure of docs/tracking.md.

pip install -e '.[benchmark]' && pip install --no-deps -r benchmarks/peers.txt
python -m benchmarks.tracking [--bvh walk.bvh] [--seed 1000] [--plot docs/tracking.png]
python -m benchmarks.tracking --tune benchmarks/tuned.yaml      # of the peers, on seeds 0 and 1
"""

from __future__ import annotations

import argparse
import time
import warnings
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import yaml
from rich.console import Console
from rich.progress import track
from rich.table import Table

from benchmarks.filters import least_lag, plot, sweep
from benchmarks.peers import ByteTrack, Norfair, OcSort, Ours, Peer
from benchmarks.scenes import SIGMAS, Detector, Scene, captured, walkers
from benchmarks.scores import Score, judge
from xpose_stream.trackers import Detections, Tracker, TrackerConfig

TUNED = Path(__file__).with_name("tuned.yaml")
PEERS: dict[str, Callable[..., Peer]] = {
    "norfair, voting distance": lambda **s: Norfair("voting", **s),
    "norfair, mean distance": lambda **s: Norfair("mean", **s),
    "supervision ByteTrack": ByteTrack,
    "boxmot OC-SORT": OcSort,
}
# What is tried of each peer.
CHOICES: dict[str, dict[str, tuple[float, ...]]] = {
    "norfair, voting distance": {
        "threshold": (0.4, 0.6, 0.8, 0.9), "near": (0.05, 0.08, 0.12, 0.2), "noise": (2.0, 4.0, 10.0),
        "change": (0.03, 0.1, 0.3, 1.0), "least": (0.3, 0.4, 0.5), "patience": (8, 15, 25),
    },
    "norfair, mean distance": {
        "threshold": (0.1, 0.15, 0.2, 0.3), "noise": (2.0, 4.0, 10.0), "change": (0.03, 0.1, 0.3, 1.0),
        "least": (0.3, 0.4, 0.5), "patience": (8, 15, 25),
    },
    "supervision ByteTrack": {
        "track_activation_threshold": (0.25, 0.4, 0.5, 0.6), "lost_track_buffer": (15, 30, 60),
        "minimum_matching_threshold": (0.7, 0.8, 0.9, 0.95), "minimum_consecutive_frames": (1, 2, 3),
    },
    "boxmot OC-SORT": {
        "det_thresh": (0.3, 0.4, 0.5), "max_age": (15, 30, 60), "min_hits": (1, 2, 3),
        "iou_threshold": (0.1, 0.2, 0.3), "inertia": (0.1, 0.2, 0.4), "delta_t": (1, 3, 5),
    },
}  # fmt: skip
SMOOTH = {"least": (0.5, 1.0, 2.0, 4.0), "beta": (0.003, 0.01, 0.03, 0.1)}
TRIALS = 8
SIZES = ((1, 17), (5, 17), (20, 17), (20, 68), (50, 133))
CONFIG = TrackerConfig(sigmas={0: tuple(SIGMAS)})


def main() -> None:
    """Print the tables; with --tune write the peers' settings instead."""
    warnings.simplefilter("ignore")
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bvh", type=Path, help="motion capture to add")
    parser.add_argument("--seed", type=int, default=1000, help="the first; peers were tuned on 0 and 1")
    parser.add_argument("--scenes", type=int, default=2, help="of each kind")
    parser.add_argument("--seconds", type=float, default=20.0, help="of each scene")
    parser.add_argument("--plot", type=Path, help="picture of jitter against lag to write")
    parser.add_argument("--only", choices=("identities", "filters", "cost"), help="one of the parts")
    parser.add_argument("--tune", type=Path, help="YAML file to write the peers' settings into")
    options = parser.parse_args()
    if options.tune:
        tune(options.tune)
        return
    console = Console(width=140)
    seeds = range(options.seed, options.seed + options.scenes)
    if options.only in (None, "identities"):
        kinds = {f"N={n}": [walkers(n, options.seconds, seed) for seed in seeds] for n in (5, 12, 20)}
        if options.bvh:
            kinds["real motion, N=6"] = [captured(options.bvh, 6, options.seconds, seed) for seed in seeds]
        for name, scenes in kinds.items():
            console.print(identities(name, scenes))
    if options.only in (None, "filters"):
        quiet = Detector(clutter=0.0)
        alone = {"walkers": walkers(4, options.seconds, options.seed, quiet)}
        if options.bvh:
            alone["real motion"] = captured(options.bvh, 4, options.seconds, options.seed, quiet)
        points = sweep(alone, CONFIG)
        console.print(filters(points))
        if options.plot:
            plot(points, options.plot)
    if options.only in (None, "cost"):
        console.print(cost())


def identities(name: str, scenes: list[Scene]) -> Table:
    """Everybody on the same scenes, and ours as a ratio to the best peer of each column."""
    tuned = yaml.safe_load(TUNED.read_text())
    makers: dict[str, Callable[[], Peer]] = {"ours": lambda: Ours(CONFIG)}
    makers |= {peer: (lambda p=peer: PEERS[p](**tuned[p])) for peer in PEERS}  # type: ignore[misc]
    scores = {who: judge(scenes, make) for who, make in track(makers.items(), name, transient=True)}
    table = Table(
        "", "IDF1", "MOTA", "HOTA", "switches", "RMSE px", "+66 ms px", "measured in 95 %", "coasting in 95 %",
        title=f"{name}: {len(scenes)} scenes of {scenes[0].times[-1]:.0f} s",
    )  # fmt: skip
    for who, s in scores.items():
        cover = ["" if np.isnan(c) else f"{c:.1%}" for c in (s.measured, s.coasting)]
        table.add_row(
            who, f"{s.idf1:.3f}", f"{s.mota:.3f}", f"{s.hota:.3f}", f"{s.switches:.1f}", f"{s.rmse:.2f}",
            f"{s.ahead:.2f}", *cover,
        )  # fmt: skip
    us, peers = scores["ours"], [s for who, s in scores.items() if who != "ours"]

    def ratio(ours: float, theirs: list[float]) -> str:
        return f"{ours / max(min(theirs), 1e-9):.2f}x"

    table.add_section()
    table.add_row(
        "ours : best peer", "1-IDF1 " + ratio(1 - us.idf1, [1 - s.idf1 for s in peers]), "", "",
        ratio(us.switches, [s.switches for s in peers]), ratio(us.rmse, [s.rmse for s in peers]),
        ratio(us.ahead, [s.ahead for s in peers]),
    )  # fmt: skip
    return table


def filters(points: list[Any]) -> Table:
    """Each family at its best RMSE, and its least lag where it is as steady as ours."""
    scenes = list(dict.fromkeys(p.scene for p in points))
    columns = [
        f"{scene}: {what}" for scene in scenes for what in ("RMSE px", "jitter px", "lag ms", "lag at our jitter")
    ]
    table = Table("identities given", *columns)
    for family in dict.fromkeys(p.family for p in points):
        row = [family]
        for scene in scenes:
            robot = next(p.score for p in points if (p.scene, p.family) == (scene, "ours, robot"))
            best = min((p.score for p in points if (p.scene, p.family) == (scene, family)), key=lambda s: s.rmse)
            lag = least_lag(points, scene, family, robot.jitter)
            row += [f"{best.rmse:.2f}", f"{best.jitter:.2f}", f"{best.lag * 1e3:.1f}", f"{lag:.1f}"]
        table.add_row(*row)
    return table


def cost() -> Table:
    """Thread time per frame, interleaved; medians."""
    table = Table("tracks, keypoints", "ours ms", "ByteTrack ms", "ratio", title="thread time per frame, medians")
    for people, keypoints in SIZES:
        own, theirs = Tracker(), ByteTrack()
        times: dict[str, list[float]] = {"ours": [], "theirs": []}
        for frame, detections in enumerate(_crowd(people, keypoints, frames=200)):
            given = theirs.given(detections)
            start = time.thread_time()
            own.update(detections, frame / 30)
            middle = time.thread_time()
            theirs.tracker.update_with_detections(given)
            times["ours"].append(middle - start)
            times["theirs"].append(time.thread_time() - middle)
        a, b = (float(np.median(values[20:])) * 1e3 for values in times.values())
        table.add_row(f"{people}, {keypoints}", f"{a:.3f}", f"{b:.3f}", f"{a / b:.2f}x")
    return table


def _crowd(people: int, keypoints: int, frames: int) -> list[Detections]:
    """Things that drift, 5 % of them missed."""
    rng = np.random.default_rng(0)
    places, drift = rng.uniform(100, 3000, (people, 1, 2)), rng.normal(0, 2, (people, 1, 2))
    pose = rng.uniform(-0.5, 0.5, (people, keypoints, 2)) * [60, 150]
    crowd = []
    for frame in range(frames):
        points = places + drift * frame + pose + rng.normal(0, 1.5, pose.shape)
        boxes = np.concatenate([points.min(1) - 5, points.max(1) + 5], 1)
        found = rng.random(people) > 0.05
        found[0] = True
        n = int(found.sum())
        scores = rng.uniform(0.6, 0.95, n)
        crowd.append(Detections(boxes[found], scores, np.zeros(n, int), points[found], np.ones((n, keypoints))))
    return crowd


def tune(path: Path) -> None:
    """Random search of the peers' settings on other seeds than those they are judged on."""
    rng = np.random.default_rng(0)
    scenes = [walkers(n, 8, seed) for seed, n in enumerate((6, 12))]

    def worth(score: Score) -> float:
        return score.idf1 - 0.01 * (score.rmse + score.ahead)

    def draw(choices: Mapping[str, tuple[float, ...]]) -> dict[str, float]:
        return {name: values[int(rng.integers(len(values)))] for name, values in choices.items()}

    tuned: dict[str, Any] = {}
    for peer, make in PEERS.items():
        trials = []
        for _ in track(range(TRIALS), peer):
            settings: dict[str, Any] = draw(CHOICES[peer])
            if make in (ByteTrack, OcSort):  # its keypoints are the detections', smoothed or not
                settings |= {"smooth": draw(SMOOTH)} if rng.random() < 0.5 else {}
            trials.append((worth(judge(scenes, lambda: make(**settings))), settings))  # noqa: B023
        tuned[peer] = max(trials, key=lambda trial: trial[0])[1]
    header = f"# Made by `python -m benchmarks.tracking --tune {path}`.\n"
    path.write_text(header + yaml.safe_dump(tuned, sort_keys=False))


if __name__ == "__main__":
    main()
