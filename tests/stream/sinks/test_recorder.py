from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.stream.scene import PERSON, message_of
from xpose_stream.stream.sinks.columns import SCHEMA
from xpose_stream.stream.sinks.journal import read_journal
from xpose_stream.stream.sinks.messages import Prompt, TracksMessage, encode
from xpose_stream.stream.sinks.recorder import Recorder, recover
from xpose_stream.stream.sinks.sink import SinkError

DOC = Path(__file__).parents[3] / "docs" / "recordings.md"
FRAME_COLUMNS = ("camera", "frame", "sequence", "pts", "captured_at", "clock", "published_at", "width", "height")

RECORDING = """
import sys, time, msgspec
from xpose_stream.stream.sinks.messages import decode
from xpose_stream.stream.sinks.recorder import Recorder
message = decode(sys.stdin.buffer.read())
recorder = Recorder(sys.argv[1])
for index in range(10**6):
    recorder.write(msgspec.structs.replace(message, frame=index))
    print(index, time.monotonic(), flush=True)
    time.sleep(0.01)
"""

FULL_DISK = """
import resource, sys
from xpose_stream.stream.sinks.messages import decode
from xpose_stream.stream.sinks.recorder import Recorder
from xpose_stream.stream.sinks.sink import SinkError
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
recorder = Recorder(sys.argv[1])
message, calls = decode(sys.stdin.buffer.read()), []
try:
    while True:
        calls += [recorder.write(message), recorder.flush()]
except SinkError as error:
    print(len(calls) // 2)
    print(error)
try:
    recorder.close()
except SinkError as error:
    print(error)
"""


def start_recording(path: Path, message: TracksMessage) -> subprocess.Popen[bytes]:
    """A process that records `message` over and over and prints frame and time of each."""
    command = [sys.executable, "-c", RECORDING, str(path)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write(encode(message))
    process.stdin.close()
    process.stdin = None
    process.stdout.readline()
    return process


@pytest.fixture(scope="module")
def crash(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, int]:
    """A folder left behind by a recording killed after 6 s, and the last frame written 4 s before its end."""
    folder = tmp_path_factory.mktemp("crash")
    process = start_recording(folder / "tracks.parquet", message_of(0))
    time.sleep(6)
    process.kill()
    output, _ = process.communicate()
    lines = [line.split() for line in output.splitlines() if line.count(b" ") == 1][:-1]
    return folder, max(int(frame) for frame, at in lines if float(at) < float(lines[-1][1]) - 4)


def test_one_row_per_track_and_frame_and_one_for_a_frame_without_tracks(tmp_path: Path) -> None:
    with Recorder(tmp_path / "tracks.parquet") as recorder:
        for index, people in enumerate([2, 0, 1]):
            recorder.write(message_of(index, people=people))
    rows = pq.read_table(tmp_path / "tracks.parquet").to_pylist()
    assert [(row["frame"], row["track_id"]) for row in rows] == [(0, 1), (0, 2), (1, None), (2, 1)]
    assert rows[2]["captured_at"] == pytest.approx(1 / 30)
    assert rows[2]["keypoint_x"] is None
    assert rows[0]["keypoint_x"] == [60, 80, 40, 75, 45]
    assert rows[0]["keypoint_y"] == [60, 90, 90, 150, 150]
    assert (rows[0]["category"], rows[0]["status"], rows[0]["clock"]) == ("person", "confirmed", "file")
    assert [path.name for path in tmp_path.iterdir()] == ["tracks.parquet"]


def test_everything_in_the_messages_is_in_the_recording(tmp_path: Path) -> None:
    messages = [message_of(index, people=2, camera=camera) for index in range(3) for camera in ("hall", "door")]
    [first, *_] = messages[0].tracks
    unseen = [None, *first.keypoints[1:]]
    hidden = msgspec.structs.replace(first, status="coasting", measured=[None] * 5, keypoints=unseen)
    messages[0] = msgspec.structs.replace(messages[0], tracks=[hidden])
    with Recorder(tmp_path / "tracks.parquet") as recorder:
        for message in messages:
            recorder.write(message)
    rows = iter(pq.read_table(tmp_path / "tracks.parquet").to_pylist())
    for message in messages:
        for track in message.tracks:
            row = next(rows)
            for name in FRAME_COLUMNS:
                assert row[name] == getattr(message, name)
            assert row["latency_ms"] == pytest.approx(message.latency_ms)
            assert (row["prompt"], row["prompt_version"]) == ("person", 1)
            assert (row["track_id"], row["category_id"], row["status"]) == (track.id, track.category, track.status)
            assert (row["score"], row["age"]) == (pytest.approx(track.score), track.age)
            assert tuple(row[f"box_{side}"] for side in ("x0", "y0", "x1", "y1")) == track.box
            assert row["keypoint_status"] == track.keypoint_status
            assert list(zip(row["keypoint_x"], row["keypoint_y"], strict=True))[1:] == track.keypoints[1:]
            assert (row["keypoint_x"][0] is None) == (track.keypoints[0] is None)
            assert list(zip(row["velocity_x"], row["velocity_y"], strict=True)) == track.velocities
            covariance = zip(*(row[f"covariance_{axes}"] for axes in ("xx", "xy", "yy")), strict=True)
            assert list(covariance) == track.covariances
            measured = zip(row["measured_x"], row["measured_y"], strict=True)
            assert [None if x is None else (x, y) for x, y in measured] == track.measured
            assert row["keypoint_score"] == track.keypoint_scores
    assert next(rows, None) is None


def test_the_file_names_every_prompt_with_its_keypoints_and_every_unit(tmp_path: Path) -> None:
    with Recorder(tmp_path / "tracks.parquet") as recorder:
        recorder.write(message_of(0))
        recorder.flush()
        recorder.write(msgspec.structs.replace(message_of(1), prompt=Prompt("person", 2)))
    schema = pq.read_schema(tmp_path / "tracks.parquet")
    assert schema.equals(SCHEMA)
    prompts = json.loads(pq.read_metadata(tmp_path / "tracks.parquet").metadata[b"prompts"])
    assert [prompt["version"] for prompt in prompts] == [1, 2]
    assert tuple(prompts[0]["categories"][0]["keypoints"]) == PERSON.keypoints
    assert schema.field("velocity_x").metadata == {b"unit": b"px/s"}


def test_a_long_recording_is_complete_and_in_order(tmp_path: Path) -> None:
    message = message_of(0, people=3)
    with Recorder(tmp_path / "tracks.parquet") as recorder:
        for index in range(2000):
            recorder.write(msgspec.structs.replace(message, frame=index))
            if index % 90 == 0:
                recorder.flush()
    file = pq.ParquetFile(tmp_path / "tracks.parquet")
    assert file.read(["frame"])["frame"].to_pylist() == [index for index in range(2000) for _ in range(3)]
    assert file.num_row_groups < 10


def test_a_recording_without_a_frame_is_a_readable_empty_table(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "tracks.parquet")
    recorder.close()
    recorder.close()
    assert pq.read_table(tmp_path / "tracks.parquet").num_rows == 0


def test_writing_after_closing_is_refused_and_the_file_stays_whole(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "tracks.parquet")
    recorder.write(message_of(0))
    recorder.close()
    with pytest.raises(SinkError, match="is closed"):
        recorder.write(message_of(1))
    assert pq.read_table(tmp_path / "tracks.parquet").num_rows == 2


def test_closing_in_another_thread_amid_writes_leaves_all_written_rows(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "tracks.parquet")
    threading.Timer(0.2, recorder.close).start()
    message, written = message_of(0, people=1), 0
    with pytest.raises(SinkError, match="is closed"):
        while True:
            recorder.write(message)
            written += 1
    recorder.close()  # waits for the other
    assert pq.read_table(tmp_path / "tracks.parquet").num_rows == written > 0


def test_rows_flushed_before_a_kill_are_recovered(crash: tuple[Path, int], tmp_path: Path) -> None:
    folder, early = crash
    path = shutil.copytree(folder, tmp_path / "copy") / "tracks.parquet"
    assert not path.exists()
    rows = recover(path)
    frames = pq.read_table(path)["frame"].to_pylist()
    assert len(frames) == rows >= 2 * (early + 1)
    assert frames == [index for index in range(rows // 2) for _ in range(2)]
    assert b"person" in pq.read_metadata(path).metadata[b"prompts"]
    assert [left.name for left in path.parent.iterdir()] == ["tracks.parquet"]


def test_rows_are_flushed_though_no_more_come(tmp_path: Path) -> None:
    path = tmp_path / "tracks.parquet"
    with Recorder(path) as recorder:
        recorder.write(message_of(0))
        deadline = time.monotonic() + 20
        while not run_example("open_stream", path)["table"].num_rows:
            assert time.monotonic() < deadline
            time.sleep(0.1)


def test_a_failed_flush_is_told_by_the_next_write_though_nobody_asked_for_it(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "tracks.parquet")
    wrong = msgspec.structs.replace(message_of(0), frame="no number")
    recorder.write(wrong)
    deadline = time.monotonic() + 20
    with pytest.raises(pa.ArrowInvalid):
        while time.monotonic() < deadline:
            recorder.write(message_of(1))
            time.sleep(0.05)


def test_a_journal_from_before_there_were_predictions_is_recovered(crash: tuple[Path, int], tmp_path: Path) -> None:
    folder, _ = crash
    path = tmp_path / "tracks.parquet"
    names = [name for name in SCHEMA.names if not name.startswith(("predicted", "keypoint_score"))]
    with (folder / "tracks.parquet.journal").open("rb") as file:
        batches = [(batch.select(names), metadata) for batch, metadata in read_journal(file)]  # type: ignore[arg-type]
    with pa.ipc.new_stream(str(tmp_path / "tracks.parquet.journal"), batches[0][0].schema) as writer:
        for batch, metadata in batches:
            writer.write_batch(batch, metadata)
    assert recover(path) == sum(batch.num_rows for batch, _ in batches) > 0
    assert pq.read_table(path).column_names == SCHEMA.names


def test_a_journal_cut_anywhere_gives_back_its_whole_batches(crash: tuple[Path, int], tmp_path: Path) -> None:
    folder, _ = crash
    whole = (folder / "tracks.parquet.journal").read_bytes()
    counts = []
    for number, length in enumerate([0, 100, len(whole) // 2, len(whole) - 1]):
        path = tmp_path / f"{number}.parquet"
        path.with_name(path.name + ".journal").write_bytes(whole[:length])
        counts.append(recover(path))
        assert pq.read_table(path)["frame"].to_pylist() == [index for index in range(counts[-1] // 2) for _ in range(2)]
    assert counts[:2] == [0, 0]
    assert counts == sorted(counts) and counts[-1] > 0


def test_what_a_killed_run_left_is_neither_lost_nor_overwritten(crash: tuple[Path, int], tmp_path: Path) -> None:
    path = shutil.copytree(crash[0], tmp_path / "copy") / "tracks.parquet"
    with pytest.raises(SinkError, match=rf"left from a recording that was killed; [^\n]*recover {path}"):
        Recorder(path)
    assert recover(path) > 0
    with pytest.raises(SinkError, match="nothing to recover"):
        recover(path)


def test_a_recording_that_runs_elsewhere_is_left_alone_but_can_be_read(tmp_path: Path) -> None:
    path = tmp_path / "tracks.parquet"
    process = start_recording(path, message_of(0))
    try:
        for attempt in (lambda: Recorder(path), lambda: Recorder(path, overwrite=True), lambda: recover(path)):
            with pytest.raises(SinkError, match="is being recorded by another process"):
                attempt()
        deadline = time.monotonic() + 30
        while not (rows := run_example("open_stream", path)["table"].num_rows):
            assert time.monotonic() < deadline
            time.sleep(0.2)
        assert rows % 2 == 0
    finally:
        process.kill()
        process.communicate()


def test_a_full_disk_is_reported_and_what_was_flushed_is_recovered_when_there_is_room(tmp_path: Path) -> None:
    path = tmp_path / "tracks.parquet"
    command = [sys.executable, "-c", FULL_DISK, str(path)]
    done = subprocess.run(command, input=encode(message_of(0)), capture_output=True, timeout=90)
    assert done.stderr == b""
    flushed, writing, closing = done.stdout.decode().splitlines()
    assert writing == f"cannot write {path}: File too large"
    assert closing.startswith(f"cannot write {path}: File too large; `xpose-stream recover {path}` makes")
    assert [left.name for left in tmp_path.iterdir()] == ["tracks.parquet.journal"]
    assert recover(path) == 2 * int(flushed) > 0
    assert pq.read_table(path).num_rows == 2 * int(flushed)


def run_example(containing: str, path: Path) -> dict[str, Any]:
    """Run the documentation's example with that text on the recording `path`; return its variables."""
    examples = re.findall(r"```python\n(.*?)```", DOC.read_text(), re.DOTALL)
    [example] = [code for code in examples if containing in code]
    variables: dict[str, Any] = {}
    exec(example.replace("tracks.parquet", str(path)), variables)
    return variables


def test_an_existing_file_is_refused_unless_told_to_overwrite(tmp_path: Path) -> None:
    path = tmp_path / "tracks.parquet"
    path.write_text("precious")
    with pytest.raises(SinkError, match=f"^{path} exists already"):
        Recorder(path)
    assert path.read_text() == "precious"
    assert list(tmp_path.iterdir()) == [path]
    with Recorder(path, overwrite=True) as recorder:
        recorder.write(message_of(0))
        assert path.read_text() == "precious"
    assert pq.read_table(path).num_rows == 2


@pytest.mark.parametrize(
    ("name", "reason"),
    [("missing/t.parquet", "missing does not exist"), (".", "is a folder"), ("/proc/t.parquet", "cannot write")],
)
def test_a_place_that_cannot_be_written_is_refused_in_one_sentence(name: str, reason: str, tmp_path: Path) -> None:
    with pytest.raises(SinkError, match=rf"^[^\n]*{reason}[^\n]*$"):
        Recorder(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_the_documentation_lists_exactly_the_columns_with_their_units() -> None:
    documented = re.findall(r"^\| `(\w+)` \| [^|]+ \|([^|]*)\|", DOC.read_text(), re.MULTILINE)
    assert [(name, unit.strip()) for name, unit in documented] == [
        (field.name, field.metadata[b"unit"].decode()) for field in SCHEMA
    ]


def test_the_documented_array_of_keypoints_is_what_was_tracked(tmp_path: Path) -> None:
    with Recorder(tmp_path / "tracks.parquet") as recorder:
        recorder.write(message_of(0))
        recorder.write(message_of(1, people=0))
    xy = run_example("np.stack", tmp_path / "tracks.parquet")["xy"]
    assert xy.shape == (2, 5, 2)
    assert xy[1, 0].tolist() == [150, 60]
