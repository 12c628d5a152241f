"""What `show` says of a recording, and what is found out about its times."""

from __future__ import annotations

import io
from pathlib import Path

import msgspec
import pytest
from rich.console import Console

from tests.stream.recordings.eventful import HALL, KITCHEN, messages, record
from tests.stream.scene import message_of
from xpose_stream.stream.recordings.recording import Recording
from xpose_stream.stream.recordings.show import show
from xpose_stream.stream.recordings.survey import survey
from xpose_stream.stream.sinks.recorder import Recorder


def told_of(recording: Recording) -> str:
    console = Console(file=io.StringIO(), width=100)
    show(recording, console)
    assert isinstance(console.file, io.StringIO)
    return console.file.getvalue()


def test_it_shows_cameras_tracks_gaps_drops_and_where_they_moved(tmp_path: Path) -> None:
    told = told_of(Recording(record(tmp_path / "tracks.parquet", messages(rate=1.0))))
    lines = [line.split() for line in told.splitlines()]
    assert told.startswith("tracks.parquet: 49.0 s, 119 rows; looked for: person, Becher 杯 (version 2)")
    assert ["hall", "320x240,", "1/s", "49.0", "s", "48", "2", "3", "s", "2", "4", "6%"] in lines
    assert [*KITCHEN.split(), "320x240,", "1/s", "49.0", "s", "50", "0", "1", "s", "1", "1", "10%"] in lines
    assert ["70001", "hall", "Becher", "杯", "25.0", "s", "4.0", "s", "5", "0"] in lines
    picture = told.split("hall: the middles of all boxes")[1].split("└")[0].splitlines()[2:]
    dots = [index for index, line in enumerate(picture) if set(line) - set("│ ")]
    assert dots and all(line.startswith("│") for line in picture[:-1])
    assert 0.3 < dots[-1] / len(picture) < 0.5  # their boxes' middles were at 105 of 240 px


def test_it_shows_a_recording_without_frames_and_one_without_tracks(tmp_path: Path) -> None:
    with Recorder(tmp_path / "none.parquet"):
        pass
    assert told_of(Recording(tmp_path / "none.parquet")).startswith("none.parquet: 0.0 s, 0 rows; looked for: nothing")
    empty = [message_of(index, people=0) for index in range(3)]
    assert "100%" in told_of(Recording(record(tmp_path / "empty.parquet", empty)))


@pytest.mark.parametrize("size", [10, 100_000])
def test_times_go_on_where_a_clock_is_set_or_is_not_the_time_of_day(size: int, tmp_path: Path) -> None:
    made = []
    for index in range(30):  # its clock is found after 10 frames, lies in 1970, and begins anew after a reboot
        seconds = index / 10
        message = message_of(index, people=1)
        times = {"published_at": 1.7e9 + seconds + 0.05, "captured_at": 1.7e9 + seconds, "clock": "arrival"}
        if index >= 10:
            times |= {"captured_at": 5000 + seconds, "clock": "sender"}
        if index >= 20:
            times |= {"captured_at": 3 + seconds, "epoch": 1}
        made.append(msgspec.structs.replace(message, **times))
    recording = Recording(record(tmp_path / "tracks.parquet", made))
    told = survey(recording)
    [camera] = told.cameras
    assert camera.clocks == ["arrival", "sender"] and camera.epochs == 2
    assert camera.rate == pytest.approx(10) and camera.end == pytest.approx(2.9, abs=1e-3)
    assert told.seconds(recording.table()).tolist() == pytest.approx([index / 10 for index in range(30)], abs=1e-3)


def test_cameras_have_one_time_and_files_each_their_own(tmp_path: Path) -> None:
    live = messages()
    late = [msgspec.structs.replace(m, captured_at=m.captured_at + 0.5 * (m.camera == KITCHEN)) for m in live]
    hall, kitchen = survey(Recording(record(tmp_path / "live.parquet", late))).cameras
    assert (hall.name, hall.begin) == (HALL, 0.0) and kitchen.begin == pytest.approx(0.5, abs=1e-6)
    files = [message_of(index, camera=camera) for index in range(5) for camera in ("a", "b")]
    assert [camera.begin for camera in survey(Recording(record(tmp_path / "files.parquet", files))).cameras] == [0, 0]
