"""`export` as a user calls it: names, progress, mistakes, Ctrl-C."""

from __future__ import annotations

import importlib.util
import signal
import subprocess
import sys
import time
from pathlib import Path

import av
import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.stream.recordings.eventful import messages, record
from xpose_stream.stream.recordings.export.export import export
from xpose_stream.stream.recordings.export.formats import FORMATS
from xpose_stream.stream.recordings.export.job import ExportError
from xpose_stream.stream.recordings.recording import Recording
from xpose_stream.stream.sinks.recorder import Recorder
from xpose_stream.stream.sinks.sink import SinkError

ROOT = Path(__file__).parents[4]
FULL = """
import os, shutil, sys
from pathlib import Path
sys.path.append(str(Path(sys.prefix) / "readers"))
from xpose_stream.error import UserError
from xpose_stream.stream.recordings.export.export import export
from xpose_stream.stream.recordings.recording import Recording

recording, disk, elsewhere, video = Recording(sys.argv[1]), *map(Path, sys.argv[2:5])
for name in sys.argv[5:]:
    how = {"video": video} if name == "mp4" else {"metres_per_pixel": 0.01}
    whole, _ = export(recording, name, elsewhere, **how)
    files = [file for file in (whole.rglob("*") if whole.is_dir() else [whole]) if file.is_file()]
    size = sum(file.stat().st_blocks * 512 for file in files)
    for beside in elsewhere.parent.glob("whole*"):
        shutil.rmtree(beside) if beside.is_dir() else beside.unlink()
    for part in (0.0, 0.4, 0.8):
        ballast = disk / "ballast"
        ballast.unlink(missing_ok=True)
        free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_frsize
        ballast.write_bytes(bytes(free - int(part * size) // 4096 * 4096))
        try:
            export(recording, name, disk / "out", **how)
            told = "written"
        except UserError as error:
            told = str(error)
        print(name, told, *sorted(path.name for path in disk.iterdir()), sep="\\t", flush=True)
        shutil.rmtree(disk / "out", ignore_errors=True)
"""
FREE = [name for name in FORMATS if name != "mp4"]


def command(*arguments: object) -> list[str]:
    return [sys.executable, str(ROOT / "run_stream.py"), *map(str, arguments)]


def needed(name: str) -> None:
    if FORMATS[name].needs:
        pytest.importorskip({"c3d": "ezc3d", "sleap": "sleap_io", "rerun": "rerun"}.get(name, "h5py"))


@pytest.mark.parametrize("name", FREE)
def test_a_recording_without_frames_makes_files_too(name: str, tmp_path: Path) -> None:
    needed(name)
    with Recorder(tmp_path / "none.parquet"):
        pass
    path, notes = export(Recording(tmp_path / "none.parquet"), name, metres_per_pixel=0.01)
    assert path.exists() and notes == []
    assert path.is_dir() == FORMATS[name].folder


@pytest.mark.parametrize("name", FREE)
def test_a_second_export_does_not_overwrite_the_first(name: str, even: Recording, tmp_path: Path) -> None:
    needed(name)
    path, _ = export(even, name, tmp_path / "out", metres_per_pixel=0.01)
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(SinkError, match=r"out (exists already|is a folder)"):
        export(even, name, path, metres_per_pixel=0.01)
    assert sorted(tmp_path.rglob("*")) == before
    assert not [file for file in tmp_path.rglob("*") if file.name.startswith(".") or "partial" in file.name]


def test_an_unknown_format_is_refused_with_those_there_are(even: Recording, tmp_path: Path) -> None:
    with pytest.raises(ExportError, match=f"no format 'bvh': 2-D .*; there are {', '.join(FORMATS)}"):
        export(even, "bvh", tmp_path / "out")
    with pytest.raises(ExportError, match="no format 'xlsx'; there are csv, coco"):
        export(even, "xlsx", tmp_path / "out")


def test_the_docs_and_the_help_say_of_each_format_what_is_lost_in_it() -> None:
    lines = (ROOT / "docs" / "exports.md").read_text().splitlines()
    rows = [line.strip("| ").split(" | ") for line in lines if line.startswith("| `")]
    listed = {row[0].strip("`"): row[-1] for row in rows if row[0] != "`--to`"}
    assert listed == {name: form.lost for name, form in FORMATS.items()}
    told = " ".join(subprocess.run(command("export", "--help"), capture_output=True, text=True).stdout.split())
    for name, form in FORMATS.items():
        assert f"{name}: {form.what}; without {form.lost}" in told


def test_the_command_writes_says_what_it_did_and_fails_in_one_sentence(tmp_path: Path) -> None:
    recording = record(tmp_path / "tracks.parquet", messages(irregular=True))
    how = {"capture_output": True, "text": True, "timeout": 300}
    done = subprocess.run(command("export", recording, "--to", "trc", "--metres-per-pixel", "0.01"), **how)
    assert done.returncode == 0 and done.stderr == ""
    assert done.stdout.splitlines() == [
        "5 of 5 tracks came at irregular times and were resampled by the smoother",
        "2 of 5 tracks had gaps, which the smoother filled",
        f"{tmp_path / 'tracks.trc'}",
    ]
    done = subprocess.run(command("export", recording, "--to", "mp4", "--video", recording), **how)
    assert done.returncode == 1 and len(done.stderr.splitlines()) == 1 and "tracks.parquet" in done.stderr
    assert sorted(path.name for path in tmp_path.iterdir()) == ["tracks.parquet", "tracks.trc"]


@pytest.mark.parametrize(
    ("name", "number"), [("csv", signal.SIGINT), ("pose2sim", signal.SIGTERM), ("movement", signal.SIGINT)]
)
def test_when_it_is_stopped_nothing_stays_half_written(name: str, number: int, tmp_path: Path) -> None:
    recording = record(tmp_path / "tracks.parquet", messages(count=400))
    table = pq.read_table(recording)
    with pq.ParquetWriter(tmp_path / "long.parquet", table.schema) as writer:
        for _ in range(300):
            writer.write_table(table)
        writer.add_key_value_metadata(pq.read_metadata(recording).metadata)
    process = subprocess.Popen(command("export", tmp_path / "long.parquet", "--to", name), stdout=subprocess.DEVNULL)
    end = time.monotonic() + 120
    while not list(tmp_path.glob("*.partial")) and time.monotonic() < end:
        time.sleep(0.02)
    process.send_signal(number)
    assert process.wait(60) == 130
    assert sorted(path.name for path in tmp_path.iterdir()) == ["long.parquet", "tracks.parquet"]


def test_a_full_disk_is_told_and_leaves_nothing(even: Recording, small_disk: Path, tmp_path: Path) -> None:
    """Of every format, at its beginning, in the middle and near its end; in a process that a library may crash."""
    names = [name for name in FORMATS if installed(name)]
    noise = np.random.default_rng(0).integers(0, 255, (240, 320, 3), np.uint8)  # else the video is smaller than a page
    with av.open(str(tmp_path / "hall.mp4"), "w") as video:
        stream = video.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        for shift in range(40):
            video.mux(stream.encode(av.VideoFrame.from_ndarray(np.roll(noise, 5 * shift, 1), format="rgb24")))
        video.mux(stream.encode(None))
    script = [sys.executable, "-c", FULL, even.path, small_disk, tmp_path / "whole", tmp_path / "hall.mp4", *names]
    done = subprocess.run(list(map(str, script)), capture_output=True, text=True, timeout=600, cwd=ROOT)
    told = [line.split("\t") for line in done.stdout.splitlines()]
    assert done.returncode == 0, (done.stdout[-300:], done.stderr[-3000:])
    assert [each[0] for each in told] == [name for name in names for _ in range(3)]
    for name, sentence, left in told:
        assert sentence == f"cannot write {small_disk / 'out'}: No space left on device", name
        assert left == "ballast"


def installed(name: str) -> bool:
    module = {"sleap": "sleap_io", "dlc": "tables", "rerun": "rerun"}.get(name, "re")
    return importlib.util.find_spec(module) is not None
