"""Ground truth of a clip: who is where in every frame."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpose_stream.error import UserError


class TruthError(UserError):
    """A file of ground truth cannot be read as one; the sentence says what is wrong and where."""


@dataclass(frozen=True, slots=True)
class Instance:
    """One thing in one frame.

    Attributes:
        id: identity, the same in every frame of the clip.
        box: [4] xyxy px.
        keypoints: [K, 3] x, y px and COCO's visibility: 0 not annotated, 1 annotated though hidden, 2 visible.
        ignore: too small or too hidden to be demanded; neither finding nor missing it counts.
        area: silhouette in px^2; None where it is unknown.
    """

    id: int
    box: NDArray[np.float64]
    keypoints: NDArray[np.float64]
    ignore: bool = False
    area: float | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "box", np.asarray(self.box, np.float64))
        object.__setattr__(self, "keypoints", np.asarray(self.keypoints, np.float64))
        if self.box.shape != (4,) or self.keypoints.ndim != 2 or self.keypoints.shape[1] != 3:
            raise TruthError(
                f"Instance {self.id} needs a box of shape [4] and keypoints of shape [K, 3], "
                f"not {list(self.box.shape)} and {list(self.keypoints.shape)}."
            )


@dataclass(frozen=True, slots=True)
class Truth:
    """Ground truth of a clip; `frames[category][i]` holds that category's instances in frame i.

    Attributes:
        fps: frames per second; frame i is at i / fps seconds.
        width, height: picture in px.
        categories: of each category the names of its keypoints.
        frames: of each category per frame its instances, possibly none; ids are unique over all categories.
    """

    fps: float
    width: int
    height: int
    categories: dict[str, tuple[str, ...]]
    frames: dict[str, tuple[tuple[Instance, ...], ...]]

    def __post_init__(self) -> None:
        for category, keypoints in self.categories.items():
            for index, frame in enumerate(self.frames[category]):
                for instance in frame:
                    if len(instance.keypoints) != len(keypoints):
                        raise TruthError(
                            f"Frame {index}, instance {instance.id} has {len(instance.keypoints)} keypoints, "
                            f"but a {category} has {len(keypoints)}."
                        )

    @classmethod
    def load(cls, path: str | Path) -> Truth:
        """Read a clip's JSON: fps, width, height, categories (name: its keypoints) and frames, a list per frame of
        {"id", "category", "box": [x0, y0, x1, y1], "keypoints": [[x, y, v], ...], "ignore", "area" where known}.

        Raises:
            TruthError: the file is missing, is not JSON or lacks a field.
        """
        try:
            data = json.loads(Path(path).read_text(encoding="utf-8"))
            named = {row["category"] for frame in data["frames"] for row in frame}
            if strange := named - set(data["categories"]):
                raise TruthError(f"the clip's categories lack {', '.join(sorted(map(str, strange)))}.")
            return cls(
                fps=float(data["fps"]),
                width=int(data["width"]),
                height=int(data["height"]),
                categories={str(name): tuple(keypoints) for name, keypoints in data["categories"].items()},
                frames={name: _of(name, data["frames"]) for name in data["categories"]},
            )
        except TruthError as error:
            raise TruthError(f"{path}: {error}") from error
        except OSError as error:
            raise TruthError(f"Cannot read the ground truth {path}: {error.strerror}.") from error
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise TruthError(f"{path} is no ground truth of a clip ({type(error).__name__}: {error}).") from error


def _of(category: str, frames: Sequence[Sequence[dict[str, Any]]]) -> tuple[tuple[Instance, ...], ...]:
    return tuple(tuple(_instance(row) for row in frame if row["category"] == category) for frame in frames)


def _instance(data: dict[str, Any]) -> Instance:
    return Instance(
        id=int(data["id"]),
        box=np.array(data["box"], np.float64),
        keypoints=np.array(data["keypoints"], np.float64).reshape(-1, 3),
        ignore=bool(data.get("ignore", False)),
        area=None if data.get("area") is None else float(data["area"]),
    )
