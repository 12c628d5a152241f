"""Train X-Pose, with the encoders of its prompts, on rendered banks and annotated pictures.

    torchrun --nproc-per-node 2 -m xpose_stream.run_stream train --data data/bank --test data/bank-test --out out/nano

Two processes of one thread each are faster on two cores than one process of two. `last.pt` in the folder is written
every few minutes; after an interruption of any kind the same command with `--resume` goes on from there. `curve.csv`
and `curve.png` show the course; `xpose.safetensors` is the averaged model at the end, `--export` writes it before.
"""

from __future__ import annotations

import ctypes
import os
import shlex
import signal
import sys
import time
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import asdict, dataclass, field, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
import torch.distributed as distributed
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from xpose_stream.engines.checkpoint import Checkpoint, load, save
from xpose_stream.engines.xpose.text import WordEncoder
from xpose_stream.training.data.batches import batches
from xpose_stream.training.data.coco import Problems
from xpose_stream.training.data.dataset import DataError, make_folder
from xpose_stream.training.data.mixture import Mixture
from xpose_stream.training.data.sources import open_sources
from xpose_stream.training.exam.validation import validate
from xpose_stream.training.learning.curve import Curve, plot
from xpose_stream.training.learning.prompted import Prompted
from xpose_stream.training.learning.sampling import compile_sampling
from xpose_stream.training.learning.start import start
from xpose_stream.training.learning.trainer import Recipe, Trainer

VALIDATE_EVERY = 480.0  # seconds
ROWS_PER_SAVE = 9
CHECKPOINT = "xpose.safetensors"


@dataclass(frozen=True, slots=True)
class Order:
    """What to train; see `xpose-stream train --help`."""

    data: Sequence[str]
    out: Path
    recipe: Recipe
    test: Sequence[str] = field(default_factory=tuple)
    without: Sequence[str] = field(default_factory=tuple)
    weights: Path | None = None
    clip: Path | None = None
    problems: Problems = "skip"
    empty: bool = False  # keep pictures without instances
    resume: bool = False
    save_every: float = 180.0  # seconds


def train(order: Order) -> None:
    """Train until the images are used up, or Ctrl-C or SIGTERM. Raises DataError, CheckpointError or PromptError."""
    with processes() as device:
        run = Run(order, device)
        run.begin()
        test = open_sources(order.test, without=order.without) if run.first and order.test else None
        run.train(test)


def export(order: Order, path: Path) -> None:
    """Only write the averaged model of a training that is under way, or was."""
    with processes() as device:
        run = Run(order, device)
        run.recipe = run.resume()
        if run.first:
            run.export(path)


class Run:
    """A training with its folder: what is written when."""

    def __init__(self, order: Order, device: torch.device) -> None:
        torch.manual_seed(order.recipe.seed)
        self.order, self.recipe, self.out = order, order.recipe, order.out
        self.data = open_sources(order.data, order.problems, order.without, order.empty)
        self.tracker = load(order.weights).tracker if order.weights else {}
        prompted, self.origin = start(self.data.skeletons, order.weights, order.clip)
        self.data.require_room(prompted.model.config.max_keypoints)
        self.trainer = Trainer(prompted, self.data, order.recipe, device)
        self.last = self.out / "last.pt"
        self.first = self.trainer.rank == 0
        self.metrics: dict[str, float] = {}

    def begin(self) -> None:
        """Start anew, or go on from what was saved. Raises DataError rather than overwrite a training."""
        make_folder(self.out)
        if self.last.exists():
            if not self.order.resume:
                raise DataError(f"{self.last} exists; add --resume to go on with it or choose another --out.")
            self.resume()

    def resume(self) -> Recipe:
        """Go on where it was saved, and the recipe until there. Raises DataError when nothing was saved."""
        if not self.last.exists():
            raise DataError(f"There is no {self.last}; train first.")
        return self.trainer.load(self.last)

    def train(self, test: Mixture | None) -> None:
        """Until the images are used up or a signal comes; both end with everything saved."""
        trainer, recipe, config = self.trainer, self.recipe, self.trainer.prompted.model.config
        sides = config.short_side, config.long_side
        ranks = {"rank": trainer.rank, "ranks": trainer.ranks}
        source = batches(self.data, recipe.batch, sides, recipe.seed, trainer.images, **ranks)
        curve = Curve(self.out / "curve.csv", trainer.images) if self.first else None
        clock = Clock()
        sums: dict[str, Any] = defaultdict(float)
        stop, steps, begun = False, 0, trainer.minutes
        with closing(source), interruptible() as interrupted, Report(recipe.images, self.first) as report:
            while trainer.images < recipe.images and not stop:
                parts, stop = trainer.step(next(source), interrupted())
                if curve is None:
                    continue
                steps += 1
                for name, part in parts.items():
                    sums[name] = sums[name] + part
                trainer.minutes = begun + clock.minutes
                done = stop or trainer.images >= recipe.images
                checked = test is not None and (clock.due("validate", VALIDATE_EVERY) or (done and not stop))
                if done or checked or clock.due("row", self.order.save_every / ROWS_PER_SAVE):
                    row = {name: float(total) / steps for name, total in sums.items()}
                    row |= {"images": trainer.images, "minutes": trainer.minutes, "rate": trainer.rate}
                    row["images_per_s"] = steps * recipe.batch * trainer.ranks / clock.lap()
                    if checked and test is not None:
                        row |= self.check(test)
                        clock.lap()
                    curve.add(row)
                    report.show(row)
                    sums.clear()
                    steps = 0
                if done or clock.due("save", self.order.save_every):
                    trainer.save(self.last)
        if curve is not None:
            self.finish(curve, stop)

    def averaged(self) -> Checkpoint:
        """The average as what can be prompted."""
        prompted = self.trainer.average.module
        assert isinstance(prompted, Prompted)
        text = prompted.text
        assert text is None or isinstance(text, WordEncoder)
        return Checkpoint(prompted.model, text, clip=self.origin)

    def check(self, test: Mixture) -> dict[str, float]:
        """Validate the average."""
        clip = str(self.order.clip) if self.order.clip else None
        self.metrics = validate(self.averaged(), test, clip=clip)
        return self.metrics

    def finish(self, curve: Curve, stopped: bool) -> None:
        """Draw the curve and, when the training is over, write the checkpoint."""
        plot(curve.path, self.out / "curve.png")
        if stopped:
            print(f"Stopped and saved at {self.trainer.images} images; --resume goes on.")
        else:
            self.export(self.out / CHECKPOINT)

    def export(self, path: Path) -> None:
        """Write the average as a checkpoint of the product."""
        averaged, trainer = self.averaged(), self.trainer
        begin = ["python"] if trainer.ranks == 1 else ["torchrun", "--nproc-per-node", str(trainer.ranks)]
        provenance = {
            "command": shlex.join([*begin, *sys.argv]),
            "recipe": asdict(self.recipe),
            "categories": [skeleton.category for skeleton in self.data.skeletons],
            "processes": trainer.ranks,
            "device": str(trainer.device),
            "images": trainer.images,
            "minutes": round(trainer.minutes, 1),
            "pictures": len(self.data),
            "validation": self.metrics,
            "torch": torch.__version__,
            "written": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        save(path, replace(averaged, provenance=provenance, tracker=self.tracker))
        print(f"Wrote {path}.")


class Clock:
    """Wall time of this run and when something is due again."""

    def __init__(self) -> None:
        self._start = self._lap = time.monotonic()
        self._last: dict[str, float] = {}

    @property
    def minutes(self) -> float:
        """Since the start."""
        return (time.monotonic() - self._start) / 60

    def due(self, what: str, every: float) -> bool:
        """True once in so many seconds."""
        now = time.monotonic()
        if now - self._last.get(what, self._start) < every:
            return False
        self._last[what] = now
        return True

    def lap(self) -> float:
        """Seconds since the last call."""
        now = time.monotonic()
        self._lap, last = now, self._lap
        return now - last


class Report:
    """A progress bar on a terminal, plain lines elsewhere, nothing in processes but the first."""

    def __init__(self, images: int, visible: bool) -> None:
        console = Console()
        self._visible, self._live = visible, visible and console.is_terminal
        columns = BarColumn(), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("{task.description}")
        self._progress = Progress(*columns, console=console, disable=not self._live, refresh_per_second=1)
        self._task = self._progress.add_task("", total=images)

    def __enter__(self) -> Report:
        self._progress.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._progress.stop()

    def show(self, row: dict[str, float]) -> None:
        """Tell what a row of the curve says."""
        names = (
            "loss",
            "class",
            "keypoint",
            "contrast",
            "gradient",
            "images_per_s",
            "PCK@0.1",
            "PCK@0.1 by example",
            "AP",
        )
        line = "  ".join(f"{name} {row[name]:.3g}" for name in names if name in row)
        if self._live:
            self._progress.update(self._task, completed=row["images"], description=line)
        elif self._visible:
            print(f"{int(row['images']):8d} images  {row['minutes']:6.1f} min  {line}", flush=True)


@contextmanager
def processes() -> Iterator[torch.device]:
    """The device of this process, joined to the others that torchrun started."""
    cuda, cards = torch.cuda.is_available(), torch.cuda.device_count()
    together = int(os.environ.get("WORLD_SIZE", "1")) > 1
    device = torch.device(f"cuda:{int(os.environ.get('LOCAL_RANK', '0')) % cards}" if cuda else "cpu")
    if not cuda:
        torch.set_num_threads(1 if together else os.cpu_count() or 1)
        keep_memory()
        compile_sampling()
    if together:
        # NCCL takes one process a card; several keep a card busy that a small model does not.
        alone = int(os.environ.get("LOCAL_WORLD_SIZE", "1")) <= cards
        distributed.init_process_group("nccl" if cuda and alone else "gloo")
    try:
        yield device
    finally:
        if together:
            distributed.destroy_process_group()


def keep_memory() -> None:
    """Let malloc keep what was freed: fetching the same pages anew in every step costs a quarter of the time."""
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        trim_threshold, mmap_threshold = -1, -3
        mallopt(mmap_threshold, 1 << 30)
        mallopt(trim_threshold, (1 << 31) - 1)


@contextmanager
def interruptible() -> Iterator[Callable[[], bool]]:
    """Ctrl-C and SIGTERM only take note; the yielded function tells whether one came."""
    came: list[int] = []
    signals = signal.SIGINT, signal.SIGTERM
    before = {number: signal.signal(number, lambda number, _: came.append(number)) for number in signals}
    try:
        yield lambda: bool(came)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
