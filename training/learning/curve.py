"""The course of a training as a CSV file, and a picture of it."""

from __future__ import annotations

import csv
from collections.abc import Mapping
from pathlib import Path

from xpose_stream.training.exam.validation import METRICS

LOSSES = ("loss", "class", "box", "giou", "keypoint", "oks", "beside", "heat", "dense", "denoising", "contrast")
GUESS = ("centre", "place", "guessed box")  # where there is a first guess
COLUMNS = ("images", "minutes", *LOSSES, *GUESS, "confidence", "rate", "gradient", "images_per_s", *METRICS)


class Curve:
    """One row per moment; validation's columns are empty where there was none."""

    def __init__(self, path: Path, images: int) -> None:
        """Go on after that number of images: rows of a course that was not saved are dropped."""
        self.path = path
        kept = [row for row in read(path) if row["images"] <= images] if path.exists() else []
        with path.open("w", newline="") as file:
            writer = csv.DictWriter(file, COLUMNS)
            writer.writeheader()
            writer.writerows(kept)

    def add(self, row: Mapping[str, float]) -> None:
        """Append a row at once."""
        with self.path.open("a", newline="") as file:
            rounded = {name: float(f"{value:.5g}") for name, value in row.items() if name != "images"}
            csv.DictWriter(file, COLUMNS).writerow({"images": int(row["images"])} | rounded)


def read(path: Path) -> list[dict[str, float]]:
    """The rows of a curve, without their empty columns."""
    with path.open(newline="") as file:
        return [{name: float(value) for name, value in row.items() if value} for row in csv.DictReader(file)]


def plot(path: Path, picture: Path) -> None:
    """Draw a curve's loss and validation over the images seen."""
    from matplotlib.figure import Figure  # needed at the end of a training only

    rows = read(path)
    figure = Figure((9, 4), layout="constrained")
    left, right = figure.subplots(1, 2)
    for name in ("loss", "dense"):
        known = [row for row in rows if name in row]
        left.plot([row["images"] for row in known], [row[name] for row in known], label=name, linewidth=1)
    for name in METRICS:
        known = [row for row in rows if name in row]
        right.plot([row["images"] for row in known], [row[name] for row in known], label=name, marker=".", linewidth=1)
    left.set(title="training loss", xlabel="images", yscale="log")
    right.set(title="validation", xlabel="images", ylim=(0, 1))
    for axes in (left, right):
        axes.grid(alpha=0.3)
        axes.legend(fontsize="small")
    figure.savefig(picture, dpi=110)
