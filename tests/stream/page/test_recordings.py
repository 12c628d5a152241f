"""Recordings are made, looked at and exported from the page."""

from __future__ import annotations

import io
import json
import random
import shutil
import struct
import subprocess
import sys
import time
import urllib.error
import urllib.request
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import cv2
import msgpack
import numpy as np
import pyarrow.parquet as pq
import pytest
from playwright.sync_api import Page, expect
from websockets.sync.client import connect

from tests.stream.page.conftest import Live
from tests.stream.page.numbered import number_in
from tests.stream.page.test_page import violations
from xpose_stream.stream.recordings.export.export import export
from xpose_stream.stream.recordings.recording import Recording
from xpose_stream.stream.sinks.messages import encode

ROOT = Path(__file__).parents[3]
Ask = Callable[..., dict[str, Any]]


class Refused(Exception):
    """The server's sentence."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Of the recordings."""
    (tmp_path / "recordings").mkdir()
    return tmp_path / "recordings"


@pytest.fixture
def clip(numbered: Path, tmp_path: Path) -> Path:
    """Numbered frames in a file that a test may take away."""
    return Path(shutil.copy(numbered, tmp_path / "numbered.mp4"))


@pytest.fixture
def running(live: Callable, clip: Path, folder: Path) -> Iterator[Live]:
    with live({"door": str(clip)}, pause=1 / 100, recordings=folder) as running:
        yield running


@pytest.fixture
def ask(running: Live) -> Iterator[Ask]:
    """Asks as a page does; `picture` and `message` of a moment are added to its answer."""
    with connect(f"ws://127.0.0.1:{running.server.port}/ws", max_size=None) as socket:

        def asked(do: str, **order: Any) -> dict[str, Any]:
            socket.send(json.dumps({"do": do, "id": 7, **order}))
            shown: dict[str, Any] = {}
            while True:
                data = socket.recv(60)
                if isinstance(data, bytes):
                    (length,) = struct.unpack("<I", data[:4])
                    shown = msgpack.unpackb(data[4 : 4 + length])
                    jpeg = np.frombuffer(data[4 + length :], np.uint8)
                    shown["picture"] = cv2.imdecode(jpeg, cv2.IMREAD_COLOR) if len(jpeg) else None
                elif (answer := json.loads(data))["type"] == "answer":
                    if "error" in answer:
                        raise Refused(answer["error"])
                    return shown | answer

        yield asked


def recorded(running: Live, ask: Ask, frames: int = 60, video: bool = True) -> str:
    """Record about so many frames more; the recording's name."""
    ask("record", video=video)
    running.rig.wait_for_more("door", frames)
    assert ask("stop")["errors"] == []
    return str(ask("recordings")["recordings"][0]["name"])


def check_moments(ask: Ask, name: str) -> None:
    """Any moment of it, far and near, is the picture with the number of its message."""
    told = ask("open", recording=name)
    chance = random.Random(0)
    of = {"recording": name, "camera": told["camera"], "width": 1000}
    for _ in range(12):
        shown = ask("moment", **of, time=chance.uniform(0, told["seconds"]))
        assert number_in(shown["picture"]) == shown["message"]["frame"]
        for step in (1, 1, -1):
            before, shown = shown, ask("moment", **of, time=shown["seconds"], step=step)
            assert number_in(shown["picture"]) == shown["message"]["frame"]
            if 0 < before["at"] < told["frames"] - 1:
                assert shown["message"]["frame"] == before["message"]["frame"] + step


def test_a_recording_made_from_the_page_is_complete_and_shows_the_frames_that_were_recorded(
    running: Live, ask: Ask, folder: Path
) -> None:
    name = recorded(running, ask)
    assert name.startswith("door-2") and name.endswith("Z.parquet")
    messages = list(Recording(folder / name))
    frames = [message.frame for message in messages]
    assert len(frames) >= 60 and frames == list(range(frames[0], frames[-1] + 1)), "no frame is missing"
    with av.open(str(folder / name.replace(".parquet", ".mp4"))) as drawn:
        assert sum(1 for _ in drawn.decode(video=0)) == len(frames), "the video has the same frames"
    told = ask("open", recording=name)
    assert (told["frames"], told["video"], told["size"]) == (len(frames), "source", [480, 240])
    check_moments(ask, name)
    ledger = running.rig.camera("door").ledger
    running.rig.wait(lambda: ledger.balanced, "balance")
    assert not ledger.dropped


def test_without_its_source_the_drawn_video_is_shown_and_else_the_tracks_alone(
    running: Live, ask: Ask, clip: Path, folder: Path
) -> None:
    name = recorded(running, ask)
    clip.unlink()
    told = ask("open", recording=name)
    assert told["video"] == "overlay"
    with av.open(str(folder / name.replace(".parquet", ".mp4"))) as drawn:
        frames = np.stack([frame.to_ndarray(format="bgr24") for frame in drawn.decode(video=0)]).astype(int)
    for when in (0.9, 0.2, 1.4, 0.0, told["seconds"]):  # what is drawn covers the number: the video's own frame it is
        shown = ask("moment", recording=name, camera="door", time=when, width=1000)
        assert np.abs(frames - shown["picture"]).mean((1, 2, 3)).argmin() == shown["at"]
    bare = recorded(running, ask, frames=20, video=False)
    assert not (folder / bare.replace(".parquet", ".mp4")).exists()
    assert ask("open", recording=bare)["video"] == ""
    shown = ask("moment", recording=bare, camera="door", time=0.5)
    assert shown["blank"] and shown["picture"] is None and shown["message"]["tracks"]


def test_lanes_and_curves_say_what_the_recording_says_wherever_its_row_groups_end(
    running: Live, ask: Ask, folder: Path
) -> None:
    name = recorded(running, ask, video=False)
    asked = {key: value for key, value in pq.read_metadata(folder / name).metadata.items() if key != b"ARROW:schema"}
    table = pq.read_table(folder / name).replace_schema_metadata(asked)
    for rows in (len(table), 7):
        pq.write_table(table, folder / name, row_group_size=rows)
        copy = folder / f"of-{rows}.parquet"
        (folder / name).rename(copy)
        told = ask("open", recording=copy.name)
        rows_of = Recording(copy).rows(told["categories"][0]["name"])
        identity = told["lanes"][0][0]
        mine = rows_of.ids == identity
        order = {"recording": copy.name, "camera": "door", "track": identity, "keypoint": 1}
        curve = ask("curve", **order, begin=-1e308, end=1e308)
        assert curve["every"] == 1 and len(curve["x"]) == mine.sum()
        assert np.allclose(np.c_[curve["x"], curve["y"]], rows_of.keypoints[mine, 1], atol=1e-3)
        assert np.allclose(curve["seconds"], rows_of.captured_at[mine] - table["captured_at"][0].as_py(), atol=1e-3)
        part = ask("curve", **order, begin=0.5, end=1.0)
        assert part["seconds"] == [time for time in curve["seconds"] if 0.5 <= time <= 1.0]
        frames = [ask("moment", recording=copy.name, camera="door", time=when)["message"] for when in (0.3, 1.2, 0.1)]
        messages = {message.frame: message for message in Recording(copy)}
        for one in frames:
            assert one == msgpack.unpackb(encode(messages[one["frame"]]))
        shutil.copy(copy, folder / name)
    with pytest.raises(Refused, match="has no track 99"):
        ask("curve", **{**order, "track": 99}, begin=0, end=1)
    with pytest.raises(Refused, match="has no keypoint 500"):
        ask("curve", **{**order, "keypoint": 500}, begin=0, end=1)


def exported(running: Live, ask: Ask, name: str, form: str, **how: Any) -> dict[str, Any]:
    """How an export ended."""
    ask("export", recording=name, format=form, **how)
    exporter = running.library.exporter
    running.rig.wait(lambda: exporter.told() and exporter.told()["state"] != "writing", form)
    return dict(exporter.told() or {})


def taken(address: str) -> zipfile.ZipFile:
    return zipfile.ZipFile(io.BytesIO(urllib.request.urlopen(address).read()))


def test_exports_are_what_the_command_writes_and_can_be_taken_away(
    running: Live, ask: Ask, folder: Path, tmp_path: Path
) -> None:
    name = recorded(running, ask, frames=20, video=False)
    base = f"{running.url}recordings/{name}"
    assert urllib.request.urlopen(f"{base}/parquet").read() == (folder / name).read_bytes()
    with pytest.raises(urllib.error.HTTPError, match="404"):
        urllib.request.urlopen(f"{base}/csv")
    assert exported(running, ask, name, "csv")["state"] == "done"
    written, _ = export(Recording(folder / name), "csv", tmp_path / "by-command.csv")
    with taken(f"{base}/csv") as archive:
        stem = name.removesuffix(".parquet")
        assert archive.namelist() == [f"{stem}.csv", f"{stem}.csv-metadata.json"]
        assert archive.read(f"{stem}.csv") == written.read_bytes()
    assert exported(running, ask, name, "pose2sim")["state"] == "done"
    with taken(f"{base}/pose2sim") as archive:
        assert archive.testzip() is None and len(archive.namelist()) >= 20
    assert ask("open", recording=name)["made"] == ["csv", "pose2sim"]
    told = exported(running, ask, name, "trc")
    assert told["state"] == "failed" and "metres" in told["error"] and str(folder) not in told["error"]
    assert exported(running, ask, name, "trc", metres_per_pixel=0.002)["state"] == "done"
    with pytest.raises(Refused, match="there is no format"):
        ask("export", recording=name, format="exe")


def test_a_page_chooses_among_the_recordings_and_reaches_nothing_else(running: Live, ask: Ask, folder: Path) -> None:
    (folder.parent / "secret.parquet").write_bytes(b"secret")
    (folder / "broken.parquet").write_bytes(b"nonsense")
    for name in ("../secret.parquet", f"{folder.parent}/secret.parquet", "secret.parquet", "/etc/passwd", ".", "\x00"):
        for do in ("open", "export"):
            with pytest.raises(Refused, match="no recording of that name"):
                ask(do, recording=name, **({"format": "csv"} if do == "export" else {}))
    with pytest.raises(Refused, match="cannot be read as a recording"):
        ask("open", recording="broken.parquet")
    for path in ("..%2fsecret.parquet/parquet", "broken.parquet/..", "broken.parquet/py", "%2fetc/passwd", "x/parquet"):
        with pytest.raises(urllib.error.HTTPError, match="404"):
            urllib.request.urlopen(f"{running.url}recordings/{path}")


def test_takes_of_one_second_have_names_of_their_own_and_one_is_made_at_a_time(
    running: Live, ask: Ask, folder: Path
) -> None:
    with pytest.raises(Refused, match="Nothing is being recorded"):
        ask("stop")
    for _ in range(3):
        recorded(running, ask, frames=2, video=False)
    assert len(list(folder.glob("door-*.parquet"))) == 3
    ask("record", video=False)
    with pytest.raises(Refused, match="recorded already"):
        ask("record", video=True)


def test_a_recording_that_cannot_be_written_ends_alone(running: Live, ask: Ask, folder: Path) -> None:
    folder.rmdir()
    ask("record", video=True)
    running.rig.wait_for_more("door", 20)
    assert any("does not exist" in error for error in ask("stop")["errors"])
    running.rig.wait_for_more("door", 5)
    assert ask("recordings")["recordings"] == []


def test_a_recording_that_runs_when_the_stream_ends_is_complete(live: Callable, clip: Path, folder: Path) -> None:
    with live({"door": str(clip)}, pause=1 / 100, recordings=folder) as running:
        running.rig.wait_for_more("door", 2)
        running.library.takes.start(True)
        running.rig.wait_for_more("door", 20)
    (path,) = folder.glob("*.parquet")
    assert len(list(Recording(path))) >= 20 and path.with_suffix(".mp4").exists()
    assert not list(folder.glob("*.journal"))


def test_without_a_folder_there_is_no_button_and_nothing_is_recorded(page: Page, live: Callable, clip: Path) -> None:
    with live({"door": str(clip)}, pause=1 / 60) as running:
        page.goto(running.url)
        page.wait_for_selector("canvas[data-frame]", timeout=60_000)
        expect(page.locator("#connection")).to_have_text("connected")
        expect(page.locator("#taking")).to_be_hidden()
        with connect(f"ws://127.0.0.1:{running.server.port}/ws") as socket:
            socket.send('{"do": "record", "id": 1}')
            while (told := json.loads(socket.recv(20)))["type"] != "answer":
                pass
        assert "--recordings" in told["error"]


def test_a_recording_is_replayed_to_a_page_of_its_own(
    page: Page, running: Live, ask: Ask, folder: Path
) -> None:
    name = recorded(running, ask, frames=90)
    first, *_, last = [message.frame for message in Recording(folder / name)]
    command = [sys.executable, str(ROOT / "run_stream.py"), "replay", str(folder / name), "--page", "127.0.0.1:0"]
    command += ["--start", "0.5", "--speed", "1.5", "--loop"]
    replay = subprocess.Popen(command, stderr=subprocess.PIPE, text=True)
    try:
        assert replay.stderr
        page.add_init_script("document.addEventListener('played', ({detail}) => (window.seen ??= []).push(detail))")
        page.goto(replay.stderr.readline().removeprefix("page: ").strip())
        page.wait_for_function("() => window.seen?.some((one, at) => at && one.at < window.seen[at - 1].at)")
        seen = page.evaluate("() => window.seen.map(({at, seconds, message}) => [at, seconds, message.frame])")
        assert seen[0][1] == pytest.approx(0.5, abs=0.05), "from where it was wanted"
        assert [frame for _, _, frame in seen] == [first + at for at, _, _ in seen]
        turn = next(i for i, (at, *_) in enumerate(seen) if at < seen[i - 1][0] and i)
        assert seen[turn - 1][2] == last and seen[turn][1] < 0.5, "at its end it begins again, from its beginning"
        for control in ("#words", "#freeze", "#leave", "#taking"):
            expect(page.locator(control)).to_be_hidden()
        assert page.locator("#speed").input_value() == "1.5"
        page.keyboard.press("Escape")
        expect(page.locator("#screen")).to_be_visible()
        replay.terminate()
        assert replay.wait(30) == 0
    finally:
        replay.kill()
        replay.wait()
    with connect(f"ws://127.0.0.1:{running.server.port}/ws") as socket:
        assert json.loads(socket.recv(30))["opened"] is None, "a stream's page begins with the stream"


def test_a_run_is_given_its_folder_and_says_what_made_a_recording(clip: Path, tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "run_stream.py"), "run", str(clip), "--page", "127.0.0.1:0"]
    refused = subprocess.run([*command, "--recordings", "a/b/c"], cwd=tmp_path, capture_output=True, text=True)
    assert refused.returncode == 1 and "a/b/c" in refused.stderr and "Traceback" not in refused.stderr
    command += ["--recordings", "tracks"]
    with subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as running:
        assert running.stderr
        port = running.stderr.readline().rpartition(":")[2].strip().strip("/")
        with connect(f"ws://127.0.0.1:{port}/ws") as socket:
            while not (told := json.loads(socket.recv(120))).get("cameras") or told["type"] != "status":
                pass
            socket.send('{"do": "record", "id": 1}')
            while (told := json.loads(socket.recv(120)))["type"] != "answer":
                pass
            assert "error" not in told
            while not list((tmp_path / "tracks").iterdir()):
                time.sleep(0.05)
        running.terminate()
        running.communicate(timeout=60)
    (path,) = (tmp_path / "tracks").iterdir()
    made = json.loads(Recording(path).metadata["made"])
    assert made["source"] == str(clip) and made["weights"] and made["program"]


PLAYED = """() => document.addEventListener("played",
  ({detail}) => (window.played ??= []).push(detail.message.frame))"""


@pytest.mark.parametrize("size", [(1280, 800), (390, 844)])
def test_the_keyboard_alone_records_and_looks_at_it(page: Page, running: Live, size: tuple[int, int]) -> None:
    page.set_viewport_size({"width": size[0], "height": size[1]})
    page.goto(running.url)
    page.wait_for_selector("canvas[data-frame]", timeout=60_000)
    page.evaluate(PLAYED)
    page.keyboard.press("o")
    expect(page.locator("#record-text")).to_contain_text("Stop")
    running.rig.wait_for_more("door", 40)
    page.keyboard.press("o")
    expect(page.locator("#take-said")).to_contain_text("Recorded")
    page.keyboard.press("l")
    expect(page.locator("#shelf button")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.locator("#clock")).to_contain_text("1 of")
    page.keyboard.press("ArrowRight")
    expect(page.locator("#clock")).to_contain_text("2 of")
    page.keyboard.press("End")
    last = int(page.locator("#clock").inner_text().rpartition(" ")[2])
    expect(page.locator("#clock")).to_contain_text(f"{last} of")
    page.keyboard.press("Home")
    expect(page.locator("#clock")).to_contain_text("· 1 of")
    page.locator("#screen").scroll_into_view_if_needed()
    page.evaluate("() => document.activeElement.blur()")
    page.keyboard.press(" ")
    expect(page.locator("#clock")).to_contain_text(f"{last} of")
    frames = page.evaluate("() => played")
    assert len(set(frames)) > 5 and max(frames) - min(frames) == last - 1
    expect(page.locator("#curves canvas")).to_have_count(2)
    assert not violations(page)
    assert page.evaluate("() => document.documentElement.scrollWidth") <= size[0], "nothing lies beside the screen"
    for name in ("Play", "csv", "Back to live"):
        button = page.locator("#player").get_by_role("button", name=name)
        button.scroll_into_view_if_needed()
        expect(button).to_be_in_viewport()
    page.locator("#player").get_by_role("button", name="csv").click()
    expect(page.locator("#formats a", has_text="csv")).to_be_visible()
    page.keyboard.press("Escape")
    expect(page.locator("#grid")).to_be_visible()
    before = page.locator("#grid canvas").first.get_attribute("data-frame")
    expect(page.locator("#grid canvas").first).not_to_have_attribute("data-frame", before or "")
