"""Pictures as batches for training: moved, recoloured, normalised."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from queue import Empty, Queue
from threading import Event, Thread

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from xpose_stream.engines.prompts.example import MEAN, SPREAD
from xpose_stream.training.data.colour import degrade, recolour
from xpose_stream.training.data.dataset import DataError
from xpose_stream.training.data.mixture import Mixture
from xpose_stream.training.data.picture import Picture, crop, join, mirror
from xpose_stream.training.data.targets import Targets

PLAIN = 0.6  # share of pictures whose crop is as large as can be and undistorted
NARROWEST, WIDEST = 0.7, 1.3  # side of the other crops relative to that
DISTORTION = 0.12
TILED = 0.2  # share of images that show several pictures
CUT = 0.5  # share of pictures of another shape that are cut; the others are shown whole, the rest filled
AHEAD = 4  # batches made before they are asked for


def shapes(short: int, long: int) -> list[tuple[tuple[int, int], float]]:
    """Height and width of a batch's images and how often: cameras are mostly 4:3 or 16:9, sometimes upright."""
    wide = min(short, 4 * round(long * 9 / 16 / 4))
    return [((short, long), 0.60), ((wide, long), 0.15), ((long, short), 0.15), ((short, short), 0.10)]


@dataclass(frozen=True, slots=True)
class Batch:
    """Images [B, 3, H, W] float32, normalised, and what they show."""

    images: Tensor
    targets: Targets


def batches(
    data: Mixture, batch: int, sides: tuple[int, int], seed: int, seen: int = 0, rank: int = 0, ranks: int = 1
) -> Generator[Batch, None, None]:
    """Endless augmented batches, made ahead in a thread.

    Every pass takes the pictures that the bank then holds in a new order, of which each rank gets its part. Everything
    random follows from the seed and the number of images seen, so nothing needs to be saved to go on with the same.

    Args:
        batch: images per batch and rank.
        sides: short and long side of the images in px.
        seen: images that all ranks together have already been trained on.

    Raises:
        DataError: there is less than one batch per rank.
    """
    if len(data) < batch * ranks:
        raise DataError(f"There are {len(data)} pictures to train on, fewer than the {batch * ranks} of one step.")
    return _ahead(_batches(data, batch, sides, seed, seen, rank, ranks))


def _batches(
    data: Mixture, batch: int, sides: tuple[int, int], seed: int, seen: int, rank: int, ranks: int
) -> Iterator[Batch]:
    sizes, shares = zip(*shapes(*sides), strict=True)
    together = batch * ranks
    while True:
        data.refresh()
        steps = len(data) // together
        number, done = divmod(seen // together, steps)  # of the pass, and of the steps it has behind it
        order = np.random.default_rng((seed, number)).permutation(len(data))[rank::ranks]
        for start in range(done * batch, steps * batch, batch):
            # The same shape on all ranks: they wait for each other.
            size = sizes[np.random.default_rng((seed, seen, 1)).choice(len(sizes), p=shares)]
            rng = np.random.default_rng((seed, seen, 2, rank))
            read = [_readable(data, index, rng) for index in order[start : start + batch].tolist()]
            pictures, known = [], []
            for one in range(batch):
                shown, rows = [one], tiling(size, rng)
                shown += rng.integers(batch, size=sum(map(len, rows)) - 1).tolist()
                views = iter(shown)
                tiles = [[augment(read[next(views)][1], tile, data.mirrored, rng) for tile in row] for row in rows]
                pictures.append(join(tiles))
                known.append(np.all([data.known(read[i][0]) for i in shown], axis=0))
            yield collate(pictures, np.stack(known))
            seen += together


def _readable(data: Mixture, index: int, rng: np.random.Generator) -> tuple[int, Picture]:
    """A picture with its index: the one asked for, or another where that cannot be read."""
    picture = data.readable(index)
    if picture is not None:
        return index, picture
    for other in rng.permutation(len(data)).tolist():
        picture = data.readable(other)
        if picture is not None:
            return other, picture
    raise DataError("None of the pictures to train on can be read.")


def augment(picture: Picture, size: tuple[int, int], mirrored: NDArray[np.int64], rng: np.random.Generator) -> Picture:
    """A random view of a picture, of the given height and width; `mirrored` [C, K] as `mirror` takes it."""
    if rng.random() < 0.5:
        picture = mirror(picture, mirrored)
    fill = rng.integers(0, 256, 3).tolist()
    picture = crop(picture, random_window(picture.size, size, rng), size, fill)
    rgb = degrade(recolour(picture.rgb, rng), rng)
    return Picture(rgb, picture.boxes, picture.keypoints, picture.classes, picture.ignore, trust=picture.trust)


def tiling(size: tuple[int, int], rng: np.random.Generator) -> list[list[tuple[int, int]]]:
    """Heights and widths of the tiles of an image, row by row: mostly one, else two or four.

    Source: the mosaics of YOLOv4 (Bochkovskiy et al., 2020); things are smaller there, cut by edges, and several.
    """
    height, width = size
    if rng.random() >= TILED:
        return [[size]]
    down, across = ((1, 2), (2, 1), (2, 2))[int(rng.integers(3))]
    tall, wide = (round(side * rng.uniform(0.35, 0.65)) for side in size)
    heights, widths = [height] if down == 1 else [tall, height - tall], [width] if across == 1 else [wide, width - wide]
    return [[(h, w) for w in widths] for h in heights]


def random_window(
    source: tuple[int, int], size: tuple[int, int], rng: np.random.Generator
) -> tuple[int, int, int, int]:
    """Where to crop a picture of (height, width) `source` for one of `size`: x0, y0, x1, y1 in px."""
    height, width = source
    aspect = size[1] / size[0]
    zoom = 1.0
    if rng.random() >= PLAIN:
        zoom = np.exp(rng.uniform(np.log(NARROWEST), np.log(WIDEST)))
        aspect *= np.exp(rng.uniform(-DISTORTION, DISTORTION))
    least, most = sorted((width, height * aspect))
    across = zoom * (least if rng.random() < CUT else most)
    wide, tall = round(across), round(across / aspect)
    x0, y0 = (int(rng.integers(min(0, room), max(0, room), endpoint=True)) for room in (width - wide, height - tall))
    return x0, y0, x0 + wide, y0 + tall


def collate(pictures: Sequence[Picture], known: NDArray[np.bool_]) -> Batch:
    """Pictures of one size as a batch; `known` [B, C] as in Targets."""
    height, width = pictures[0].size
    room = max(1, *(len(picture.boxes) for picture in pictures))
    count, points = len(pictures), pictures[0].keypoints.shape[1]
    extent = np.array((width, height), np.float32)
    boxes = np.zeros((count, room, 4), np.float32)
    keypoints = np.full((count, room, points, 3), -1, np.float32)
    classes = np.zeros((count, room), np.int64)
    real, ignore = np.zeros((count, room), bool), np.zeros((count, room), bool)
    trust = np.ones((count, room, points), np.float32)
    for i, picture in enumerate(pictures):
        n = len(picture.boxes)
        low, high = picture.boxes[:, :2] / extent, picture.boxes[:, 2:] / extent
        boxes[i, :n] = np.concatenate(((low + high) / 2, high - low), -1)
        keypoints[i, :n] = picture.keypoints
        classes[i, :n] = picture.classes
        real[i, :n], ignore[i, :n] = ~picture.ignore, picture.ignore
        if picture.trust is not None:
            trust[i, :n] = picture.trust
    points_xy = np.where(keypoints[..., 2:] > 0, keypoints[..., :2] / extent, 0)
    targets = Targets(
        boxes=torch.from_numpy(boxes),
        keypoints=torch.from_numpy(points_xy),
        visibility=torch.from_numpy(keypoints[..., 2].astype(np.int64)),
        classes=torch.from_numpy(classes),
        real=torch.from_numpy(real),
        ignore=torch.from_numpy(ignore),
        known=torch.from_numpy(known),
        size=(height, width),
        trust=torch.from_numpy(trust),
    )
    return Batch(normalise(torch.from_numpy(np.stack([picture.rgb for picture in pictures]))), targets)


def normalise(rgb: Tensor) -> Tensor:
    """uint8 [B, H, W, 3] to float32 [B, 3, H, W] with ImageNet's mean and spread."""
    mean, spread = torch.tensor((MEAN, SPREAD)).view(2, 3, 1, 1).mul(255)
    planes = rgb.permute(0, 3, 1, 2).contiguous()  # while they are bytes
    return planes.float().sub_(mean).mul_(1 / spread)


def _ahead(items: Iterator[Batch]) -> Generator[Batch, None, None]:
    """The same items, made up to AHEAD in advance by a thread."""
    waiting: Queue[Batch | BaseException] = Queue(AHEAD)
    closed = Event()

    def work() -> None:
        cv2.setNumThreads(1)
        try:
            while not closed.is_set():
                waiting.put(next(items))
        except BaseException as error:  # handed to the one who waits for the next item
            waiting.put(error)

    worker = Thread(target=work, daemon=True, name="batches")
    worker.start()
    try:
        while True:
            item = waiting.get()
            if isinstance(item, BaseException):
                raise item
            yield item
    finally:
        closed.set()
        with suppress(Empty):
            while True:
                waiting.get_nowait()  # lets the thread see that it is over
        worker.join()  # one that still computes when the interpreter ends aborts the process
