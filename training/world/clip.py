"""The demo clip: persons who walk through a room and cross each other, with the truth of every frame.

    python -m training.world.clip

Bodies, clothes, textures and walking styles are those of the test split. The video is H.264 without B-frames and with a
key frame every second, so that it can be served as it is; the truth is JSON, its pixels as in `truth.Truth`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated

import av
import numpy as np
import typer
from rich.progress import track

from training.world.draw import Draw
from training.world.figure import KEYPOINTS, PART, PARTS, Figure
from training.world.pose import Gait, rotations, walk, within_limits
from training.world.render import Renderer
from training.world.scene import Camera, Scene
from training.world.texture import texture
from training.world.truth import Truth, truth

WIDTH, HEIGHT, RATE, SECONDS = 640, 480, 30, 24
FOV = np.radians(36)
DISTANCE = 4.5
LANES = (0.5, 0.0, -0.5)  # m, towards the camera
PERIOD = 9.0  # s, of a walk to and fro
STILL = np.zeros((len(PARTS), 3))


@dataclass(frozen=True, slots=True)
class Route:
    """A smooth closed path on the floor: amplitudes (m) and phases (rad) of x and y [2, 2]."""

    amplitude: np.ndarray
    phase: np.ndarray
    centre: np.ndarray

    @classmethod
    def across(cls, lane: float, phase: float, draw: Draw) -> Route:
        """To and fro across the view (y) in a lane (x)."""
        half = (DISTANCE - lane) * np.tan(0.5 * FOV) * WIDTH / HEIGHT
        amplitude = np.array([[0.12, draw.uniform(0, 0.03)], [half - draw.uniform(0.45, 0.55), draw.uniform(0, 0.05)]])
        # x a quarter of a walk ahead of y: an ellipse, on which nobody turns on the spot
        phases = np.array([[phase + 0.5 * np.pi, 0.0], [phase, 0.0]])
        return cls(amplitude, phases, np.array([lane, 0.0]))

    def at(self, time: np.ndarray) -> np.ndarray:
        """Places [T, 2] m at times [T] s."""
        angle = 2 * np.pi / PERIOD * time[:, None, None] * np.array([1, 2]) + self.phase
        return self.centre + (self.amplitude * np.sin(angle)).sum(-1)


@dataclass(frozen=True, slots=True)
class Gesture:
    """Something an arm does from a time to a time, s."""

    kind: str
    side: str
    begin: float
    end: float

    def blend(self, pose: np.ndarray, time: float) -> None:
        """Moves the arm of a pose as far as the gesture has got."""
        ramp = np.clip(min(time - self.begin, self.end - time) / 0.5, 0, 1)
        share = ramp * ramp * (3 - 2 * ramp)
        arm, bend = {
            "wave": ((0.2, 2.3, 0.2), 0.75 + 0.45 * np.sin(2 * np.pi * 1.6 * time)),
            "reach": ((1.55, 0.15, 0.1), 0.25),
            "phone": ((0.75, 0.35, 0.35), 2.25),
        }[self.kind]
        upper, fore = PART[f"{self.side}_arm"], PART[f"{self.side}_forearm"]
        pose[upper] += share * (np.array(arm) - pose[upper])
        pose[fore, 0] += share * (bend - pose[fore, 0])


@dataclass(frozen=True, slots=True)
class Walker:
    """A figure on its way: its style, its route and what it does."""

    figure: Figure
    gait: Gait
    route: Route
    gestures: tuple[Gesture, ...]


def _camera(time: float) -> Camera:
    """The camera, which drifts slowly sideways."""
    drift = 0.15 * np.sin(2 * np.pi * time / SECONDS)
    return Camera.looking(np.array([DISTANCE, drift, 1.45]), np.array([0.0, 0.3 * drift, 0.88]), FOV)


def _routes(draw: Draw) -> list[Route]:
    """A walk per lane, evenly out of step: any two walkers cross at the middle of their walks, when both are fast."""
    return [Route.across(lane, 2 * np.pi * i / len(LANES), draw) for i, lane in enumerate(LANES)]


def _walkers(draw: Draw) -> list[Walker]:
    plans = (
        (Gesture("wave", "right", 2.5, 5.5), Gesture("reach", "left", 12.2, 14.7)),
        (Gesture("phone", "left", 6, 11),),
        (Gesture("reach", "right", 9, 11), Gesture("wave", "left", 18, 21.5)),
    )
    walkers = []
    for route, gestures in zip(_routes(draw), plans, strict=True):
        figure = Figure.random(draw)
        # nobody goes out in underwear
        figure = replace(figure, outfit=replace(figure.outfit, leggings=max(1, figure.outfit.leggings)))
        walkers.append(Walker(figure, Gait.random(draw), route, gestures))
    return walkers


def _stride(walker: Walker, speed: float) -> Gait:
    """The walker's gait at a speed (m/s): slower steps are shorter, lower and less frequent."""
    gait, leg = walker.gait, sum(walker.figure.build.legs)
    period = gait.period * float(np.clip(speed, 0.35, 1.6)) ** -0.4
    ease = min(1.0, speed / 0.9)
    return replace(
        gait,
        step=min(speed * gait.duty * period / leg, 1.1),
        period=period,
        lift=min(gait.lift, 0.14) * ease,
        swing=(0.25 + 0.5 * gait.swing) * ease,
        elbow=0.5 * gait.elbow,
        lean=0.6 * gait.lean,
    )


def _room(scene: Scene, draw: Draw) -> None:
    """A quiet room with some furniture behind and beside the walkers."""
    scene.clear()
    scene.paint(draw)
    for name, tint, contrast in (("floor", (0.62, 0.52, 0.42), 0.25), ("wall", (0.62, 0.68, 0.72), 0.12)):
        grey = texture(draw, 128).mean(axis=2, keepdims=True) / 255 - 0.5
        scene.cover(name, (np.clip(np.array(tint) + contrast * grey, 0, 1) * 255).astype(np.uint8))
    scene.wall(0, True, np.array([-3.2, 0, 2.0]), np.array([0.1, 9.0, 2.0]), 0.0)
    scene.wall(1, False, np.zeros(3), np.ones(3), 0.0)
    upright = np.array([1.0, 0, 0, 0])
    turned = np.array([np.cos(0.3), 0, 0, np.sin(0.3)])
    for kind, at, size, turn, rgb in (
        ("box", (-2.7, -2.1, 0.45), (0.3, 0.7, 0.45), upright, (0.45, 0.30, 0.20)),
        ("sphere", (-2.7, -2.3, 1.08), (0.18, 0.1, 0.1), upright, (0.85, 0.75, 0.35)),
        ("cylinder", (-2.5, 2.2, 0.3), (0.35, 0.3, 0.1), upright, (0.30, 0.42, 0.40)),
        ("capsule", (-2.8, 3.1, 0.85), (0.05, 0.8, 0.1), upright, (0.2, 0.2, 0.22)),
        ("ellipsoid", (-2.8, 3.1, 1.75), (0.28, 0.28, 0.2), upright, (0.93, 0.88, 0.72)),
        ("box", (-3.05, 0.5, 1.75), (0.05, 0.75, 0.45), upright, (0.25, 0.38, 0.52)),
        ("box", (-1.9, -3.0, 0.25), (0.3, 0.3, 0.25), turned, (0.70, 0.35, 0.25)),
    ):
        scene.put(kind, np.array(at), np.array(size), turn, np.array(rgb))
    colours = np.array([[0.62, 0.60, 0.55], [0.16, 0.18, 0.22]])
    scene.light(np.array([-0.7, 0.45, -1.1]), np.array([-0.5, -1.0, -0.8]), colours, 0.38)


def film(scene: Scene, seed: int, times: np.ndarray) -> Iterator[tuple[np.ndarray, list[dict[str, object]]]]:
    """Picture uint8 [480, 640, 3] RGB and truth (as in the JSON file) at each of the ascending times [T] s."""
    draw = Draw("test", seed)
    _room(scene, draw)
    walkers = _walkers(draw)
    for walker in walkers:
        scene.add(walker.figure.body().put(rotations(STILL), np.zeros(2)))
    phases = draw.rng.random(len(walkers))
    with Renderer(scene, WIDTH, HEIGHT, smooth=True) as renderer:
        renderer.upload()
        last = 0.0
        for time in times:
            scene.look(_camera(time))
            for number, walker in enumerate(walkers):
                before, at, after = walker.route.at(time + np.array([-0.05, 0.0, 0.05]))
                way = (after - before) / 0.1
                gait = _stride(walker, float(np.linalg.norm(way)))
                phases[number] += (time - last) / gait.period
                pose = walk(phases[number], gait, walker.figure.build)
                for gesture in walker.gestures:
                    gesture.blend(pose, time)
                heading = float(np.arctan2(way[1], way[0]))
                scene.move(number, scene.placed[number].body.put(rotations(within_limits(pose)), at, heading))
            last = time
            scene.settle()
            shot = renderer.shoot(shadows=True)
            yield shot.rgb, _rows(truth(scene, shot.depth))


def _rows(seen: Truth) -> list[dict[str, object]]:
    return [
        {
            "id": int(person),
            "box": [round(float(v), 1) for v in box],
            "keypoints": [[round(float(x), 1), round(float(y), 1), int(v)] for x, y, v in keypoints],
            "ignore": bool(ignore),
        }
        for person, box, keypoints, ignore in zip(seen.identity, seen.box, seen.keypoints, seen.ignore, strict=True)
    ]


def main(
    out: Annotated[Path, typer.Option(help="Video; its truth goes beside it.")] = Path("configs/demo/crossing.mp4"),
    seed: Annotated[int, typer.Option(help="Random seed.", min=0)] = 3,
) -> None:
    """Renders the demo clip and its truth."""
    out.parent.mkdir(parents=True, exist_ok=True)
    times = np.arange(SECONDS * RATE) / RATE
    # High profile, no B-frames, a key frame every second
    options = {"preset": "slow", "crf": "21", "profile": "high", "bf": "0", "sc_threshold": "0", "threads": "1"}
    frames = []
    with av.open(str(out), "w", options={"movflags": "faststart"}) as container:
        stream = container.add_stream("libx264", rate=RATE, options=options)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.codec_context.gop_size = RATE
        for picture, persons in track(film(Scene(slices=24), seed, times), "Filming", total=len(times)):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            frames.append(persons)
        container.mux(stream.encode(None))
    content = {
        "width": WIDTH,
        "height": HEIGHT,
        "fps": RATE,
        "category": "person",
        "keypoints": KEYPOINTS,
        "frames": frames,
    }
    out.with_suffix(".json").write_text(json.dumps(content, separators=(",", ":")))


if __name__ == "__main__":
    typer.run(main)
