"""Recordings of services: started again and again, killed, for weeks, on disks that fill."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import av
import msgspec
import pyarrow.parquet as pq
import pytest

from tests.stream.scene import frame_of, message_of
from tests.stream.sinks.test_recorder import start_recording
from xpose_stream.stream.recordings.unfinished import unfinished
from xpose_stream.stream.sinks.drawing import Drawing
from xpose_stream.stream.sinks.mcap import Mcap
from xpose_stream.stream.sinks.overlay import Overlay
from xpose_stream.stream.sinks.place import open_free, place_of, places_like
from xpose_stream.stream.sinks.recorder import Recorder
from xpose_stream.stream.sinks.room import Room
from xpose_stream.stream.sinks.series import Rotation, Series, recover_left
from xpose_stream.stream.sinks.sink import SinkError
from xpose_stream.stream.sinks.views import Views

ROOT = Path(__file__).parents[3]


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def frames_of(path: Path) -> list[int]:
    return sorted(set(pq.read_table(path)["frame"].to_pylist()))


def fill(disk: Path) -> Path:
    """Leave no room on it."""
    ballast = disk / "ballast"
    with contextlib.suppress(OSError), ballast.open("wb", buffering=0) as file:
        while file.write(bytes(65536)):
            pass
    return ballast


def test_the_same_recording_can_be_started_again_and_nothing_is_overwritten(tmp_path: Path) -> None:
    for index in range(3):
        with Series(str(tmp_path / "{camera}.parquet"), "door") as recording:
            recording.write(message_of(index))
    assert names(tmp_path) == ["door.2.parquet", "door.3.parquet", "door.parquet"]
    found = [frames_of(tmp_path / name) for name in ("door.parquet", "door.2.parquet", "door.3.parquet")]
    assert found == [[0], [1], [2]]


def test_two_runs_at_once_take_two_names(tmp_path: Path) -> None:
    pattern = str(tmp_path / "t.parquet")
    with Series(pattern, "door") as one, Series(pattern, "door") as other:
        one.write(message_of(1))
        other.write(message_of(2))
    assert frames_of(tmp_path / "t.parquet") == [1] and frames_of(tmp_path / "t.2.parquet") == [2]


def test_what_a_kill_left_is_recovered_at_the_next_start_but_not_what_still_runs(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    pattern = str(tmp_path / "tracks.parquet")
    killed, runs = (start_recording(tmp_path / name, message_of(0)) for name in ("tracks.parquet", "tracks.2.parquet"))
    other = start_recording(tmp_path / "tracks-of-others.parquet", message_of(0))
    time.sleep(2.5)
    for process in (killed, other):
        process.kill()
        process.communicate()
    try:
        with Series(pattern, "door") as recording:
            recording.write(message_of(7))
            recover_left(pattern, "door")
    finally:
        runs.kill()
        runs.communicate()
    assert frames_of(tmp_path / "tracks.3.parquet") == [7]
    assert len(frames_of(tmp_path / "tracks.parquet")) > 50 and "of a run that was killed are recovered" in caplog.text
    left = [name for name in names(tmp_path) if name.endswith(".journal")]
    assert left == ["tracks-of-others.parquet.journal", "tracks.2.parquet.journal"]
    recover_left(pattern, "door")
    assert not (tmp_path / "tracks.2.parquet.journal").exists() and frames_of(tmp_path / "tracks.2.parquet")


def test_a_kill_between_the_last_two_steps_leaves_one_whole_recording(tmp_path: Path) -> None:
    path = tmp_path / "tracks.parquet"
    recorder = Recorder(path)
    recorder.write(message_of(0))
    recorder.flush()
    journal = (tmp_path / "tracks.parquet.journal").read_bytes()
    recorder.close()
    (tmp_path / "tracks.parquet.journal").write_bytes(journal)
    recover_left(str(path), "door")
    assert names(tmp_path) == ["tracks.parquet"] and frames_of(path) == [0]


@pytest.mark.parametrize("rotation", [Rotation(seconds=0.15), Rotation(bytes=20_000)])
def test_a_recording_that_rotates_loses_nothing_at_the_seams(rotation: Rotation, tmp_path: Path) -> None:
    with Series(str(tmp_path / "t.parquet"), "door", rotation=rotation) as recording:
        for index in range(60):
            recording.write(message_of(index))
            time.sleep(0.01)
            if rotation.seconds > 1 and index % 10 == 0:
                recording._part.flush()
    parts = [frames_of(path) for path in tmp_path.iterdir()]
    assert len(parts) > 2 and sorted(frame for part in parts for frame in part) == list(range(60))
    assert not [name for name in names(tmp_path) if not name.endswith(".parquet")]


@pytest.mark.parametrize("rotation", [Rotation(seconds=0.15), Rotation(bytes=20_000)])
def test_an_overlay_rotates_and_loses_nothing_at_the_seams(rotation: Rotation, tmp_path: Path) -> None:
    with Drawing(str(tmp_path / "{camera}.mp4"), "door", 30.0, rotation=rotation) as drawing:
        for index in range(120):
            drawing.write(frame_of(index), message_of(index))
            time.sleep(0.005)
    counts = []
    for path in tmp_path.iterdir():
        with av.open(str(path)) as video:
            counts.append(sum(1 for _ in video.decode(video=0)))
    assert len(counts) > 2 and sum(counts) == 120


def test_a_video_for_which_there_was_no_room_at_all_leaves_no_file_and_that_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    code = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (900, 900))\n" + NO_ROOM
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path)], capture_output=True, text=True, cwd=ROOT)
    assert done.returncode == 0, done.stderr
    assert names(tmp_path) == [] and "lacks its last frames, 60 in all: File too large" in done.stderr


def test_what_is_deleted_while_it_is_written_goes_on_in_a_new_file(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    record, overlay = str(tmp_path / "t.parquet"), str(tmp_path / "o.mp4")
    with (
        Series(record, "door", room=Room()) as recording,
        Drawing(overlay, "door", 30.0, room=Room()) as drawing,
        Mcap(str(tmp_path / "t.mcap"), "door", Views, room=Room()) as mcap,
    ):
        for index in range(40):
            if index == 10:
                for path in tmp_path.iterdir():
                    path.unlink()
            recording.write(message_of(index))
            drawing.write(frame_of(index), message_of(index))
            mcap.write(frame_of(index), message_of(index))
            if index in (10, 20):
                recording._part.flush()
    assert names(tmp_path) == ["o.mp4", "t.mcap", "t.parquet"] and frames_of(tmp_path / "t.parquet")[-1] == 39
    with av.open(overlay) as video:
        assert len(list(video.decode(video=0))) == 30
    for told in "t.parquet: it was deleted", "o.mp4 was deleted", "t.mcap was deleted":
        assert told in caplog.text


NO_ROOM = """
import logging, signal, sys
from pathlib import Path
from tests.stream.scene import frame_of, message_of
from xpose_stream.stream.sinks.overlay import Overlay
from xpose_stream.stream.sinks.room import Room
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
logging.basicConfig()
with Overlay(Path(sys.argv[1]) / "o.mp4", 30.0, room=Room()) as overlay:
    for index in range(60):
        overlay.write(frame_of(index), message_of(index))
"""


def test_a_name_that_is_not_utf8_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    with pytest.raises(SinkError, match=r"its name is not UTF-8; choose another, or set LC_ALL=C\.UTF-8"):
        place_of(f"{tmp_path}/{os.fsdecode(b'caf' + bytes([0xE9]))}.parquet", "door")


@pytest.mark.parametrize("size", [(1, 1), (1, 90), (200, 1)])
def test_a_picture_of_any_shape_is_drawn(size: tuple[int, int], tmp_path: Path) -> None:
    with Overlay(tmp_path / "o.mp4", 30.0) as overlay:
        overlay.write(frame_of(0, *size), message_of(0))
    with av.open(str(tmp_path / "o.mp4")) as video:
        assert len(list(video.decode(video=0))) == 1


@pytest.mark.parametrize(
    ("text", "meant"),
    [("1h", Rotation(seconds=3600)), ("90 s", Rotation(seconds=90)), ("1GB", Rotation(bytes=1e9)),
     ("0.5gb", Rotation(bytes=5e8)), ("30min", Rotation(seconds=1800)), ("7d", Rotation(seconds=604800))],
)  # fmt: skip
def test_a_rotation_is_written_as_people_write_it(text: str, meant: Rotation) -> None:
    assert Rotation.of(text) == meant


@pytest.mark.parametrize("text", ["", "1", "h", "0h", "-1h", "1 week", "nan h", "1e3s"])
def test_what_is_no_rotation_is_refused_with_the_units_there_are(text: str) -> None:
    with pytest.raises(ValueError, match=r"such as 1h or 1GB; units are s, min, h, d, kB, MB, GB"):
        Rotation.of(text)


def test_names_have_the_camera_and_the_time_and_their_folders_are_made(tmp_path: Path) -> None:
    path = place_of(str(tmp_path / "{camera}" / "{time}.parquet"), "door")
    assert path.parent == tmp_path / "door" and path.parent.is_dir()
    assert time.time() - time.mktime(time.strptime(path.name, "%Y%m%dT%H%M%SZ.parquet")) + time.timezone < 60
    with pytest.raises(SinkError, match="does not exist; create it first"):
        place_of(str(tmp_path / "none" / "x.parquet"), "door")
    with pytest.raises(SinkError, match="name too long"):
        place_of(str(tmp_path / ("x" * 300 + ".parquet")), "door")


def test_files_of_earlier_runs_are_known_by_their_pattern(tmp_path: Path) -> None:
    ours = ["a[1].parquet", "a[1].2.parquet", "a[1].13.parquet"]
    for name in [*ours, "a1.parquet", "a[1].x.parquet", "a[1].2.mp4", "ba[1].parquet"]:
        (tmp_path / name).touch()
    assert {path.name for path in places_like(str(tmp_path / "{camera}.parquet"), "a[1]")} == set(ours)
    (tmp_path / "door-20260131T235959Z.2.parquet.journal").touch()
    (tmp_path / "door-today.parquet.journal").touch()
    [found] = places_like(str(tmp_path / "{camera}-{time}.parquet"), "door", ".journal")
    assert found.name == "door-20260131T235959Z.2.parquet"


def test_a_link_that_leads_nowhere_is_in_the_way_too(tmp_path: Path) -> None:
    (tmp_path / "t.parquet").symlink_to(tmp_path / "gone" / "t.parquet")
    with Series(str(tmp_path / "t.parquet"), "door") as recording:
        recording.write(message_of(0))
    assert frames_of(tmp_path / "t.2.parquet") == [0] and (tmp_path / "t.parquet").is_symlink()


def test_a_full_disk_pauses_the_recording_until_there_is_room(
    small_disk: Path, caplog: pytest.LogCaptureFixture
) -> None:
    room = Room()
    path = small_disk / "t.parquet"
    with Recorder(path, room=room) as recorder:
        recorder.write(message_of(0))
        recorder.flush()
        ballast = fill(small_disk)
        written = 0
        while not room.full:
            written += 1
            recorder.write(message_of(written))
            recorder.flush()
        for index in range(5):
            recorder.write(message_of(10_000 + index))
            recorder.flush()
        assert room.full == "No space left on device"
        ballast.unlink()
        recorder.write(message_of(20_000))
        recorder.flush()
        assert not room.full
    found = frames_of(path)
    assert found[-1] == 20_000 and found[:written] == list(range(written))
    assert len(found) + room.lost == written + 7 and room.lost >= 6
    assert "tracks go on" in caplog.text and f"{room.lost} frames are missing" in caplog.text
    assert names(small_disk) == ["t.parquet"]


def test_a_recording_that_begins_on_a_full_disk_is_written_when_there_is_room(small_disk: Path) -> None:
    ballast = fill(small_disk)
    room = Room()
    with Series(str(small_disk / "t.parquet"), "door", room=room) as recording:
        recording.write(message_of(0))
        time.sleep(1.5)
        assert room.full and room.lost == 1
        ballast.unlink()
        recording.write(message_of(1))
    assert frames_of(small_disk / "t.parquet") == [1]


def test_a_recording_that_ends_on_a_full_disk_says_so_and_is_recovered_at_the_next_start(small_disk: Path) -> None:
    recording = Series(str(small_disk / "t.parquet"), "door", room=Room())
    for index in range(400):
        recording.write(message_of(index))
    recording._part.flush()
    ballast = fill(small_disk)
    recording.write(message_of(400))
    with pytest.raises(SinkError, match=r"No space left on device; `xpose-stream recover .*t\.parquet` makes"):
        recording.close()
    ballast.unlink()
    recover_left(str(small_disk / "t.parquet"), "door")
    assert frames_of(small_disk / "t.parquet")[:400] == list(range(400)) and names(small_disk) == ["t.parquet"]


def test_a_full_disk_leaves_a_gap_in_the_overlay_that_players_pass(small_disk: Path) -> None:
    import av

    room = Room()
    path = small_disk / "o.mp4"
    with Overlay(path, 30.0, room=room) as overlay:
        ballast: Path | None = None
        for index in range(240):
            if index == 90:
                ballast = fill(small_disk)
            if index == 180 and ballast:
                assert room.full and room.lost > 30
                ballast.unlink()
            overlay.write(frame_of(index), message_of(index))
    with av.open(str(path)) as video:
        times = [frame.time for frame in video.decode(video=0)]
    assert len(times) == 240 - room.lost and times == sorted(times) and max(times) > 7.5


def test_a_recording_whose_folder_is_deleted_says_so_and_begins_anew_when_it_is_back(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    room = Room()
    with Recorder(folder / "t.parquet", room=room) as recorder:
        for index in range(3):
            recorder.write(message_of(index))
            recorder.flush()
            if index == 0:
                shutil.rmtree(folder)
            if index == 1:
                assert room.full and room.lost == 1 and "it was deleted" in caplog.text
                folder.mkdir()
    assert frames_of(folder / "t.parquet") == [2] and names(folder) == ["t.parquet"]


@pytest.mark.skipif(os.getuid() != 0, reason="only root may become another user")
def test_what_another_user_left_is_in_the_way_and_no_more(tmp_path: Path) -> None:
    (tmp_path / "t.parquet.journal").write_bytes(b"of root")
    (tmp_path / "t.2.parquet.journal").mkdir()
    (tmp_path / "t.parquet.journal").chmod(0o600)
    (tmp_path / "t.3.parquet.partial").write_bytes(b"of root")
    tmp_path.chmod(0o777)
    for folder in list(tmp_path.parents)[:2]:
        folder.chmod(0o711)
    os.seteuid(23456)
    try:
        with Series(str(tmp_path / "t.parquet"), "door", room=Room()) as recording:
            recording.write(message_of(0))
        recover_left(str(tmp_path / "t.parquet"), "door")
    finally:
        os.seteuid(0)
    assert frames_of(tmp_path / "t.3.parquet") == [0]
    left = ["t.2.parquet.journal", "t.3.parquet", "t.3.parquet.partial", "t.parquet.journal"]
    assert names(tmp_path) == left and (tmp_path / "t.3.parquet.partial").read_bytes() == b"of root"


@pytest.mark.skipif(os.getuid() != 0, reason="only root may become another user")
def test_what_another_user_began_keeps_nobody_from_finishing(tmp_path: Path) -> None:
    (tmp_path / "t.csv.partial").write_bytes(b"of root")
    tmp_path.chmod(0o1777)
    for folder in list(tmp_path.parents)[:2]:
        folder.chmod(0o711)
    os.seteuid(23456)
    try:
        with unfinished(tmp_path / "t.csv") as place:
            place.write_text("done")
    finally:
        os.seteuid(0)
    assert (tmp_path / "t.csv").read_text() == "done" and names(tmp_path) == ["t.csv", "t.csv.partial"]


def test_an_overlay_takes_a_free_name_too(tmp_path: Path) -> None:
    (tmp_path / "o.mp4").write_text("precious")
    with open_free(tmp_path / "o.mp4", lambda place: Overlay(place, 30.0)) as overlay:
        overlay.write(frame_of(0), message_of(0))
    assert names(tmp_path) == ["o.2.mp4", "o.mp4"] and (tmp_path / "o.mp4").read_text() == "precious"


def test_a_week_of_rows_has_a_footer_that_can_be_read(tmp_path: Path) -> None:
    """Rows of a week in small: as many flushes as 40 minutes have, each of a second."""
    path = tmp_path / "t.parquet"
    message = message_of(0, people=1)
    with Recorder(path) as recorder:
        for second in range(2400):
            for index in range(3):
                recorder.write(msgspec.structs.replace(message, frame=3 * second + index))
            recorder.flush()
    file = pq.ParquetFile(path)
    assert file.metadata.num_rows == 7200 and file.num_row_groups == 1
