"""CSV as pandas reads it."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import numpy as np
import pandas as pd
import pytest

from tests.stream.recordings.eventful import CUP, EMPTY, HALL, KITCHEN, messages, record
from xpose_stream.stream.recordings.export.export import export
from xpose_stream.stream.recordings.recording import Recording
from xpose_stream.stream.sinks.recorder import Recorder


def test_pandas_reads_what_was_recorded(recording: Recording, tmp_path: Path) -> None:
    path, _ = export(recording, "csv", tmp_path / "out.csv")
    read = pd.read_csv(path)
    for category in recording.categories:
        for camera in recording.cameras:
            rows = recording.rows(category, camera)
            mine = read[(read.camera == camera) & (read.category == category.name)]
            assert mine.keypoint.tolist() == list(category.keypoints) * len(rows)
            each = len(category.keypoints)
            assert mine.track_id.tolist() == np.repeat(rows.ids, each).tolist()
            assert mine.frame.tolist() == np.repeat(rows.frames, each).tolist()
            assert mine.epoch.tolist() == np.repeat(rows.epochs, each).tolist()
            np.testing.assert_allclose(mine.captured_at, np.repeat(rows.captured_at, each), atol=1e-3, rtol=0)
            np.testing.assert_array_equal(mine.keypoint_x.astype("f4"), rows.keypoints[..., 0].ravel().astype("f4"))
            np.testing.assert_array_equal(mine.measured_y.astype("f4"), rows.measured[..., 1].ravel().astype("f4"))
            np.testing.assert_array_equal(
                mine.covariance_xy.astype("f4"), rows.covariances[..., 1].ravel().astype("f4")
            )
            np.testing.assert_array_equal(mine.box_x1.astype("f4"), np.repeat(rows.boxes[:, 2], each).astype("f4"))


def test_frames_without_tracks_have_a_row_and_all_rows_are_in_order(even: Recording, tmp_path: Path) -> None:
    path, _ = export(even, "csv", tmp_path / "out.csv")
    read = pd.read_csv(path)
    hall = read[read.camera == HALL]
    assert hall[hall.track_id.isna()].frame.tolist() == list(EMPTY)
    assert hall[hall.track_id.isna()].keypoint.isna().all()
    for _, rows in read.groupby("camera"):
        assert rows.frame.is_monotonic_increasing
    assert read.camera.unique().tolist() == [HALL, KITCHEN]


def test_units_and_provenance_stand_beside_it(even: Recording, tmp_path: Path) -> None:
    path, _ = export(even, "csv", tmp_path / "out.csv")
    told = json.loads((tmp_path / "out.csv-metadata.json").read_text())
    columns = {column["name"]: column["unit"] for column in told["tableSchema"]["columns"]}
    assert list(columns) == list(pd.read_csv(path).columns)
    assert columns["velocity_x"] == "px/s" and columns["seconds"] == "s"
    assert told["made"]["prompts"] == ["person, Becher 杯 (version 2)"] and "damping" in told["made"]["tracker"]


def test_names_that_look_like_data_are_read_back_as_they_are(tmp_path: Path) -> None:
    cup = msgspec.structs.replace(CUP, name="=cmd|' /C calc'!A0", keypoints=("1,5", 'a "b"; c\nd'))
    made = [
        msgspec.structs.replace(message, camera="-1;[red]", categories=[message.categories[0], cup])
        for message in messages()
        if message.camera == HALL
    ]
    path, _ = export(Recording(record(tmp_path / "tracks.parquet", made)), "csv")
    read = pd.read_csv(path)
    cups = read[read.category == cup.name]
    assert set(cups.keypoint) == set(cup.keypoints) and set(read.camera) == {"-1;[red]"}
    assert cups.keypoint_x.dtype == float and cups.keypoint_x.iloc[0] == 200.5


def test_a_recording_without_a_frame_is_a_header(tmp_path: Path) -> None:
    with Recorder(tmp_path / "none.parquet"):
        pass
    path, _ = export(Recording(tmp_path / "none.parquet"), "csv")
    assert path == tmp_path / "none.csv"
    assert len(pd.read_csv(path)) == 0 and "keypoint" in pd.read_csv(path).columns


@pytest.mark.parametrize("name", ["none", "ümlaut 台"])
def test_the_file_may_have_any_name(name: str, even: Recording, tmp_path: Path) -> None:
    path, _ = export(even, "csv", tmp_path / f"{name}.csv")
    assert len(pd.read_csv(path)) > 100
