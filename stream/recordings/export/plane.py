"""From the picture to the plane that was filmed, in metres, y up."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import cv2
import numpy as np
import yaml

from xpose_stream.settings import parse
from xpose_stream.stream.recordings.export.job import ExportError, Job
from xpose_stream.stream.recordings.rows import Floats

# Places [..., 2] px of a picture of that height px to places [..., 2] m.
ToMetres = Callable[[Floats, int], Floats]


def to_metres(job: Job, name: str) -> ToMetres:
    """By the scale or the plane that the user gave; raises ExportError when there is neither, or both."""
    if job.plane is not None and job.metres_per_pixel is None:
        return _by_points(job)
    if job.plane is None and (scale := job.metres_per_pixel) is not None:
        return lambda places, height: np.stack([places[..., 0], height - places[..., 1]], -1) * scale
    raise ExportError(
        f"{name} is in metres and a picture in pixels: give either --metres-per-pixel, the scale of the plane that was "
        "filmed, or --plane, a file of points on it"
    )


def _by_points(job: Job) -> ToMetres:
    assert job.plane is not None
    try:
        points: Any = np.array(parse(job.plane.read_text("utf-8")), float)
        enough = points.shape[1:] == (4,) and len(points) > 3
        matrix = cv2.findHomography(points[:, :2], points[:, 2:])[0] if enough else None
    except OSError as error:
        raise ExportError(f"the plane {job.plane} cannot be read: {error.strerror}") from None
    except (TypeError, ValueError, IndexError, yaml.YAMLError, cv2.error):
        matrix = None
    if matrix is None or not np.isfinite(matrix).all() or np.linalg.cond(matrix) > 1e12:
        raise ExportError(f"{job.plane} is no list of four points or more, not on a line, each [x px, y px, X m, Y m]")

    def mapped(places: Floats, height: int) -> Floats:
        ends = np.concatenate([places, np.ones((*places.shape[:-1], 1))], -1) @ matrix.T
        return np.asarray(ends[..., :2] / ends[..., 2:], float)

    return mapped
