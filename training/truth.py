"""Ground truth of a clip: who is where in every frame."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray


class TruthError(ValueError):
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
    """Ground truth of a clip of one category; `frames[i]` holds the instances of frame i.

    Attributes:
        fps: frames per second; frame i is at i / fps seconds.
        width, height: picture in px.
        category: what the instances are.
        keypoints: names of the K keypoints.
        frames: per frame its instances, possibly none.
    """

    fps: float
    width: int
    height: int
    category: str
    keypoints: tuple[str, ...]
    frames: tuple[tuple[Instance, ...], ...]

    def __post_init__(self) -> None:
        for index, frame in enumerate(self.frames):
            for instance in frame:
                if len(instance.keypoints) != len(self.keypoints):
                    raise TruthError(
                        f"Frame {index}, instance {instance.id} has {len(instance.keypoints)} keypoints, "
                        f"but the clip names {len(self.keypoints)}."
                    )

    @classmethod
    def load(cls, path: str | Path) -> Truth:
        """Read a clip's JSON; `save` documents the layout.

        Raises:
            TruthError: the file is missing, is not JSON or lacks a field.
        """
        try:
            data = json.loads(Path(path).read_text(encoding="utf-8"))
            return cls(
                fps=float(data["fps"]),
                width=int(data["width"]),
                height=int(data["height"]),
                category=str(data["category"]),
                keypoints=tuple(data["keypoints"]),
                frames=tuple(tuple(map(_instance, frame)) for frame in data["frames"]),
            )
        except TruthError as error:
            raise TruthError(f"{path}: {error}") from error
        except OSError as error:
            raise TruthError(f"Cannot read the ground truth {path}: {error.strerror}.") from error
        except (KeyError, TypeError, ValueError) as error:
            raise TruthError(f"{path} is no ground truth of a clip ({type(error).__name__}: {error}).") from error

    def save(self, path: str | Path, decimals: int = 2) -> None:
        """Write JSON: fps, width, height, category, keypoints (names) and frames, a list per frame of
        {"id", "box": [x0, y0, x1, y1], "keypoints": [[x, y, v], ...], "ignore", "area" where known}.
        """
        data = {
            "fps": self.fps,
            "width": self.width,
            "height": self.height,
            "category": self.category,
            "keypoints": list(self.keypoints),
            "frames": [_plain(frame, decimals) for frame in self.frames],
        }
        Path(path).write_text(json.dumps(data, separators=(",", ":")), encoding="utf-8")


def _instance(data: dict[str, Any]) -> Instance:
    return Instance(
        id=int(data["id"]),
        box=np.array(data["box"], np.float64),
        keypoints=np.array(data["keypoints"], np.float64).reshape(-1, 3),
        ignore=bool(data.get("ignore", False)),
        area=None if data.get("area") is None else float(data["area"]),
    )


def _plain(frame: Sequence[Instance], decimals: int) -> list[dict[str, Any]]:
    return [
        {
            "id": instance.id,
            "box": instance.box.round(decimals).tolist(),
            "keypoints": [[round(x, decimals), round(y, decimals), int(v)] for x, y, v in instance.keypoints.tolist()],
            "ignore": instance.ignore,
        }
        | ({} if instance.area is None else {"area": round(instance.area, decimals)})
        for instance in frame
    ]
