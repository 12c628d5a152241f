"""TRC (OpenSim): a file per track, its keypoints as markers on a plane, at a fixed rate, in metres, y up."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np

from xpose_stream.stream.recordings.export.job import Job, file_name
from xpose_stream.stream.recordings.export.plane import ToMetres, to_metres
from xpose_stream.stream.recordings.steady import Whole, rate_of, whole

_ROWS = 10_000  # written at a time


def write(job: Job) -> None:
    """Write CAMERA/CATEGORY_TRACK.trc. No place is missing in them: OpenSim's inverse kinematics breaks on it."""
    metres = to_metres(job, "trc")
    filled = shifted = tracks = 0
    for each in whole(job.recording, job.survey, job.target, job.step):
        filled += each.gaps
        shifted += not each.exact
        tracks += 1
        folder = job.target / file_name(each.camera.name)
        folder.mkdir(exist_ok=True)
        category = file_name(job.category_names[each.track.category])
        _write(job, each, folder / f"{category}_{each.track.id}.trc", metres)
    (job.target / "provenance.json").write_text(json.dumps(job.provenance, indent=1, ensure_ascii=False))
    if shifted:
        job.notes.append(f"{shifted} of {tracks} tracks came at irregular times and were resampled by the smoother")
    if filled:
        job.notes.append(f"{filled} of {tracks} tracks had gaps, which the smoother filled")


def _write(job: Job, each: Whole, path: Path, metres: ToMetres) -> None:
    known = ~np.isnan(each.rows.rows(0, 1)["keypoints"][0, :, 0])
    names = [re.sub(r"\s+", "_", name) for name in job.recording.categories[each.track.category].keypoints]
    names = [name for name, is_known in zip(names, known, strict=True) if is_known]
    rate, count, height = rate_of(each.camera), len(each.rows), each.camera.sizes[-1][1]
    with open(path, "w", encoding="utf-8", newline="\n") as file:
        file.write(f"PathFileType\t4\t(X/Y/Z)\t{path.name}\n")
        file.write(
            "DataRate\tCameraRate\tNumFrames\tNumMarkers\tUnits\tOrigDataRate\tOrigDataStartFrame\tOrigNumFrames\n"
        )
        file.write(f"{rate:.9g}\t{rate:.9g}\t{count}\t{len(names)}\tm\t{rate:.9g}\t1\t{count}\n")
        file.write("Frame#\tTime\t" + "\t\t\t".join(names) + "\t\t\n")
        axes = "\t".join(f"X{number}\tY{number}\tZ{number}" for number in range(1, len(names) + 1))
        file.write(f"\t\t{axes}\n\n")
        for start, part in each.rows.parts(_ROWS):
            places = metres(part["keypoints"][:, known].astype(float), height)
            flat = np.concatenate([places, np.zeros((*places.shape[:2], 1))], -1).reshape(len(places), -1)
            ticks = each.first + start + np.arange(len(flat))
            rows = np.concatenate([(ticks + 1)[:, None], (ticks / rate)[:, None], flat], 1)
            np.savetxt(file, rows, ["%d", "%.6f", *["%.6f"] * flat.shape[1]], "\t")
