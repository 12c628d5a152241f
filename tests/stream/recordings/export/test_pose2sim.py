"""OpenPose's JSON as Pose2Sim reads and triangulates it."""

from __future__ import annotations

import json
import shutil
import tomllib
from collections.abc import Callable
from pathlib import Path

import msgspec
import numpy as np
import pytest

from tests.stream.recordings.eventful import EMPTY, HIDDEN, UNSEEN, messages, record
from tests.stream.scene import BODY, NAMES, message_of
from xpose_stream.stream.recordings.export.export import export
from xpose_stream.stream.recordings.recording import Recording
from xpose_stream.stream.sinks.messages import TracksMessage

triangulation = pytest.importorskip("Pose2Sim.triangulation", reason="tests/readers.txt is not installed")
common = pytest.importorskip("Pose2Sim.common")
anytree = pytest.importorskip("anytree")


def read(folder: Path, frame: int) -> list[dict]:
    [path] = folder.glob(f"*_{frame:06d}.json")
    people: list[dict] = json.loads(path.read_text())["people"]
    return people


def test_pose2sim_finds_a_file_for_each_frame_and_in_it_what_was_recorded(even: Recording, tmp_path: Path) -> None:
    path, notes = export(even, "pose2sim", tmp_path / "out")
    assert notes == []
    names = [folder.name for folder in (path / "person" / "pose").iterdir()]
    hall, kitchen = (path / "person" / "pose" / name for name in common.sort_stringlist_by_last_number(names))
    assert hall.name == "hall_cam01_json" and kitchen.name == "Küche-台所_cam02_json"
    for folder in (hall, kitchen):
        files = common.sort_stringlist_by_last_number([file.name for file in folder.iterdir()])
        assert [int(name[-11:-5]) for name in files] == list(range(50))
    told = {message.frame: message for message in even.frames("hall")}
    for frame in range(50):
        people = read(hall, frame)
        tracks = [track for track in told[frame].tracks if track.category == 0] if frame in told else []
        assert [one["person_id"] for one in people] == [[track.id] for track in tracks]
        for one, track in zip(people, tracks, strict=True):
            values = np.array(one["pose_keypoints_2d"]).reshape(-1, 3)
            assert values[UNSEEN].tolist() == [0, 0, 0]
            known = [place for place in range(5) if place != UNSEEN]
            expected = np.array([track.keypoints[place] for place in known])
            np.testing.assert_allclose(values[known, :2] + 0.5, expected, rtol=1e-6)  # from the first pixel's centre
            scores = [track.keypoint_scores[place] or 0 for place in known]
            np.testing.assert_allclose(values[known, 2], scores, rtol=1e-6)
    assert all(read(hall, frame) == [] for frame in (*EMPTY, *HIDDEN, 13, 14))
    x, _, _ = triangulation.extract_files_frame_f([hall / "hall_cam01_000000.json"], [0, 1, 2, 3, 4])
    assert x[0][0][0] + 0.5 == pytest.approx(told[0].tracks[0].keypoints[0][0])


def test_the_tree_that_is_generated_names_every_keypoint_once(even: Recording, tmp_path: Path) -> None:
    path, _ = export(even, "pose2sim", tmp_path / "out")
    for category, name in zip(even.categories, ("person", "Becher-杯"), strict=True):
        config = tomllib.loads((path / name / "skeleton.toml").read_text())
        tree = anytree.importer.DictImporter().import_(config["pose"]["CUSTOM"])  # as Pose2Sim.triangulation does
        nodes = [node for _, _, node in anytree.RenderTree(tree)]
        assert {node.id: node.name for node in nodes} == dict(enumerate(category.keypoints))
        edges = {frozenset((node.id, node.parent.id)) for node in nodes if node.parent}
        assert edges <= {frozenset(edge) for edge in category.edges}


def test_irregular_times_become_regular_by_the_smoother_and_that_is_said(tmp_path: Path) -> None:
    recording = Recording(record(tmp_path / "tracks.parquet", messages(irregular=True)))
    path, notes = export(recording, "pose2sim", tmp_path / "out")
    assert notes == [
        "5 tracks came at irregular times and were resampled by the smoother",
        "cameras have different rates (29.7878, 29.9045/s): not in step",
    ]
    [first] = [m for m in recording.frames("hall")][:1]
    for frame in (3, 7):
        [one] = read(path / "person" / "pose" / "hall_cam01_json", frame)
        seconds = frame / 29.7878 + first.captured_at - 1.7e9
        assert one["pose_keypoints_2d"][0] == pytest.approx(60 + seconds * 30 - 0.5 + 0.5, abs=0.5)


def in_the_room(index: int) -> np.ndarray:
    """Five points that move, [5, 3] m; none is at 0, which Pose2Sim takes for missing."""
    return np.concatenate([BODY / 100 + [0.01 * index, 0] + 0.1, np.full((5, 1), 0.3)], 1)


def seen_by(camera: str, projection: np.ndarray, index: int) -> TracksMessage:
    """The points as a calibrated camera sees them."""
    ends = np.concatenate([in_the_room(index), np.ones((5, 1))], 1) @ projection.T
    places = [tuple(place) for place in (ends[:, :2] / ends[:, 2:] + 0.5).tolist()]
    message = message_of(index, people=1, camera=camera)
    track = msgspec.structs.replace(message.tracks[0], keypoints=places, measured=places)
    return msgspec.structs.replace(message, tracks=[track])


def made_up(path: Path) -> None:
    """The calibration of three cameras."""
    calibration = ""
    for number, turn in enumerate((-0.6, 0.0, 0.6)):
        calibration += f'[cam{number}]\nname = "cam{number}"\nsize = [1920.0, 1080.0]\n'
        calibration += "matrix = [[1500.0, 0.0, 960.0], [0.0, 1500.0, 540.0], [0.0, 0.0, 1.0]]\n"
        calibration += "distortions = [0.0, 0.0, 0.0, 0.0]\n"
        calibration += f"rotation = [0.0, {turn}, 0.0]\ntranslation = [0.0, 0.0, 5.0]\nfisheye = false\n"
    path.write_text(calibration)


def of_its_demo(path: Path) -> None:
    """Those of Pose2Sim's own demo, as it converts them itself."""
    calibration = pytest.importorskip("Pose2Sim.calibration")
    file = Path(calibration.__file__).parent / "Demo_SinglePerson" / "calibration" / "Calib.qca.txt"
    _, *told = calibration.calib_qca_fun(str(file))
    calibration.toml_write(str(path), *told)


@pytest.mark.parametrize("calibrated", [made_up, of_its_demo])
def test_pose2sim_triangulates_what_calibrated_cameras_saw(
    calibrated: Callable[[Path], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "calibration").mkdir()
    calibrated(tmp_path / "calibration" / "Calib.toml")
    cameras = common.computeP(tmp_path / "calibration" / "Calib.toml")
    made = [seen_by(f"cam{place}", P, index) for index in range(30) for place, P in enumerate(cameras)]
    made.sort(key=lambda message: message.frame)
    path, _ = export(Recording(record(tmp_path / "tracks.parquet", made)), "pose2sim", tmp_path / "out")
    trial = tmp_path / "trial"
    trial.mkdir()
    shutil.copytree(path / "person" / "pose", trial / "pose")
    config = tomllib.loads((path / "person" / "skeleton.toml").read_text())
    config["pose"] |= {"pose_model": "CUSTOM"}
    config["project"] = {"project_dir": str(trial), "multi_person": False, "frame_rate": 30, "frame_range": "all"}
    config["triangulation"] = {
        "reproj_error_threshold_triangulation": 15, "likelihood_threshold_triangulation": 0.3,
        "min_cameras_for_triangulation": 2, "interp_if_gap_smaller_than": 20, "max_distance_m": 1.0,
        "interpolation": "linear", "remove_incomplete_frames": False, "sections_to_keep": "all", "min_chunk_size": 5,
        "fill_large_gaps_with": "last_value", "show_interp_indices": False, "make_c3d": False,
        "handle_LR_swap": False, "undistort_points": False,
    }  # fmt: skip
    config["kinematics"] = {}
    shutil.copytree(tmp_path / "calibration", tmp_path / "trial" / "calibration")
    monkeypatch.chdir(trial)
    triangulation.triangulate_all(config)
    [trc] = (trial / "pose-3d").glob("*.trc")
    places, _, _, names, _ = common.read_trc(trc)
    assert set(names) == set(NAMES)
    order = [names.index(name) for name in NAMES]
    read_places = places.to_numpy().reshape(len(places), -1, 3)[:, order]  # Y up: (x, y, z) there is (y, z, x) here
    truth = np.array(
        [np.concatenate([BODY / 100 + [0.01 * index, 0] + 0.1, np.full((5, 1), 0.3)], 1) for index in range(30)]
    )
    np.testing.assert_allclose(read_places, truth[:, :, [1, 2, 0]], atol=2e-3)
