"""A bank of rendered pictures with their truth, made ahead of training.

    python -m training.bank --out data/bank --images 60000 --seed 1 --workers 2

A bank is a folder of `shard-00000.npz`, `shard-00001.npz`, …, 1000 pictures each, written atomically: a file that
exists is complete, and a run that was cut off goes on with those that are missing. A shard depends on the split, the
seed and its number only. Its arrays are the fields of `xpose_stream.training.data.shard.Shard`.
"""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Sequence
from concurrent.futures import FIRST_EXCEPTION, ProcessPoolExecutor, wait
from functools import partial
from multiprocessing.sharedctypes import Synchronized
from pathlib import Path
from typing import Annotated

import cv2
import numpy as np
import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TimeElapsedColumn, TimeRemainingColumn

from xpose_stream.training.data.shard import Shard, write_shard
from xpose_stream.training.world.category import CATEGORIES, LONGEST, TRAINED, UNSEEN, Category
from xpose_stream.training.world.draw import SPLITS, Draw
from xpose_stream.training.world.lens import expose
from xpose_stream.training.world.moment import compose
from xpose_stream.training.world.render import Renderer
from xpose_stream.training.world.scene import Scene
from xpose_stream.training.world.truth import truth

WIDTH, HEIGHT = 256, 192
PER_SHARD = 1000
# drawn larger and averaged: cheaper and finer than OpenGL's own smoothing on a processor
OVERSAMPLE = 1.5
REPAINT = 16
PLAIN = 0.8  # of the surfaces
QUALITY = 90
BANKS = (*SPLITS, "unseen")


_drawn: Synchronized[int] | None = None


def _count(value: Synchronized[int]) -> None:
    global _drawn
    _drawn = value


def render_shard(draw: Draw, images: int, first: Sequence[Category] = TRAINED) -> Shard:
    """Renders a shard of so many pictures from a random stream, each with at least one body of the `first` categories.

    The others are of those or of the trained categories.
    """
    others = first if first is TRAINED else (*first, *TRAINED)
    scene = Scene(slices=9)
    scene.model.vis.quality.shadowsize = 512
    jpegs: list[np.ndarray] = []
    truths = []
    with Renderer(scene, round(WIDTH * OVERSAMPLE), round(HEIGHT * OVERSAMPLE)) as renderer:
        for index in range(images):
            if index % REPAINT == 0:
                scene.paint(draw, PLAIN)
                renderer.upload()
            compose(scene, draw, WIDTH / HEIGHT, first, others)
            shot = renderer.shoot(shadows=draw.chance(0.3))
            truths.append(truth(scene, shot.depth, OVERSAMPLE))
            small = cv2.resize(shot.rgb, (WIDTH, HEIGHT), interpolation=cv2.INTER_AREA)
            bgr = cv2.cvtColor(expose(draw, small), cv2.COLOR_RGB2BGR)
            jpegs.append(cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, QUALITY])[1])
            if _drawn is not None:
                with _drawn.get_lock():
                    _drawn.value += 1
    counts = [len(one.identity) for one in truths]
    names = [name for one in truths for name in one.category]
    return Shard(
        jpeg=np.concatenate(jpegs),
        offsets=np.concatenate([[0], np.cumsum([len(coded) for coded in jpegs])]).astype(np.int64),
        categories=np.array(CATEGORIES),
        image=np.repeat(np.arange(images), counts).astype(np.int32),
        category=np.array([CATEGORIES.index(name) for name in names], np.int16),
        identity=np.concatenate([one.identity for one in truths]),
        box=np.concatenate([one.box for one in truths]),
        keypoints=_padded([points for one in truths for points in one.keypoints]),
        ignore=np.concatenate([one.ignore for one in truths]),
    )


def _padded(keypoints: list[np.ndarray]) -> np.ndarray:
    """Keypoints float32 [P, LONGEST, 3] of P arrays [K, 3]."""
    rows = np.full((len(keypoints), LONGEST, 3), (np.nan, np.nan, 0.0), np.float32)
    for row, points in zip(rows, keypoints, strict=True):
        row[: len(points)] = points
    return rows


def _make(split: str, seed: int, number: int, images: int, path: Path) -> None:
    draw = Draw("train" if split == "train" else "test", seed, number)
    write_shard(path, render_shard(draw, images, UNSEEN if split == "unseen" else TRAINED))


def main(
    out: Annotated[Path, typer.Option(help="Folder of the bank.")],
    images: Annotated[int, typer.Option(help="How many pictures.", min=1)] = 60_000,
    seed: Annotated[int, typer.Option(help="Random seed.", min=0)] = 1,
    split: Annotated[
        str, typer.Option(help="train; test for what is held out; unseen for categories never trained.")
    ] = "train",
    workers: Annotated[int, typer.Option(help="Processes.", min=1)] = 2,
) -> None:
    """Renders a bank of pictures ahead of training; what exists is kept."""
    if split not in BANKS:
        raise typer.BadParameter(f"split is {split!r}; it must be one of {', '.join(BANKS)}")
    out.mkdir(parents=True, exist_ok=True)
    context = multiprocessing.get_context("spawn")
    drawn: Synchronized[int] = context.Value("q", 0)
    jobs = []
    for number, first in enumerate(range(0, images, PER_SHARD)):
        path = out / f"shard-{number:05d}.npz"
        size = min(PER_SHARD, images - first)
        if not path.exists():
            jobs.append(partial(_make, split, seed, number, size, path))
        else:
            drawn.value += size
    columns = (
        BarColumn(),
        MofNCompleteColumn(),
        "{task.fields[rate]} pictures/s",
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with (
        ProcessPoolExecutor(workers, mp_context=context, initializer=_count, initargs=(drawn,)) as pool,
        Progress(*columns, console=Console(), refresh_per_second=1) as progress,
    ):
        task = progress.add_task("", total=images, completed=drawn.value, rate="–")
        before, begun = drawn.value, time.monotonic()
        pending = {pool.submit(job) for job in jobs}
        while pending:
            done, pending = wait(pending, timeout=1.0, return_when=FIRST_EXCEPTION)
            for future in done:
                future.result()
            rate = (drawn.value - before) / (time.monotonic() - begun)
            progress.update(task, completed=drawn.value, rate=f"{rate:.0f}")


if __name__ == "__main__":
    typer.run(main)
