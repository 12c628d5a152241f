"""NWB as pynwb with ndx-pose, and movement, read it."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from pynwb import NWBHDF5IO, validate

from tests.stream.recordings.eventful import HALL
from xpose_stream.stream.recordings.export.export import export
from xpose_stream.stream.recordings.recording import Recording


def test_pynwb_reads_each_track_with_its_own_times(recording: Recording, tmp_path: Path) -> None:
    path, notes = export(recording, "nwb", tmp_path / "out")
    assert notes == []
    files = {str(file.relative_to(path)) for file in path.rglob("*") if file.is_file()}
    assert files == {
        *("Küche-台所/person_1001.nwb", "hall/Becher-杯_70000.nwb", "hall/Becher-杯_70001.nwb"),
        *("hall/person_1001.nwb", "hall/person_1002.nwb"),
    }
    rows = recording.rows("person", HALL)
    mine = rows.ids == 1001
    started = next(iter(recording)).captured_at
    assert validate(path=str(path / "hall" / "person_1001.nwb")) == []
    with NWBHDF5IO(str(path / "hall" / "person_1001.nwb"), "r") as io:
        file = io.read()
        assert file.identifier == "person_1001"
        assert abs((file.session_start_time - datetime.fromtimestamp(started, UTC)).total_seconds()) < 1e-3
        assert "damping" in json.loads(file.notes)["tracker"]
        pose = file.processing["behavior"]["PoseEstimation"]
        assert list(pose.skeleton.nodes) == list(recording.categories[0].keypoints)
        np.testing.assert_array_equal(pose.skeleton.edges, recording.categories[0].edges)
        assert pose.device.name == HALL and pose.source_software == "xpose-stream"
        for place, name in enumerate(recording.categories[0].keypoints):
            series = pose.pose_estimation_series[name]
            assert series.unit == "pixels" and series.data.dtype == np.float32
            np.testing.assert_array_equal(series.data[:], rows.keypoints[mine][:, place].astype("f4"))
            np.testing.assert_allclose(series.timestamps[:], rows.captured_at[mine] - started, atol=1e-3)
            scores = np.nan_to_num(rows.keypoint_scores[mine][:, place])
            np.testing.assert_array_equal(series.confidence[:], scores.astype("f4"))


def test_movement_reads_one_individual_per_file(even: Recording, tmp_path: Path) -> None:
    load_poses = pytest.importorskip("movement.io.load_poses", reason="tests/readers.txt is not installed")
    path, _ = export(even, "nwb", tmp_path / "out")
    data = load_poses.from_nwb_file(path / "Küche-台所" / "person_1001.nwb")
    assert data.individuals.values.tolist() == ["person_1001"]
    rows = even.rows("person", "Küche 台所")
    read = data.position.sel(keypoints=list(even.categories[0].keypoints)).values[..., 0].transpose(0, 2, 1)
    np.testing.assert_array_equal(read.astype("f4"), rows.keypoints.astype("f4"))
    assert data.fps == pytest.approx(30, rel=1e-3)
