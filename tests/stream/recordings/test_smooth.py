"""Recordings smoothed afterwards and settings fitted to them, as a user calls for them."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.stream.recordings.eventful import EMPTY, HALL, messages, record
from tests.stream.recordings.eventful import HIDDEN as GONE
from tests.stream.scene import message_of
from xpose_stream.stream.recordings.recording import Recording, RecordingError
from xpose_stream.stream.recordings.rows import points_of
from xpose_stream.stream.recordings.smooth import smooth_recording, smoothed, tracker_of
from xpose_stream.stream.recordings.tune import TuningError, tracker_config, tune
from xpose_stream.stream.sinks.columns import SCHEMA
from xpose_stream.stream.sinks.messages import TracksMessage
from xpose_stream.stream.sinks.recorder import Recorder
from xpose_stream.stream.sinks.sink import SinkError
from xpose_stream.trackers import TrackerConfig

HIDDEN = range(40, 48)


def noisy(index: int, rng: np.random.Generator) -> TracksMessage:
    """Two people that move on; of the first nothing is published while it is hidden."""
    message = message_of(index)
    tracks = []
    for track in message.tracks:
        points = np.array(track.keypoints, float)
        measured = [tuple(p) for p in (points + rng.normal(0, 2, points.shape)).tolist()]
        filtered = [tuple(p) for p in (points + rng.normal(0, 1, points.shape)).tolist()]
        tracks.append(msgspec.structs.replace(track, measured=measured, keypoints=filtered))
    return msgspec.structs.replace(message, tracks=tracks[1:] if index in HIDDEN else tracks)


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("recording") / "tracks.parquet"
    rng = np.random.default_rng(0)
    with Recorder(path) as recorder:
        for index in range(90):
            recorder.write(noisy(index, rng))
        recorder.write(message_of(90, people=0))
    return path


def read_metadata(path: Path) -> dict[bytes, bytes]:
    return pq.read_metadata(path).metadata


def test_a_smoothed_recording_is_steadier_and_the_original_stays(recording: Path, tmp_path: Path) -> None:
    before = recording.read_bytes()
    count = smooth_recording(recording, tmp_path / "smooth.parquet")
    assert recording.read_bytes() == before
    table = pq.read_table(tmp_path / "smooth.parquet")
    assert table.schema.equals(SCHEMA) and table.num_rows == count == 181
    assert read_metadata(tmp_path / "smooth.parquet")[b"prompts"] == read_metadata(recording)[b"prompts"]
    for path, jitter in ((recording, (1.0, 4.0)), (tmp_path / "smooth.parquet", (0.0, 0.5))):
        rows = pq.read_table(path, filters=[("track_id", "=", 2)]).sort_by("frame")
        assert jitter[0] < np.diff(points_of(rows, "keypoint", 5), 2, axis=0).std() < jitter[1]
    same = pq.read_table(tmp_path / "smooth.parquet", filters=[("track_id", "=", 2)]).sort_by("frame")
    np.testing.assert_array_equal(points_of(same, "measured", 5), points_of(rows, "measured", 5))
    assert table["track_id"].null_count == 1


def test_a_recording_is_smoothed_as_it_was_tracked(recording: Path, tmp_path: Path) -> None:
    own = TrackerConfig(measurement_noise=0.04, process_noise=5.0, damping=float("inf"))
    presets = {"own": own, "raw": TrackerConfig.preset("raw"), "none": None}
    for name, tracker in presets.items():
        with Recorder(tmp_path / f"{name}.parquet", tracker=tracker) as recorder:
            for index in range(10):
                recorder.write(message_of(index))
    assert tracker_of(Recording(tmp_path / "own.parquet")) == own
    assert (
        tracker_of(Recording(tmp_path / "raw.parquet"))
        == tracker_of(Recording(tmp_path / "none.parquet"))
        == TrackerConfig()
    )
    smooth_recording(tmp_path / "own.parquet", tmp_path / "default.parquet")
    smooth_recording(tmp_path / "own.parquet", tmp_path / "given.parquet", own)
    smooth_recording(tmp_path / "own.parquet", tmp_path / "robot.parquet", TrackerConfig())
    tables = [pq.read_table(tmp_path / f"{name}.parquet") for name in ("default", "given", "robot")]
    assert tables[0].equals(tables[1]) and not tables[0].equals(tables[2])
    assert tracker_of(Recording(tmp_path / "default.parquet")) == own


def test_gaps_are_filled_with_coasting_rows(recording: Path, tmp_path: Path) -> None:
    smooth_recording(recording, tmp_path / "smooth.parquet")
    rows = pq.read_table(tmp_path / "smooth.parquet", filters=[("track_id", "=", 1)]).sort_by("frame")
    assert rows["frame"].to_pylist() == list(range(90))
    assert [s for s, f in zip(rows["status"].to_pylist(), range(90), strict=True) if f in HIDDEN] == ["coasting"] * 8
    truth = np.stack([np.array(message_of(i).tracks[0].keypoints, float) for i in range(90)])
    assert np.abs(points_of(rows, "keypoint", 5) - truth)[HIDDEN.start : HIDDEN.stop].max() < 4
    assert np.isnan(points_of(rows, "measured", 5)[HIDDEN.start : HIDDEN.stop]).all()
    assert rows["keypoint_score"].to_pylist() == [[None if f in HIDDEN else 0.75] * 5 for f in range(90)]
    assert rows["age"].to_pylist() == pytest.approx([f / 30 for f in range(90)])


def test_predictions_stay_as_they_were_published_and_recordings_without_them_are_read(tmp_path: Path) -> None:
    with Recorder(tmp_path / "a.parquet") as recorder:
        for index in (0, 1, 3):
            message = message_of(index, people=1)
            track = msgspec.structs.replace(message.tracks[0], predicted=message.tracks[0].keypoints,
                                            predicted_covariances=message.tracks[0].covariances)  # fmt: skip
            recorder.write(msgspec.structs.replace(message, predicted_time=index / 30 + 0.1, tracks=[track]))
            if index == 1:
                recorder.write(message_of(2, people=0))
    smooth_recording(tmp_path / "a.parquet", tmp_path / "b.parquet")
    before, after = (pq.read_table(tmp_path / name).to_pylist() for name in ("a.parquet", "b.parquet"))
    assert [row["predicted_x"] for row in after] == [row["predicted_x"] for row in before]
    assert after[2]["status"] == "coasting" and after[2]["predicted_x"] is None
    old = pq.read_table(tmp_path / "a.parquet", columns=[n for n in SCHEMA.names if not n.startswith("predicted")])
    pq.write_table(old, tmp_path / "old.parquet")
    assert smooth_recording(tmp_path / "old.parquet", tmp_path / "c.parquet") == 4


def test_it_does_not_matter_in_which_pieces_a_recording_is_read(tmp_path: Path) -> None:
    recording = Recording(record(tmp_path / "a.parquet", messages(irregular=True)))
    [whole] = [smoothed(block, TrackerConfig()) for block in recording.around(0)]
    parts = [smoothed(block, TrackerConfig()) for block in recording.around(200, rows=16)]
    assert len(parts) > 5 and pa.concat_tables(parts).equals(whole)
    hall = [row for row in whole.to_pylist() if row["camera"] == HALL and row["track_id"] == 1001]
    assert [row["frame"] for row in hall if row["status"] == "coasting"] == [*EMPTY, *GONE]


def test_what_cannot_be_smoothed_is_told_in_one_sentence(recording: Path, tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="does not exist"):
        smooth_recording(tmp_path / "gone.parquet", tmp_path / "out.parquet")
    (tmp_path / "notes.parquet").write_text("no table")
    with pytest.raises(RecordingError, match="cannot be read as a recording"):
        smooth_recording(tmp_path / "notes.parquet", tmp_path / "out.parquet")
    with pytest.raises(SinkError, match="exists already"):
        smooth_recording(recording, recording)
    assert [p.name for p in tmp_path.iterdir()] == ["notes.parquet"]


def test_settings_are_fitted_to_a_recording_and_read_again(recording: Path, tmp_path: Path) -> None:
    tune(recording, tmp_path / "tracker.yaml")
    config = tracker_config(str(tmp_path / "tracker.yaml"))
    assert config.measurement_noise * 90 == pytest.approx(2, rel=0.5)
    assert config.coast == TrackerConfig().coast


def test_presets_have_names_and_other_names_are_refused(tmp_path: Path) -> None:
    assert tracker_config("mocap").process_noise < tracker_config("robot").process_noise
    with pytest.raises(TuningError, match="neither a tracker preset"):
        tracker_config("fast")
    for text in ("colour: 3", "- 1", "damping: -1", ":\n:", "sigmas: 0.06"):
        (tmp_path / "bad.yaml").write_text(text)
        with pytest.raises(TuningError, match=r"bad\.yaml holds no tracker settings"):
            tracker_config(str(tmp_path / "bad.yaml"))
    with pytest.raises(TuningError, match="/proc/self/mem cannot be read"):  # a file, but not for us
        tracker_config("/proc/self/mem")


def test_a_recording_without_tracks_cannot_be_tuned_to(tmp_path: Path) -> None:
    with Recorder(tmp_path / "empty.parquet") as recorder:
        recorder.write(message_of(0, people=0))
    with pytest.raises(TuningError, match="No track has been measured twice"):
        tune(tmp_path / "empty.parquet", tmp_path / "tracker.yaml")
    assert smooth_recording(tmp_path / "empty.parquet", tmp_path / "smooth.parquet") == 1
