"""C3D as ezc3d reads it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import ezc3d
import numpy as np

from tests.stream.recordings.eventful import UNSEEN
from xpose_stream.stream.recordings.export.export import export
from xpose_stream.stream.recordings.recording import Recording
from xpose_stream.trackers import KeypointStatus


def read(path: Path) -> tuple[Any, np.ndarray, np.ndarray]:
    """The file, its points [F, K, 3] and their residuals [F, K]."""
    file = ezc3d.c3d(str(path))
    return file, file["data"]["points"][:3].transpose(2, 1, 0), file["data"]["meta_points"]["residuals"][0].T


def test_ezc3d_reads_points_in_millimetres_and_what_is_missing_is_invalid(even: Recording, tmp_path: Path) -> None:
    path, _ = export(even, "c3d", tmp_path / "out", metres_per_pixel=0.01)
    file, points, residuals = read(path / "hall" / "person_1001.c3d")
    point = file["parameters"]["POINT"]
    assert point["UNITS"]["value"] == ["mm"] and point["RATE"]["value"] == [30]
    assert point["LABELS"]["value"] == list(even.categories[0].keypoints)
    assert point["SCALE"]["value"][0] < 0
    rows = even.rows("person", "hall")
    mine = np.flatnonzero(rows.ids == 1001)
    frames = rows.frames[mine]
    expected = rows.keypoints[mine][:, :4] * 10
    np.testing.assert_allclose(points[frames][:, :4, 0], expected[..., 0], rtol=1e-6)
    np.testing.assert_allclose(points[frames][:, :4, 1], 2400 - expected[..., 1], rtol=1e-6)
    measured = rows.keypoint_status[mine][:, :4] == KeypointStatus.MEASURED
    np.testing.assert_allclose(residuals[frames][:, :4], np.where(measured, 25, 0))  # of sqrt((4 + 9) / 2) px
    gaps = sorted(set(range(len(points))) - set(frames.tolist()))
    assert gaps and (residuals[gaps] == -1).all() and (residuals[:, UNSEEN] == -1).all()
    assert np.nan_to_num(points[gaps]).any() == np.nan_to_num(points[:, UNSEEN]).any() == False  # noqa: E712


def test_every_track_has_its_file_and_irregular_times_are_told(recording: Recording, tmp_path: Path) -> None:
    path, notes = export(recording, "c3d", tmp_path / "out", metres_per_pixel=0.01)
    files = {str(file.relative_to(path)) for file in path.rglob("*.c3d")}
    assert files == {
        *("Küche-台所/person_1001.c3d", "hall/Becher-杯_70000.c3d", "hall/Becher-杯_70001.c3d"),
        *("hall/person_1001.c3d", "hall/person_1002.c3d"),
    }
    file, points, residuals = read(path / "hall" / "Becher-杯_70001.c3d")
    assert file["parameters"]["POINT"]["LABELS"]["value"] == ["rim", "Henkel 取手"]
    assert "".join(file["parameters"]["XPOSE"]["MADE"]["value"]) == json.dumps(
        json.loads((path / "provenance.json").read_text())
    )
    assert bool(notes) == ("irregular" in str(recording.path))
    if notes:
        assert (residuals <= 0).all()  # nothing was measured at these times
    assert len(points) == 5 or notes
