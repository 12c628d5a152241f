"""C3D: a file per track, its keypoints as points on a plane, at a fixed rate, in millimetres, y up."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xpose_stream.stream.recordings.export.c3d_file import Files
from xpose_stream.stream.recordings.export.disk import reserve
from xpose_stream.stream.recordings.export.job import Job, file_name
from xpose_stream.stream.recordings.export.plane import ToMetres, to_metres
from xpose_stream.stream.recordings.steady import Whole, rate_of, whole

_FRAMES = 60_000  # in a file: its header counts to 65,535
_POINTS = 200_000  # in a file: ezc3d takes 0.6 kB of memory for each
_POINT, _HEADER = 16, 1 << 16  # bytes of the file


def write(job: Job) -> None:
    """Write CAMERA/CATEGORY_TRACK.c3d, longer tracks in several.

    A point's residual is the deviation of its place in whole mm, 1 to 127, where it was measured; 0 where its place is
    the filter's or the smoother's; -1 where there is none: in gaps, and where it was never seen.
    """
    metres = to_metres(job, "c3d")
    shifted = tracks = 0
    with Files() as files:
        for each in whole(job.recording, job.survey, job.target, job.step):
            shifted += not each.exact
            tracks += 1
            folder = job.target / file_name(each.camera.name)
            folder.mkdir(exist_ok=True)
            name = f"{file_name(job.category_names[each.track.category])}_{each.track.id}"
            count = len(job.recording.categories[each.track.category].keypoints)
            most = min(_FRAMES, max(_POINTS // count, 1))
            for start, rows in each.rows.parts(most):
                part = f"_part{start // most + 1}" if len(each.rows) > most else ""
                path = folder / f"{name}{part}.c3d"
                reserve(path, _HEADER + len(rows) * count * _POINT)  # ezc3d does not notice that a disk is full
                files(path=path, **_content(job, each, rows, each.first + start, metres))
    (job.target / "provenance.json").write_text(json.dumps(job.provenance, indent=1, ensure_ascii=False))
    if shifted:
        job.notes.append(f"{shifted} of {tracks} tracks came at irregular times and were resampled by the smoother")


def _content(job: Job, each: Whole, rows: NDArray[np.void], first: int, metres: ToMetres) -> dict[str, Any]:
    """All that a file says, see `save`."""
    height = each.camera.sizes[-1][1]
    places = rows["keypoints"].astype(float)
    millimetres = 1e3 * metres(places, height)
    aside = 1e3 * metres(places + np.array([0.5, 0.0]), height)
    scale = 2 * np.linalg.norm(aside - millimetres, axis=-1)  # mm per px, there
    missing = np.isnan(places[..., 0]) | ~rows["present"][:, None]
    residuals = np.where(rows["measured"], np.rint(rows["deviations"] * scale).clip(1, 127), 0.0)  # a byte in the file
    points = np.zeros((4, places.shape[1], len(rows)))
    points[:2] = np.where(missing[..., None], 0.0, millimetres).transpose(2, 1, 0)
    rate = rate_of(each.camera)
    return {
        "points": points,
        "residuals": np.where(missing, -1.0, residuals).T[None],
        "first": first,
        "rate": rate,
        "labels": list(job.recording.categories[each.track.category].keypoints),
        "told": {"MADE": json.dumps(job.provenance), "CAMERA": each.camera.name, "START": first / rate},
    }
