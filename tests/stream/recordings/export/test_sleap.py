"""SLEAP's labels as sleap-io reads them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.stream.recordings.eventful import HALL
from xpose_stream.stream.recordings.export.export import export
from xpose_stream.stream.recordings.recording import Recording

sleap_io = pytest.importorskip("sleap_io", reason="tests/readers.txt is not installed")


def test_sleap_io_reads_what_was_recorded(recording: Recording, tmp_path: Path) -> None:
    path, notes = export(recording, "sleap", tmp_path / "out", video=tmp_path / "hall.mp4")
    assert notes == []
    assert {file.name for file in path.iterdir()} == {"hall_person.slp", "hall_Becher-杯.slp", "Küche-台所_person.slp"}
    for category, name in zip(recording.categories, ("person", "Becher-杯"), strict=True):
        labels = sleap_io.load_slp(str(path / f"hall_{name}.slp"), open_videos=False)
        assert labels.skeletons[0].node_names == list(category.keypoints)
        assert labels.skeletons[0].edge_inds == [tuple(edge) for edge in category.edges]
        assert labels.videos[0].filename.endswith("hall.mp4")
        assert "damping" in labels.provenance["tracker"]
        rows = recording.rows(category, HALL)
        read = [(frame.frame_idx, instance) for frame in labels for instance in frame]
        assert [frame for frame, _ in read] == rows.frames.tolist()
        for row, (_, instance) in enumerate(read):
            assert instance.track.name == f"{category.name}_{rows.ids[row]}"
            assert instance.score == pytest.approx(rows.scores[row])
            np.testing.assert_array_equal(instance.numpy().astype("f4"), rows.keypoints[row].astype("f4"))


def test_a_long_recording_comes_in_parts(even: Recording, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from xpose_stream.stream.recordings.export import sleap

    monkeypatch.setattr(sleap, "_MOST", 15)
    path, notes = export(even, "sleap", tmp_path / "out")
    assert notes == ["files of SLEAP hold 15 instances at most here: there are several parts"]
    parts = [sleap_io.load_slp(str(file), open_videos=False) for file in sorted(path.glob("hall_person_part*"))]
    frames = [frame.frame_idx for part in parts for frame in part]
    assert len(parts) == 3 and frames == even.rows("person", HALL).frames.tolist()
