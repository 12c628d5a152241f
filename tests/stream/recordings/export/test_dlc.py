"""DeepLabCut's tables as pandas, with DeepLabCut's header, and movement read them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from tests.stream.recordings.eventful import EMPTY, HALL
from xpose_stream.stream.recordings.export import dlc
from xpose_stream.stream.recordings.export.export import export
from xpose_stream.stream.recordings.recording import Recording


def read(path: Path) -> pd.DataFrame:
    """As deeplabcut.utils.auxiliaryfunctions.load_analyzed_data and its users do."""
    if path.suffix == ".h5":
        return pd.read_hdf(path)
    return pd.read_csv(path, header=[0, 1, 2, 3], index_col=0)


def test_both_files_hold_what_was_recorded(recording: Recording, tmp_path: Path) -> None:
    path, notes = export(recording, "dlc", tmp_path / "out")
    assert notes == []
    for category, name in zip(recording.categories, ("person", "Becher-杯"), strict=True):
        rows = recording.rows(category, HALL)
        for end in (".csv", ".h5"):
            data = read(path / f"hall_{name}DLC_xpose{end}")
            assert data.columns.names == ["scorer", "individuals", "bodyparts", "coords"]
            assert data.index.tolist() == list(range(int(rows.frames.max()) + 1))
            told = data["xpose"]
            for number in np.unique(rows.ids):
                mine = rows.ids == number
                one = told[f"{category.name}_{number}"].loc[rows.frames[mine]]
                for place, keypoint in enumerate(category.keypoints):
                    places = one[keypoint][["x", "y"]].to_numpy()
                    np.testing.assert_array_equal(places.astype("f4"), rows.keypoints[mine][:, place].astype("f4"))
                seen = one.xs("likelihood", axis=1, level="coords").to_numpy()
                scores = np.where(
                    np.isnan(rows.keypoints[mine][..., 0]), np.nan, np.nan_to_num(rows.keypoint_scores[mine])
                )
                np.testing.assert_allclose(seen, scores, rtol=1e-6)
            assert told.loc[[*EMPTY, 13, 14]].isna().all(axis=None)


def test_movement_reads_them(even: Recording, tmp_path: Path) -> None:
    load_poses = pytest.importorskip("movement.io.load_poses", reason="tests/readers.txt is not installed")
    path, _ = export(even, "dlc", tmp_path / "out")
    for end in (".csv", ".h5"):
        data = load_poses.from_dlc_file(path / f"hall_personDLC_xpose{end}", fps=30)
        assert data.individuals.values.tolist() == ["person_1001", "person_1002"]
        assert data.keypoints.values.tolist() == list(even.categories[0].keypoints)
        first = data.position.sel(individuals="person_1001", keypoints="nose", time=0).values
        assert first.tolist() == [60, 60]


def test_a_long_table_comes_in_parts(even: Recording, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    whole, _ = export(even, "dlc", tmp_path / "whole")
    monkeypatch.setattr(dlc, "_VALUES", 300)
    monkeypatch.setattr(dlc, "_ROWS", 20)
    path, notes = export(even, "dlc", tmp_path / "parts")
    assert "parts" in notes[0]
    parts = [read(file) for file in sorted(path.glob("hall_person_part*.h5"))]
    assert len(parts) > 2
    assert (
        pd.concat(parts)["xpose"]["person_1002"]
        .dropna(how="all")
        .equals(read(whole / "hall_personDLC_xpose.h5")["xpose"]["person_1002"].dropna(how="all"))
    )
