"""What is shown of a run: what was found beside how it goes, how far a file is, and at 80 columns all of it."""

from __future__ import annotations

import io
import json
import re
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
from rich.console import Console

from tests.stream.spot import SpotEngine, write_spot_clip
from xpose_stream.stream.ledger import Ledger
from xpose_stream.stream.session import Session
from xpose_stream.stream.site import Site
from xpose_stream.stream.watch.report import JsonLines, LiveTable, Report, live_table, notes, table_of

HEADINGS = ("camera", "state", "frames/s", "p50/p99 ms", "dropped", "detections", "tracks", "clock")


def played(report: Report | None, *sources: Path, pause: float = 0.0, realtime: bool = False) -> dict[str, Ledger]:
    cameras = [{"source": str(source), "realtime": realtime} for source in sources]
    site = Site.model_validate({"cameras": cameras})
    return Session(site, report=report, engine=SpotEngine(pause)).run()


def half_empty(folder: Path) -> Path:
    """A folder of ten images, of which the last five show a spot."""
    folder.mkdir()
    for number in range(10):
        picture = np.full((240, 320, 3), 40, np.uint8)
        if number >= 5:
            picture[100:140, 100:140] = 230
        cv2.imwrite(str(folder / f"{number}.png"), picture)
    return folder


def test_json_lines_tell_what_is_found_and_how_far_a_file_is(tmp_path: Path) -> None:
    out = io.StringIO()
    lines = JsonLines(out, period=0.05)
    lines.end(played(lines, half_empty(tmp_path / "half"), pause=0.1))
    told = [json.loads(line) for line in out.getvalue().splitlines()]
    looks, end = told[:-1], told[-1]["cameras"]["half"]["found"]
    assert end["frames_with_detections"] == end["frames_with_tracks"] == 5
    assert end["share_with_detections"] == end["share_with_tracks"] == 0.5 and end["best_score"] == 0.982
    assert (looks[-1]["detections"], looks[-1]["tracks"], looks[-1]["progress"]) == (1, 1, 1.0)
    assert looks[0]["detections"] == 0
    progress = [look["progress"] for look in looks if look["progress"] is not None]
    assert progress == sorted(progress) and len(set(progress)) >= 5
    left = [look["left_s"] for look in looks if look["left_s"] is not None]
    assert left and max(left) < 60 and left[-1] == 0


def test_the_last_line_of_a_camera_and_the_end_tell_the_same(tmp_path: Path) -> None:
    out = io.StringIO()
    lines = JsonLines(out, period=60)
    lines.end(played(lines, half_empty(tmp_path / "half"), pause=0.1))
    *looks, end = (json.loads(line) for line in out.getvalue().splitlines())
    last, half = looks[-1], end["cameras"]["half"]
    assert last["state"] == "ended" and last["published"] == half["frames"]["published"] == 10
    assert last["found"] == half["found"]


def test_the_end_table_says_in_how_many_frames_something_was_found(tmp_path: Path) -> None:
    (ledger,) = played(None, half_empty(tmp_path / "half")).values()
    told = shown(table_of(ledger, "half"))
    assert re.search(r"frames with detections +│ +5 \(50 %\)", told)
    assert re.search(r"frames with tracks +│ +5 \(50 %\)", told)
    empty = shown(table_of(Ledger(), "none"))
    assert re.search(r"frames with tracks +│ +0 \(0 %\)", empty) and "best score of anything" in empty


def shown(*things: Any, width: int = 80) -> str:
    console = Console(width=width)
    with console.capture() as capture:
        console.print(*things, sep="\n")
    return capture.get()


def test_the_live_table_shows_what_is_found_and_how_far_a_file_is(tmp_path: Path) -> None:
    clip = write_spot_clip(tmp_path / "spot.mp4", 2)
    out = io.StringIO()
    console = Console(file=out, force_terminal=True, width=80, color_system=None, highlight=False)
    played(LiveTable(console), clip, realtime=True)
    text = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", out.getvalue())
    for heading in HEADINGS:
        assert heading in text
    assert re.search(r"spot +playing .* 1, 100 % +1, 100 % file", text)
    assert re.search(r"spot: \d+ % done, 0:0\d left", text)


@pytest.mark.parametrize("name", ["a", "front-door-camera-0123456789-of-the-house"])
@pytest.mark.parametrize("cameras", [1, 3])
def test_at_80_columns_no_heading_and_no_figure_is_cut(name: str, cameras: int) -> None:
    look = {
        "camera": name, "state": "connecting", "fps": 1234.5, "p50_ms": 12345.6, "p99_ms": 99999.9,
        "dropped": {"stale": 1234567}, "detections": 50, "tracks": 50, "clock": "arrival", "progress": None,
        "found": {"share_with_detections": 0.999, "share_with_tracks": 1.0}, "reconnects": 3, "left_s": None,
        "error": "rtsp://10.0.0.5/stream refused the connection", "paused": {},
    }  # fmt: skip
    lines = shown(live_table([look] * cameras), *notes([look] * cameras)).splitlines()
    assert max(map(len, lines)) <= 80
    assert lines[1].split() == " ".join(HEADINGS).split()
    assert "connecting" in lines[3] and "12346/100000" in lines[3] and "1234567" in lines[3]
    assert "50, 99 %" in lines[3] and "50, 100 %" in lines[3] and "arrival" in lines[3]
    assert "came back 3 times; rtsp://10.0.0.5/stream refused the" in " ".join(" ".join(lines).split())
