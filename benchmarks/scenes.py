"""Scenes with exact truth for trackers: people who walk, cross and hide each other, and what a detector makes of them.

Everything follows from a seed. Motion is known at any time, so that predictions can be measured too.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.bvh import read_person
from xpose_stream.trackers import Detections

Floats = NDArray[np.float64]

WIDTH, HEIGHT = 1280, 720
FOCAL, EYE = 1000.0, 1.6  # px, m above the ground
STEP = 1 / 120  # s, between the places of which motion is interpolated
PERIOD = 1 / 30  # s, of the camera
NEAR, FAR = 6.0, 18.0  # m from the camera, where people walk
SIGMAS = np.array([0.026, 0.025, 0.025, 0.035, 0.035, 0.079, 0.079, 0.072, 0.072, 0.062, 0.062, 0.107, 0.107, 0.087,
                   0.087, 0.089, 0.089])  # fmt: skip


@dataclass(frozen=True)
class Detector:
    """What a detector does wrong; lengths are in sizes, the longer side of a box.

    Attributes:
        noise: mean standard deviation of a coordinate; a keypoint's own is drawn between 0.5 and 1.5 times this.
        slow: share of the noise's variance that stays alike for about 0.3 s.
        outliers: share of the keypoints that lie somewhere else.
        lost: share of the keypoints that are missing, in bursts of about 0.2 s.
        missed: share of the people not detected.
        clutter: false detections per frame.
        jitter: of the time between frames, relative.
        dropped: share of the frames.
    """

    noise: float = 0.017
    slow: float = 0.25
    outliers: float = 0.05
    lost: float = 0.08
    missed: float = 0.1
    clutter: float = 0.4
    jitter: float = 0.15
    dropped: float = 0.06


@dataclass(frozen=True)
class Scene:
    """Truth and detections of one camera.

    Attributes:
        times: [F] s.
        motion: [N, M, K, 2] px, places every `STEP` s from 0 on, longer than `times`.
        detections: one per frame, shuffled.
        owners: per frame the person that each detection is of, -1 for none.
    """

    times: Floats
    motion: Floats
    detections: list[Detections]
    owners: list[NDArray[np.int64]]

    def keypoints(self, time: float) -> Floats:
        """[N, K, 2] px at any time."""
        at = time / STEP
        first = int(at)
        return self.motion[:, first] + (at - first) * (self.motion[:, first + 1] - self.motion[:, first])

    def boxes(self, time: float) -> Floats:
        """[N, 4] px, around the keypoints with a margin of 6 % of the longer side."""
        return boxes_of(self.keypoints(time))

    def present(self, time: float) -> NDArray[np.bool_]:
        """[N] whose middle is in the picture."""
        middle = self.keypoints(time).mean(1)
        return ((middle > 0) & (middle < (WIDTH, HEIGHT))).all(1)


def boxes_of(points: Floats) -> Floats:
    """[N, 4] xyxy px around points [N, K, 2]."""
    low, high = points.min(1), points.max(1)
    margin = 0.06 * (high - low).max(1, keepdims=True)
    return np.concatenate([low - margin, high + margin], 1)


def walkers(people: int, seconds: float, seed: int, detector: Detector | None = None) -> Scene:
    """`people` who walk about on their own ways, turn and stop, before a camera at eye level."""
    rng = np.random.default_rng(seed)
    world = np.stack([_walk(rng, seconds + 1) for _ in range(people)])
    return _seen(rng, world, seconds, detector or Detector())


def captured(path: Path, people: int, seconds: float, seed: int, detector: Detector | None = None) -> Scene:
    """`people` who all move as in a BVH file, from other moments on, at other places, mirrored or not."""
    rng = np.random.default_rng(seed)
    step, person = read_person(path)
    frames = round((seconds + 1) / STEP)
    world = []
    for _ in range(people):
        whole = rng.uniform(0, 2 * len(person) * step)
        at = (whole + STEP * np.arange(frames)) / step % (2 * len(person) - 2)
        at = np.minimum(at, 2 * len(person) - 2 - at)  # to its end and back again
        first = np.minimum(at.astype(int), len(person) - 2)
        points = person[first] + (at - first)[:, None, None] * (person[first + 1] - person[first])
        points = points - [*points[:, 11:13, :2].mean((0, 1)), 0]
        turn = rng.uniform(0, 2 * np.pi)
        points[..., :2] = points[..., :2] @ np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
        if rng.random() < 0.5:
            points[..., 0] *= -1
            points = points[:, [0, 2, 1, 4, 3, 6, 5, 8, 7, 10, 9, 12, 11, 14, 13, 16, 15]]
        world.append(points * rng.uniform(0.92, 1.06) + [rng.uniform(-1.5, 1.5), rng.uniform(NEAR + 2, FAR - 2), 0])
    return _seen(rng, np.stack(world), seconds, detector or Detector())


def _walk(rng: np.random.Generator, seconds: float) -> Floats:
    """[M, 17, 3] m of one person: x to the right, y away from the camera, z up."""
    frames = round(seconds / STEP)
    place = np.empty((frames, 2))
    course = np.empty(frames)
    pace = np.empty(frames)
    usual, speed = rng.uniform(0.9, 1.6), 0.0
    y = rng.uniform(NEAR, FAR)
    here, heading = np.array([rng.uniform(-0.55, 0.55) * y, y]), rng.uniform(0, 2 * np.pi)
    aim, wanted = _aim(rng), usual
    for frame in range(frames):
        if np.linalg.norm(aim - here) < 0.5 or rng.random() < STEP / 8:
            aim = _aim(rng)
        if rng.random() < STEP / 2.5:
            wanted = usual * rng.choice([0.0, 1.0, 1.0, 1.3])
        towards = np.arctan2(*(aim - here)[::-1])
        off = (towards - heading + np.pi) % (2 * np.pi) - np.pi
        heading += np.clip(off, -1, 1) * 2.5 * STEP
        speed += (wanted - speed) * STEP / 0.35
        here = here + STEP * speed * np.array([np.cos(heading), np.sin(heading)])
        place[frame], course[frame], pace[frame] = here, heading, speed
    tall = rng.uniform(1.55, 1.9)
    stride = np.cumsum(2 * np.pi * 0.95 * np.sqrt(np.maximum(pace, 0) / usual) * STEP) + rng.uniform(0, 6.28)
    return _gait(rng, place, course, pace / usual, stride, tall)


def _aim(rng: np.random.Generator) -> Floats:
    y = rng.uniform(NEAR, FAR)
    return np.array([rng.uniform(-0.5, 0.5) * y, y])


def _gait(rng: np.random.Generator, place: Floats, course: Floats, pace: Floats, stride: Floats, tall: float) -> Floats:
    """Limbs that swing with the stride, by angles like those of a person's walk."""
    swing = pace * rng.uniform(0.8, 1.2)
    wave = rng.uniform(0.2, 0.5) * np.sin(2 * np.pi * rng.uniform(0.2, 0.5) * STEP * np.arange(len(place)))
    points = np.zeros((len(place), 17, 3))  # ahead, left, up
    bob = 0.012 * swing * np.cos(2 * stride)
    points[:, :5] = [[0.06, 0, 0.93], [0.05, 0.02, 0.95], [0.05, -0.02, 0.95], [0, 0.045, 0.94], [0, -0.045, 0.94]]
    for side, sign in enumerate((1, -1)):
        leg, arm = stride + np.pi * side, stride + np.pi * (1 - side)
        thigh = 0.45 * swing * np.sin(leg)
        knee = swing * (0.15 + 0.45 * np.maximum(np.sin(leg + 1.9), 0) ** 2 * 1.6)
        upper = 0.4 * swing * np.sin(arm) + wave * (side == 0)
        fore = 0.25 + 0.25 * swing * (1 + np.sin(arm)) + 1.2 * np.abs(wave) * (side == 0)
        hip, shoulder = np.array([0, 0.055 * sign, 0.52]), np.array([0, 0.11 * sign, 0.81])
        points[:, 5 + side], points[:, 11 + side] = shoulder, hip
        points[:, 7 + side] = shoulder + 0.17 * _down(upper)
        points[:, 9 + side] = points[:, 7 + side] + 0.15 * _down(upper + fore)
        points[:, 13 + side] = hip + 0.24 * _down(thigh)
        points[:, 15 + side] = points[:, 13 + side] + 0.24 * _down(thigh - knee)
    points[..., 2] += bob[:, None]
    points *= tall
    c, s = np.cos(course)[:, None], np.sin(course)[:, None]
    ahead, left = points[..., 0].copy(), points[..., 1].copy()
    points[..., 0] = c * ahead - s * left + place[:, :1]
    points[..., 1] = s * ahead + c * left + place[:, 1:]
    return points


def _down(angle: Floats) -> Floats:
    return np.stack([np.sin(angle), np.zeros_like(angle), -np.cos(angle)], 1)


def _seen(rng: np.random.Generator, world: Floats, seconds: float, detector: Detector) -> Scene:
    depth = np.maximum(world[..., 1], 0.5)
    motion = np.stack(
        [WIDTH / 2 + FOCAL * world[..., 0] / depth, HEIGHT / 2 - 60 + FOCAL * (EYE - world[..., 2]) / depth], -1
    )
    times = np.arange(0, seconds, PERIOD)
    times = times + rng.uniform(-1, 1, len(times)) * detector.jitter * PERIOD
    times = np.abs(times[rng.random(len(times)) >= detector.dropped])
    scene = Scene(np.sort(times), motion, [], [])
    n, k = len(world), world.shape[2]
    own = rng.uniform(0.5, 1.5, (n, k)) * detector.noise
    slow = rng.normal(size=(n, k, 2))
    lost = np.zeros((n, k), bool)
    before = times[0]
    for time in scene.times:
        keep = np.exp(-(time - before) / 0.3)
        slow = keep * slow + np.sqrt(1 - keep**2) * rng.normal(size=slow.shape)
        changes = rng.random((n, k)) < np.where(lost, 1, detector.lost / (1 - detector.lost)) * (time - before) / 0.2
        lost = lost ^ changes
        before = time
        far = world[:, round(time / STEP), :, 1].mean(1)
        _add_frame(rng, scene, time, far, own, slow, lost, detector)
    return scene


def _add_frame(
    rng: np.random.Generator, scene: Scene, time: float, far: Floats, own: Floats, slow: Floats,
    lost: NDArray[np.bool_], detector: Detector,
) -> None:  # fmt: skip
    points, boxes = scene.keypoints(time), scene.boxes(time)
    size = (boxes[:, 2:] - boxes[:, :2]).max(1)
    present = scene.present(time)
    k = lost.shape[1]
    found: list[tuple[Floats, float, Floats, Floats, int]] = []
    for i in np.flatnonzero(present):
        nearer = boxes[present & (far < far[i])]
        inner = np.stack([nearer[:, :2] + 0.12 * (nearer[:, 2:] - nearer[:, :2]), nearer[:, 2:]], 1)
        within: NDArray[np.bool_] = (points[i, :, None] > inner[None, :, 0]) & (points[i, :, None] < inner[None, :, 1])
        hidden: NDArray[np.bool_] = np.any(np.all(within, -1), 1)
        share = hidden.mean()
        if rng.random() < (0.85 if share > 0.75 else detector.missed + 0.2 * share):
            continue
        doubt = own[i] * np.exp(rng.normal(0, 0.25)) * np.where(hidden, 1.8, 1.0)
        white = rng.normal(size=(k, 2))
        error = np.sqrt(1 - detector.slow) * white + np.sqrt(detector.slow) * slow[i]
        wild = np.asarray(rng.random(k) < detector.outliers)
        error[wild] = rng.normal(size=(int(wild.sum()), 2)) * 6
        seen = points[i] + doubt[:, None] * size[i] * error
        seen[lost[i] | (hidden & (rng.random(k) < 0.3))] = np.nan
        box = boxes[i] + rng.normal(0, 0.018, 4) * size[i]
        score = np.clip(rng.normal(0.78, 0.1) - 0.4 * share, 0.05, 0.99)
        confidence = np.clip(1 - doubt / 0.06 + rng.normal(0, 0.1, k), 0.05, 1.0)
        found.append((box, float(score), seen, confidence, int(i)))
    for _ in range(rng.poisson(detector.clutter)):
        found.append(_clutter(rng, points, boxes, k))
    rng.shuffle(found)
    columns = list(zip(*found, strict=True)) if found else [np.empty((0, *s)) for s in ((4,), (), (k, 2), (k,), ())]
    box, score, seen, confidence, owner = (np.array(column) for column in columns)
    scene.detections.append(Detections(box, score, np.zeros(len(found), np.int64), seen, confidence))
    scene.owners.append(owner.astype(np.int64))


def _clutter(
    rng: np.random.Generator, points: Floats, boxes: Floats, k: int
) -> tuple[Floats, float, Floats, Floats, int]:
    """A false detection: half of them somewhere, half beside a person, with a score that is mostly low."""
    like = int(rng.integers(len(points)))
    size = (boxes[like, 2:] - boxes[like, :2]).max()
    away = rng.normal(0, 0.5, 2) * size if rng.random() < 0.5 else rng.uniform((0, 200), (WIDTH, 500)) - boxes[like, :2]
    seen = points[like] + away + rng.normal(0, 0.05, (k, 2)) * size
    score = float(np.clip(rng.normal(0.4, 0.15), 0.05, 0.9))
    return boxes_of(seen[None])[0], score, seen, np.full(k, 0.3), -1
