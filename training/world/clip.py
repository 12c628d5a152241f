"""The demo clips: persons who walk through a room and cross each other, with the truth of every frame.

    python -m xpose_stream.training.world.clip
    python -m xpose_stream.training.world.clip --company --out configs/demo/company.mp4

Bodies, clothes, textures and walking styles are those of the test split. The video is H.264 without B-frames and with a
key frame every second, so that it can be served as it is; the truth is JSON as
`training.exam.truth.Truth.load` reads it, its pixels as in `truth.Truth`.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Annotated

import av
import numpy as np
import typer
from rich.progress import track

from xpose_stream.engines.prompts.bank import find_skeletons
from xpose_stream.training.world.cast import DISTANCE, Actor, Robot, company, walkers
from xpose_stream.training.world.draw import Draw
from xpose_stream.training.world.render import Renderer
from xpose_stream.training.world.scene import Camera, Scene
from xpose_stream.training.world.texture import texture
from xpose_stream.training.world.truth import Truth, truth

WIDTH, HEIGHT, RATE, SECONDS = 640, 480, 30, 24
FOV = np.radians(36)


def _camera(time: float) -> Camera:
    """The camera, which drifts slowly sideways."""
    drift = 0.15 * np.sin(2 * np.pi * time / SECONDS)
    return Camera.looking(np.array([DISTANCE, drift, 1.45]), np.array([0.0, 0.3 * drift, 0.88]), FOV)


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


Act = Callable[[Draw], list[Actor]]


def film(
    scene: Scene, seed: int, times: np.ndarray, act: Act = walkers
) -> Iterator[tuple[np.ndarray, list[dict[str, object]]]]:
    """Picture uint8 [480, 640, 3] RGB and truth (as in the JSON file) at each of the ascending times [T] s."""
    draw = Draw("test", seed)
    _room(scene, draw)
    actors = act(draw)
    for actor in actors:
        if isinstance(actor, Robot):
            size = np.array([0.28, 0.28, actor.height / 2])
            scene.put("box", np.array([*actor.place, size[2]]), size, np.array([1.0, 0, 0, 0]), np.full(3, 0.37))
    with Renderer(scene, WIDTH, HEIGHT, smooth=True) as renderer:
        renderer.upload()
        for actor in actors:
            scene.add(actor.at(0.0))
        for time in times:
            scene.look(_camera(time))
            for number, actor in enumerate(actors):
                scene.move(number, actor.at(time))
            scene.settle()
            shot = renderer.shoot(shadows=True)
            yield shot.rgb, _rows(truth(scene, shot.depth))


def _rows(seen: Truth) -> list[dict[str, object]]:
    return [
        {
            "id": int(identity),
            "category": category,
            "box": [round(float(v), 1) for v in box],
            "keypoints": [[round(float(x), 1), round(float(y), 1), int(v)] for x, y, v in keypoints],
            "ignore": bool(ignore),
        }
        for identity, category, box, keypoints, ignore in zip(
            seen.identity, seen.category, seen.box, seen.keypoints, seen.ignore, strict=True
        )
    ]


def main(
    out: Annotated[Path, typer.Option(help="Video; its truth goes beside it.")] = Path("configs/demo/crossing.mp4"),
    seed: Annotated[int, typer.Option(help="Random seed.", min=0)] = 3,
    with_company: Annotated[bool, typer.Option("--company", help="A person, a dog, a robot arm and a chair.")] = False,
) -> None:
    """Renders the demo clip and its truth."""
    out.parent.mkdir(parents=True, exist_ok=True)
    scene = Scene(slices=24)
    times = np.arange(SECONDS * RATE) / RATE
    act = company if with_company else walkers
    # High profile, no B-frames, a key frame every second
    options = {"preset": "slow", "crf": "21", "profile": "high", "bf": "0", "sc_threshold": "0", "threads": "1"}
    frames = []
    with av.open(str(out), "w", options={"movflags": "faststart"}) as container:
        stream = container.add_stream("libx264", rate=RATE, options=options)
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        stream.codec_context.gop_size = RATE
        for picture, bodies in track(film(scene, seed, times, act), "Filming", total=len(times)):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
            frames.append(bodies)
        container.mux(stream.encode(None))
    shown = sorted({str(body["category"]) for bodies in frames for body in bodies})
    skeletons = {skeleton.category: list(skeleton.keypoints) for skeleton in find_skeletons(shown)}
    content = {"width": WIDTH, "height": HEIGHT, "fps": RATE, "categories": skeletons, "frames": frames}
    out.with_suffix(".json").write_text(json.dumps(content, separators=(",", ":")))


if __name__ == "__main__":
    typer.run(main)
