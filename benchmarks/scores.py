"""How good tracks are: identities by TrackEval, places against the exact truth of a scene."""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from benchmarks.peers import Followed, Peer
from benchmarks.scenes import Scene
from xpose_stream.trackers import KeypointStatus
from xpose_stream.trackers.association import iou

Floats = NDArray[np.float64]

AHEAD = 0.066  # s
ELLIPSE = 5.991  # chi2 with 2 degrees of freedom holds 95 % below this
SHIFTS = np.arange(-0.06, 0.1501, 0.005)  # s, at which lag is looked for


@dataclass(frozen=True)
class Score:
    """What a tracker did in some scenes; identities are means over scenes, the rest over all keypoints.

    Attributes:
        idf1, mota, hota: 0..1, by the overlap of boxes.
        switches: of identity, per scene.
        rmse: px, keypoints of tracks that overlap a person by half.
        ahead: px, the same `AHEAD` s later.
        measured, coasting: share of the truth within the 95 % ellipses; NaN for trackers that give none.
    """

    idf1: float
    mota: float
    hota: float
    switches: float
    rmse: float
    ahead: float
    measured: float
    coasting: float


def judge(scenes: Sequence[Scene], make: Callable[[], Peer]) -> Score:
    """Run a new tracker over each scene and score it."""
    identities: list[tuple[float, float, float, float]] = []
    errors: list[Floats] = []
    later: list[Floats] = []
    inside: dict[bool, list[NDArray[np.bool_]]] = {True: [], False: []}
    for scene in scenes:
        peer = make()
        frames = []
        for detections, time in zip(scene.detections, scene.times, strict=True):
            found = peer(detections, time)
            here = np.flatnonzero(scene.present(time))
            overlap = iou(scene.boxes(time)[here], found.boxes) if len(here) else np.zeros((0, len(found.ids)))
            frames.append((here, found.ids, overlap))
            rows, columns = linear_sum_assignment(np.where(overlap < 0.5, 0, overlap), maximize=True)
            good = overlap[rows, columns] >= 0.5
            people, rows = here[rows[good]], columns[good]
            error = found.keypoints[rows] - scene.keypoints(time)[people]
            errors.append((error**2).sum(-1).ravel())
            ahead = found.ahead(AHEAD)[rows] - scene.keypoints(time + AHEAD)[people]
            later.append((ahead**2).sum(-1).ravel())
            _cover(inside, found, rows, error)
        identities.append(_identities(frames))
    coverage = [float(np.concatenate(inside[b]).mean()) if inside[b] else np.nan for b in (True, False)]
    rmse, ahead_rmse = (float(np.sqrt(np.nanmean(np.concatenate(e)))) for e in (errors, later))
    idf1, mota, hota, switches = (float(value) for value in np.mean(identities, 0))
    return Score(idf1, mota, hota, switches, rmse, ahead_rmse, *coverage)


def _cover(
    inside: dict[bool, list[NDArray[np.bool_]]], found: Followed, rows: NDArray[np.int64], error: Floats
) -> None:
    if found.covariances is None or found.status is None or not len(rows):
        return
    away = np.einsum("tki,tki->tk", error, np.linalg.solve(found.covariances[rows], error[..., None])[..., 0])
    status = found.status[rows]
    inside[True].append((away < ELLIPSE)[status == KeypointStatus.MEASURED])
    inside[False].append((away < ELLIPSE)[status == KeypointStatus.PREDICTED])


def _identities(frames: list[tuple[NDArray[np.int64], NDArray[np.int64], Floats]]) -> tuple[float, float, float, float]:
    """IDF1, MOTA, HOTA and switches by TrackEval, of true ids, ids and overlaps per frame."""
    with contextlib.redirect_stdout(io.StringIO()):  # it prints its settings
        from trackeval.metrics import CLEAR, HOTA, Identity

        number: dict[int, int] = {}
        true: dict[int, int] = {}
        data = {
            "gt_ids": [np.array([true.setdefault(int(i), len(true)) for i in f[0]], int) for f in frames],
            "tracker_ids": [np.array([number.setdefault(int(i), len(number)) for i in f[1]], int) for f in frames],
            "similarity_scores": [f[2] for f in frames],
            "num_timesteps": len(frames),
            "num_gt_ids": len(true),
            "num_tracker_ids": len(number),
            "num_gt_dets": sum(len(f[0]) for f in frames),
            "num_tracker_dets": sum(len(f[1]) for f in frames),
        }
        clear = CLEAR().eval_sequence(data)
        identity = Identity().eval_sequence(data)["IDF1"]
        hota = float(np.mean(HOTA().eval_sequence(data)["HOTA"]))
    return float(identity), float(clear["MOTA"]), hota, float(clear["IDSW"])


@dataclass(frozen=True)
class Steadiness:
    """How a filter follows given identities: rmse px, jitter px (second differences of the error), lag s."""

    rmse: float
    jitter: float
    lag: float


def steadiness(scene: Scene, places: Floats, valid: NDArray[np.bool_]) -> Steadiness:
    """Of places [F, N, K, 2] px; `valid` [F, N] tells when persons count."""
    truth = np.stack([scene.keypoints(time) for time in scene.times])
    error = np.where(valid[..., None, None], places - truth, np.nan)
    second = error[2:] - 2 * error[1:-1] + error[:-2]
    squares = []
    for shift in SHIFTS:
        # Persons are where they were `shift` before; times before the scene's start are left out.
        moved = np.stack([scene.keypoints(max(time - shift, 0.0)) for time in scene.times])
        off = np.where(valid[..., None, None], places - moved, np.nan)[scene.times > SHIFTS[-1]]
        squares.append(np.nanmean((off**2).sum(-1)))
    best = int(np.clip(np.argmin(squares), 1, len(SHIFTS) - 2))
    curve = np.polyfit(SHIFTS[best - 1 : best + 2], squares[best - 1 : best + 2], 2)
    rmse, jitter = (float(np.sqrt(np.nanmean((e**2).sum(-1)))) for e in (error, second))
    return Steadiness(rmse, jitter, float(-curve[1] / (2 * curve[0])))


def given(scene: Scene) -> Floats:
    """[F, N, K, 2] px, the detections of each person; NaN where there are none."""
    raw = np.full((len(scene.times), *scene.motion[:, 0].shape), np.nan)
    for frame, (detections, owners) in enumerate(zip(scene.detections, scene.owners, strict=True)):
        real = owners >= 0
        raw[frame, owners[real]] = detections.keypoints[real]
    return raw
