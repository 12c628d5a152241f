"""An .rrd file as Rerun's own reader sees it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.stream.recordings.eventful import HALL
from xpose_stream.stream.recordings.export.export import export
from xpose_stream.stream.recordings.recording import Recording

chunk = pytest.importorskip("rerun.chunk", reason="the extra rerun is not installed")


def test_rerun_reads_each_track_with_times_and_the_skeletons(recording: Recording, tmp_path: Path) -> None:
    path, notes = export(recording, "rerun", tmp_path / "out.rrd")
    assert notes == []
    reader = chunk.RrdReader(path)
    [entry] = reader.recordings()
    chunks = list(reader.stream(store=entry))
    entities = {each.entity_path for each in chunks}
    assert {"/hall/person_1001", "/hall/person_1002", "/made"} <= entities
    assert sum("70000" in name or "70001" in name for name in entities) == 2  # escaped
    [context] = [each for each in chunks if each.entity_path == "/"]
    told = str(context.to_record_batch().to_pylist())
    assert context.is_static and "left_shoulder" in told and "Henkel 取手" in told
    parts = [each.to_record_batch() for each in chunks if each.entity_path == "/hall/person_1001"]
    read = [row for part in parts for row in part.to_pylist() if row.get("Points2D:positions")]
    rows = recording.rows("person", HALL)
    mine = np.flatnonzero(rows.ids == 1001)
    assert [row["frame"] for row in read] == rows.frames[mine].tolist()
    started = next(iter(recording)).captured_at
    seconds = [
        row["time"].total_seconds() if hasattr(row["time"], "total_seconds") else row["time"] / 1e9 for row in read
    ]
    np.testing.assert_allclose(seconds, rows.captured_at[mine] - started, atol=1e-3)
    for row, at in zip(read, mine, strict=True):
        assert row["Points2D:keypoint_ids"] == [0, 1, 2, 3] and set(row["Points2D:class_ids"]) == {1}
        np.testing.assert_array_equal(np.float32(row["Points2D:positions"]), rows.keypoints[at, :4].astype("f4"))
    assert any("Clear" in name for part in parts for name in part.schema.names)
    assert len(reader.blueprints()) == 1
