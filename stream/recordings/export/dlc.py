"""DeepLabCut: the tables of multi-animal tracking, CSV and HDF5, for each camera and category."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
from numpy.typing import NDArray
from pyarrow.csv import WriteOptions, write_csv

from xpose_stream.stream.recordings.export.finished import COLUMNS
from xpose_stream.stream.recordings.export.job import Job, file_name
from xpose_stream.stream.recordings.rows import Integers, confidence_of, points_of
from xpose_stream.stream.recordings.smooth import by_track

_SCORER = "xpose"
_ROWS = 8192  # at a time
_VALUES = 4_000_000  # in a file: a table is as wide as it has individuals, so long ones come in parts
_WIDEST = 500  # columns of HDF5's tables that can be searched


def write(job: Job) -> None:
    """Write CAMERA_CATEGORYDLC_xpose.csv and .h5, or several parts; with a row for each frame of the video."""
    first = {camera.name: camera.first_frame for camera in job.survey.cameras}
    tables: dict[tuple[str, int], _Table] = {}
    for table in job.recording.blocks(COLUMNS, rows=_ROWS):
        for name, kind, part in job.by_camera(table):
            count = len(job.recording.categories[kind].keypoints)
            points = points_of(part, "keypoint", count)
            scores = np.where(np.isnan(points[..., 0]), np.nan, confidence_of(part, count))
            mine = tables.setdefault((name, kind), _Table(job, name, kind, first[name]))
            mine.add(part, np.concatenate([points, scores[..., None]], -1).astype(np.float32))
        job.step(len(table))
    for mine in tables.values():
        mine.write(last=True)
    (job.target / "provenance.json").write_text(json.dumps(job.provenance, indent=1, ensure_ascii=False))
    if any(mine.parts > 1 for mine in tables.values()):
        job.notes.append("long tables come in parts, each with the individuals that are seen in it")


@dataclass
class _Table:
    """What is not written yet of a camera and a category: of each individual its frames and values [F, K, 3]."""

    job: Job
    camera: str
    kind: int
    first: int
    last: int = -1
    parts: int = 0
    individuals: dict[int, list[tuple[Integers, NDArray[np.float32]]]] = field(default_factory=dict)

    def add(self, part: pa.Table, values: NDArray[np.float32]) -> None:
        """Add rows with their values [N, K, 3]."""
        frames = part["frame"].to_numpy()
        if self.parts and not self.individuals:
            self.first = int(frames[0])
        new = len(self.individuals.keys() | set(part["track_id"].to_pylist()))
        if self.individuals and (int(frames[-1]) + 1 - self.first) * new * values[0].size > _VALUES:
            self.write()
            self.first = int(frames[0])
        for _, rows in by_track(part):
            identity = part["track_id"][int(rows[0])].as_py()
            self.individuals.setdefault(identity, []).append((frames[rows], values[rows]))
        self.last = int(frames[-1])

    def write(self, last: bool = False) -> None:
        """Write a part, or all if it is the only one."""
        if self.parts and not self.individuals:
            return
        self.parts += 1
        category = self.job.recording.categories[self.kind]
        count, names = len(category.keypoints), self.job.category_names
        values = np.full((self.last + 1 - self.first, len(self.individuals), count, 3), np.nan, np.float32)
        for place, pieces in enumerate(self.individuals.values()):
            for frames, those in pieces:
                values[frames - self.first, place] = those
        individuals = [f"{names[self.kind]}_{identity}" for identity in self.individuals]
        labels = [[_SCORER], individuals, list(category.keypoints), ["x", "y", "likelihood"]]
        columns = pd.MultiIndex.from_product(labels, names=["scorer", "individuals", "bodyparts", "coords"])
        index = pd.RangeIndex(self.first, self.last + 1)
        data = pd.DataFrame(values.reshape(len(values), -1), index=index, columns=columns)
        part = "" if last and self.parts == 1 else f"_part{self.parts:04}"
        stem = f"{file_name(self.camera)}_{file_name(names[self.kind])}{part}DLC_{_SCORER}"
        self._write_csv(data, self.job.target / f"{stem}.csv")
        how = "table" if data.shape[1] <= _WIDEST else "fixed"
        # In memory first: HDF5 crashes where it cannot write.
        with pd.HDFStore(f"{stem}.h5", "w", driver="H5FD_CORE", driver_core_backing_store=0) as store:
            store.put("df_with_missing", data, format=how, track_times=False)
            image = store._handle.get_file_image()
        (self.job.target / f"{stem}.h5").write_bytes(image)
        self.individuals = {}

    @staticmethod
    def _write_csv(data: pd.DataFrame, path: Path) -> None:
        """As `data.to_csv`, which takes ten times as long."""
        rows = [data.index.to_numpy(), *data.to_numpy().T]
        table = pa.table([pa.array(column, from_pandas=True) for column in rows], list(map(str, range(len(rows)))))
        with open(path, "wb") as file:
            file.write(data.iloc[:0].to_csv().encode())
            write_csv(table, file, WriteOptions(include_header=False))
