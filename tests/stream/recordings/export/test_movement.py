"""netCDF as xarray and movement read it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import xarray as xr

from tests.stream.recordings.eventful import HALL
from xpose_stream.stream.recordings.export.export import export
from xpose_stream.stream.recordings.recording import Recording
from xpose_stream.trackers import KeypointStatus


def test_xarray_reads_places_times_and_names_as_recorded(recording: Recording, tmp_path: Path) -> None:
    path, notes = export(recording, "movement", tmp_path / "out")
    assert notes == []
    assert {file.name for file in path.iterdir()} == {"hall_person.nc", "hall_Becher-杯.nc", "Küche-台所_person.nc"}
    frames = [message for message in recording.frames(HALL)]
    for category, name in zip(recording.categories, ("person", "Becher-杯"), strict=True):
        with xr.open_dataset(path / f"hall_{name}.nc") as data:
            assert data.position.dims == ("time", "space", "keypoint", "individual")
            assert data.confidence.dims == ("time", "keypoint", "individual")
            assert data.keypoint.values.tolist() == list(category.keypoints)
            started = frames[0].captured_at
            np.testing.assert_allclose(data.time, [m.captured_at - started for m in frames], atol=1e-3)
            assert data.attrs["ds_type"] == "poses" and data.attrs["time_unit"] == "seconds"
            assert "damping" in json.loads(data.attrs["made"])["tracker"]
            rows = recording.rows(category, HALL)
            place = {message.frame: at for at, message in enumerate(frames)}
            told = np.full((len(frames), 2, len(category.keypoints), data.sizes["individual"]), np.nan)
            individuals = data.individual.values.tolist()
            assert individuals == [f"{category.name}_{number}" for number in dict.fromkeys(rows.ids.tolist())]
            for row, (frame, number) in enumerate(zip(rows.frames.tolist(), rows.ids.tolist(), strict=True)):
                told[place[frame], :, :, individuals.index(f"{category.name}_{number}")] = rows.keypoints[row].T
            np.testing.assert_array_equal(data.position.values, told.astype("f4"))
            seen = (data.confidence > 0).sum().item()
            assert seen == (rows.keypoint_status == KeypointStatus.MEASURED).sum()
            assert (np.isnan(data.confidence) == np.isnan(data.position.isel(space=0))).all()


def test_movement_computes_with_it(even: Recording, tmp_path: Path) -> None:
    pytest.importorskip("movement.io", reason="tests/readers.txt is not installed")
    from movement.filtering import filter_by_confidence
    from movement.io import load_poses
    from movement.kinematics import compute_velocity
    from movement.validators.datasets import ValidPosesInputs

    path, _ = export(even, "movement", tmp_path / "out")
    with xr.open_dataset(path / "Küche-台所_person.nc") as data:
        # Until 0.16, which needs Python 3.12, movement called them keypoints and individuals.
        names = dict(zip(("time", "space", "keypoint", "individual"), ValidPosesInputs.DIM_NAMES, strict=True))
        data = data.rename({old: new for old, new in names.items() if old != new})
        ValidPosesInputs.validate(data)
        own = load_poses.from_numpy(
            data.position.values, data.confidence.values, ["person_1001"], list(even.categories[0].keypoints), 30
        )
        xr.testing.assert_allclose(own.position.drop_attrs(), data.position.drop_attrs(), atol=1e-6)
        nose = {names["keypoint"]: "nose", "space": "x"}
        speed = compute_velocity(data.position).sel(nose).values
        np.testing.assert_allclose(speed[6:49].ravel(), 30, rtol=1e-3)
        kept = filter_by_confidence(data.position, data.confidence, threshold=0.5)
        shoulder = kept.sel({names["keypoint"]: "left_shoulder", "space": "x"}).values.ravel()
        assert np.isnan(shoulder[7::2]).all() and not np.isnan(shoulder[6::2]).any()
