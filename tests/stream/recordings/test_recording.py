"""Recordings as a program reads them: whole, by frame, by block, as arrays."""

from __future__ import annotations

import json
from pathlib import Path

import msgspec
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.stream.recordings.eventful import CUP, HALL, KITCHEN, PROMPT, messages, record
from tests.stream.scene import PERSON, message_of
from xpose_stream.stream.recordings.recording import Recording, RecordingError, starts
from xpose_stream.stream.sinks.columns import SCHEMA
from xpose_stream.stream.sinks.messages import Category, TracksMessage
from xpose_stream.stream.sinks.recorder import Recorder
from xpose_stream.trackers import KeypointStatus, TrackerConfig


@pytest.fixture(scope="module")
def made() -> list[TracksMessage]:
    return messages()


@pytest.fixture(scope="module")
def recording(made: list[TracksMessage], tmp_path_factory: pytest.TempPathFactory) -> Recording:
    return Recording(record(tmp_path_factory.mktemp("recording") / "tracks.parquet", made))


def test_it_says_what_it_holds(recording: Recording, made: list[TracksMessage]) -> None:
    assert recording.cameras == (HALL, KITCHEN)
    assert recording.categories == (PERSON, CUP)
    assert recording.prompts == [PROMPT]
    assert recording.tracker == TrackerConfig()
    assert len(recording) == sum(max(len(message.tracks), 1) for message in made)


def test_its_frames_are_the_messages_that_were_recorded(recording: Recording, made: list[TracksMessage]) -> None:
    assert list(recording) == made
    assert list(recording.frames(KITCHEN)) == [message for message in made if message.camera == KITCHEN]
    assert list(recording.frames("cellar")) == []


def test_its_table_is_that_of_the_file(recording: Recording) -> None:
    assert recording.table().equals(pq.read_table(recording.path))
    frames = recording.table(["frame", "track_id"], KITCHEN)
    assert frames.column_names == ["frame", "track_id"]
    assert frames["frame"].to_pylist() == list(range(50))


def test_its_rows_are_arrays_with_nan_for_what_is_unknown(recording: Recording, made: list[TracksMessage]) -> None:
    rows = recording.rows("person", HALL)
    seen = [
        (message, track) for message in made if message.camera == HALL for track in message.tracks if not track.category
    ]
    assert rows.frames.tolist() == [message.frame for message, _ in seen]
    assert rows.ids.tolist() == [track.id for _, track in seen]
    assert rows.epochs.tolist() == [message.epoch for message, _ in seen]
    np.testing.assert_array_equal(rows.boxes, [track.box for _, track in seen])
    for array, name in ((rows.keypoints, "keypoints"), (rows.measured, "measured"), (rows.covariances, "covariances")):
        wide = array.shape[-1]
        expected = [[(np.nan,) * wide if v is None else v for v in getattr(track, name)] for _, track in seen]
        np.testing.assert_array_equal(array, np.array(expected))
    states = [[KeypointStatus(value).name.lower() for value in row] for row in rows.keypoint_status]
    assert states == [track.keypoint_status for _, track in seen]
    assert len(recording.rows(CUP)) == 25
    with pytest.raises(RecordingError, match="holds no dog: person, Becher 杯"):
        recording.rows("dog")


@pytest.mark.parametrize("size", [1, 7, 64, 10_000])
def test_blocks_tear_no_frame_and_leave_nothing_out(size: int, recording: Recording) -> None:
    whole = recording.table()
    blocks = list(recording.blocks(rows=size))
    assert sum(len(block) for block in blocks) == len(whole)
    at = np.cumsum([0, *(len(block) for block in blocks[:-1])])
    assert set(at) <= set(starts(whole).tolist())
    around = list(recording.around(9, rows=size))
    assert [block.table.slice(block.start, block.end - block.start).to_pylist() for block in around] == [
        block.to_pylist() for block in blocks
    ]
    for block, first in zip(around, at, strict=True):
        assert block.table.to_pylist() == whole.slice(first - block.start, len(block.table)).to_pylist()


def test_what_has_been_read_does_not_stay_in_memory(recording: Recording, tmp_path: Path) -> None:
    rows = pa.concat_tables([recording.table()] * 10)
    noise = np.random.default_rng(0).random(len(rows) * 1000, np.float32)
    lists = pa.FixedSizeListArray.from_arrays(pa.array(noise), 1000).cast(pa.list_(pa.float32()))
    rows = rows.set_column(rows.column_names.index("keypoint_x"), "keypoint_x", lists)
    with pq.ParquetWriter(tmp_path / "long.parquet", SCHEMA, compression="zstd") as writer:
        for _ in range(10):
            writer.write_table(rows.cast(SCHEMA))
        writer.add_key_value_metadata(recording.metadata)
    before = pa.total_allocated_bytes()
    held = [pa.total_allocated_bytes() - before for _ in Recording(tmp_path / "long.parquet").blocks(rows=500)]
    assert len(held) > 20 and max(held) < 3 * rows.nbytes


def test_a_category_that_changes_its_keypoints_is_two(tmp_path: Path) -> None:
    other = Category(id=0, name="person", keypoints=("nose",), edges=())
    first = message_of(0)
    lists = ("keypoints", "keypoint_status", "velocities", "covariances", "measured", "keypoint_scores")
    nose = [
        msgspec.structs.replace(track, **{name: getattr(track, name)[:1] for name in lists}) for track in first.tracks
    ]
    later = msgspec.structs.replace(
        first,
        sequence=1,
        frame=1,
        prompt=PROMPT,
        categories=[other, msgspec.structs.replace(PERSON, id=1)],
        tracks=nose,
    )
    recording = Recording(record(tmp_path / "tracks.parquet", [first, later]))
    assert recording.categories == (PERSON, other)
    assert recording.category_of(recording.table()).tolist() == [0, 0, 1, 1]
    assert recording.rows(other).keypoints.shape == (2, 1, 2)
    with pytest.raises(RecordingError, match="several categories named person"):
        recording.rows("person")


def test_recordings_without_frames_and_from_before_there_were_predictions_are_read(tmp_path: Path) -> None:
    with Recorder(tmp_path / "none.parquet"):
        pass
    none = Recording(tmp_path / "none.parquet")
    assert (len(none), none.cameras, list(none), len(none.table())) == (0, (), [], 0)
    path = record(tmp_path / "new.parquet", [message_of(0)])
    old = [name for name in SCHEMA.names if not name.startswith(("predicted", "keypoint_score"))]
    pq.write_table(pq.read_table(path, columns=old), tmp_path / "old.parquet")
    [message] = Recording(tmp_path / "old.parquet")
    assert message.tracks[0].keypoint_scores is None and message.tracks[0].predicted is None


def test_what_is_no_recording_is_told_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "notes.parquet").write_text("no table")
    pq.write_table(
        pq.read_table(record(tmp_path / "a.parquet", [message_of(0)])).drop(["camera"]), tmp_path / "b.parquet"
    )
    spoilt = bytearray((tmp_path / "a.parquet").read_bytes())
    spoilt[200:1500] = bytes(1300)
    (tmp_path / "spoilt.parquet").write_bytes(spoilt)
    for name, told in (
        ("gone", "does not exist"),
        ("notes", "cannot be read as a recording"),
        ("b", "no column camera"),
    ):
        with pytest.raises(RecordingError, match=rf"^[^\n]*{name}[^\n]*{told}[^\n]*$"):
            Recording(tmp_path / f"{name}.parquet")
    with pytest.raises(RecordingError, match=r"spoilt\.parquet cannot be read as a recording"):
        list(Recording(tmp_path / "spoilt.parquet"))


def test_it_says_by_what_it_was_made(tmp_path: Path) -> None:
    made = {"program": "xpose-stream 1", "source": "rtsp://Küche/1"}
    with Recorder(tmp_path / "tracks.parquet", made=made) as recorder:
        recorder.write(message_of(0))
    assert json.loads(Recording(tmp_path / "tracks.parquet").metadata["made"]) == made
