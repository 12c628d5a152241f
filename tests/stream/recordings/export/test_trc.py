"""TRC files as Pose2Sim and OpenSim read them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.stream.recordings.eventful import HIDDEN
from xpose_stream.stream.recordings.export.export import export
from xpose_stream.stream.recordings.export.job import ExportError
from xpose_stream.stream.recordings.recording import Recording


def read(path: Path) -> tuple[dict[str, str], list[str], np.ndarray, np.ndarray]:
    """The header, the markers, frames and times [F, 2], places [F, M, 3], by the rules of OpenSim's TRC."""
    lines = path.read_text().splitlines()
    assert lines[0].split("\t")[:3] == ["PathFileType", "4", "(X/Y/Z)"]
    header = dict(zip(lines[1].split("\t"), lines[2].split("\t"), strict=True))
    labels = lines[3].split("\t")
    assert labels[:2] == ["Frame#", "Time"] and lines[4].split("\t")[2:5] == ["X1", "Y1", "Z1"] and lines[5] == ""
    values = pd.read_csv(path, sep="\t", skiprows=6, header=None).to_numpy()
    assert values.shape == (int(header["NumFrames"]), 2 + 3 * int(header["NumMarkers"]))
    return header, [name for name in labels[2:] if name], values[:, :2], values[:, 2:].reshape(len(values), -1, 3)


def test_opensims_rules_hold_and_nothing_is_missing(recording: Recording, tmp_path: Path) -> None:
    path, _ = export(recording, "trc", tmp_path / "out", metres_per_pixel=0.01)
    files = sorted(str(file.relative_to(path)) for file in path.rglob("*.trc"))
    assert files == [
        *("Küche-台所/person_1001.trc", "hall/Becher-杯_70000.trc", "hall/Becher-杯_70001.trc"),
        *("hall/person_1001.trc", "hall/person_1002.trc"),
    ]
    for file in files:
        header, names, stamps, places = read(path / file)
        assert header["Units"] == "m" and "right_hip" not in names and not np.isnan(places).any()
        rate = float(header["DataRate"])
        np.testing.assert_allclose(stamps[:, 1], (stamps[:, 0] - int(header["OrigDataStartFrame"])) / rate, atol=1e-6)
        assert (np.diff(stamps[:, 0]) == 1).all()
        assert (places[..., 2] == 0).all()


def test_places_are_those_recorded_in_metres_and_y_points_up(even: Recording, tmp_path: Path) -> None:
    path, notes = export(even, "trc", tmp_path / "out", metres_per_pixel=0.01)
    _, names, stamps, places = read(path / "hall" / "person_1001.trc")
    rows = even.rows("person", "hall")
    rows_of_it = np.flatnonzero(rows.ids == 1001)
    expected = rows.keypoints[rows_of_it][:, :4]
    mine = places[rows.frames[rows_of_it] - int(stamps[0, 0]) + 1]
    np.testing.assert_allclose(mine[..., 0], expected[..., 0] * 0.01, atol=1e-6)
    np.testing.assert_allclose(mine[..., 1], (240 - expected[..., 1]) * 0.01, atol=1e-6)
    assert names == ["nose", "left_shoulder", "right_shoulder", "left_hip"]
    # In the gaps it went on: a pixel per frame to the right.
    np.testing.assert_allclose(places[list(HIDDEN), 0, 0], [(60 + frame) * 0.01 for frame in HIDDEN], atol=0.02)
    assert notes == ["2 of 5 tracks had gaps, which the smoother filled"]


def test_irregular_times_are_resampled_and_that_is_said(tmp_path: Path, recording: Recording) -> None:
    _, notes = export(recording, "trc", tmp_path / "out", metres_per_pixel=0.01)
    resampled = "5 of 5 tracks came at irregular times and were resampled by the smoother"
    assert (resampled in notes) == ("irregular" in str(recording.path))


def test_pose2sim_reads_them(even: Recording, tmp_path: Path) -> None:
    common = pytest.importorskip("Pose2Sim.common", reason="tests/readers.txt is not installed")
    path, _ = export(even, "trc", tmp_path / "out", metres_per_pixel=0.01)
    places, frames, times, names, _ = common.read_trc(path / "hall" / "Becher-杯_70001.trc")
    assert names == ["rim", "Henkel_取手"] and frames.tolist() == list(range(26, 31))
    np.testing.assert_allclose(times, np.arange(25, 30) / 30, atol=1e-6)
    assert places.shape == (5, 6)


def test_opensim_reads_them(recording: Recording, tmp_path: Path) -> None:
    opensim = pytest.importorskip("opensim", reason="tests/readers.txt is not installed")
    path, _ = export(recording, "trc", tmp_path / "out", metres_per_pixel=0.01)
    for file in path.rglob("*.trc"):
        header, names, stamps, places = read(file)
        table = opensim.TimeSeriesTableVec3(str(file))
        assert list(table.getColumnLabels()) == names
        assert table.getTableMetaDataString("Units") == "m"
        assert float(table.getTableMetaDataString("DataRate")) == float(header["DataRate"])
        np.testing.assert_allclose(table.getIndependentColumn(), stamps[:, 1], atol=1e-9)
        flat = table.flatten()  # which has to live as long as its matrix
        matrix = flat.getMatrix()
        np.testing.assert_array_equal(matrix.to_numpy().reshape(places.shape), places)


def test_a_plane_by_points_turns_and_scales(even: Recording, tmp_path: Path) -> None:
    corners = [[0, 0, 0, 2.4], [320, 0, 3.2, 2.4], [320, 240, 3.2, 0], [0, 240, 0, 0]]
    (tmp_path / "plane.yaml").write_text(str(corners))
    by_points, _ = export(even, "trc", tmp_path / "points", plane=tmp_path / "plane.yaml")
    by_scale, _ = export(even, "trc", tmp_path / "scale", metres_per_pixel=0.01)
    name = "hall/person_1002.trc"
    np.testing.assert_allclose(read(by_points / name)[3], read(by_scale / name)[3], atol=2e-6)


def test_without_a_scale_or_with_a_bad_plane_it_is_refused_and_nothing_is_left(even: Recording, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match="give either --metres-per-pixel"):
        export(even, "trc", tmp_path / "out")
    with pytest.raises(ExportError, match=r"gone\.yaml cannot be read"):
        export(even, "trc", tmp_path / "out", plane=tmp_path / "gone.yaml")
    for text in ("[[0, 0, 0, 0]]", "cat", "[[0, 0, 0, 0], [1, 1, 1, 1], [2, 2, 2, 2], [3, 3, 3, 3]]", ":\n:"):
        (tmp_path / "plane.yaml").write_text(text)
        with pytest.raises(ExportError, match="four points or more"):
            export(even, "trc", tmp_path / "out", plane=tmp_path / "plane.yaml")
    assert [path.name for path in tmp_path.iterdir()] == ["plane.yaml"]
