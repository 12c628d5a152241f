"""A run of a site: many cameras in one process, each with its own files; passwords stay where they are."""

from __future__ import annotations

import io
import json
import logging
import os
import re
import signal
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pyarrow.parquet as pq
import pytest

from tests.stream.spot import SpotEngine, write_spot_clip
from xpose_stream.stream.recordings.recording import Recording
from xpose_stream.stream.recordings.smooth import tracker_of
from xpose_stream.stream.session import Session
from xpose_stream.stream.sinks.messages import TracksMessage
from xpose_stream.stream.sinks.sink import SinkError
from xpose_stream.stream.site import Site
from xpose_stream.stream.sources import SourceError
from xpose_stream.stream.watch.report import JsonLines

ROOT = Path(__file__).parents[2]
FAMILIES = {
    "xpose_frames_received_total",
    "xpose_frames_published_total",
    "xpose_camera_up",
    "xpose_epoch",
    "xpose_reconnects_total",
    "xpose_corrupt_total",
    "xpose_latency_seconds_bucket",
}


def site_file(folder: Path, cameras: list[dict[str, Any]], **parts: Any) -> Path:
    path = folder / "site.yaml"
    path.write_text(json.dumps({"cameras": cameras, **parts}))  # JSON is YAML
    return path


def run(site: Site, **settings: Any) -> tuple[dict[str, Any], list[TracksMessage]]:
    messages: list[TracksMessage] = []
    session = Session(site, engine=SpotEngine(), **settings)
    return session.run(lambda frame, message: messages.append(message)), messages


def test_every_camera_of_a_site_has_its_own_files_and_ledger(tmp_path: Path) -> None:
    clips = [str(write_spot_clip(tmp_path / f"{name}.mp4", 2)) for name in ("door", "yard")]
    parts = {"record": str(tmp_path / "{camera}.parquet"), "overlay": str(tmp_path / "{camera}-overlay.mp4")}
    path = site_file(tmp_path, [{"source": clip} for clip in clips], outputs=parts)
    ledgers, messages = run(Site.load(path))
    assert set(ledgers) == {"door", "yard"} and len(messages) == 60
    for name, ledger in ledgers.items():
        assert ledger.balanced and ledger.published == 30
        rows = pq.read_table(tmp_path / f"{name}.parquet")
        assert set(rows["camera"].to_pylist()) == {name} and len(set(rows["frame"].to_pylist())) == 30
        assert set(rows["clock"].to_pylist()) == {"file"} and set(rows["epoch"].to_pylist()) == {0}
        assert (tmp_path / f"{name}-overlay.mp4").exists()


def test_a_camera_that_cannot_be_read_ends_alone_and_only_all_together_end_in_an_error(tmp_path: Path) -> None:
    good = str(write_spot_clip(tmp_path / "good.mp4", 1))
    ledgers, messages = run(Site.load(site_file(tmp_path, [{"source": good}, {"source": str(tmp_path / "none.mp4")}])))
    assert ledgers["good"].published == 15 == len(messages)
    with pytest.raises(SourceError, match=r"there is no file or folder .*none\.mp4"):
        run(Site.load(site_file(tmp_path, [{"source": str(tmp_path / "none.mp4")}])))


def test_a_damaged_file_fails_alone(tmp_path: Path) -> None:
    good, bad = str(write_spot_clip(tmp_path / "good.mp4", 1)), tmp_path / "bad.mp4"
    bad.write_bytes(bytes(5000))
    out = io.StringIO()
    site = Site.load(site_file(tmp_path, [{"source": good}, {"source": str(bad)}]))
    ledgers, _ = run(site, report=JsonLines(out))
    assert ledgers["good"].published == 15
    told = [json.loads(line) for line in out.getvalue().splitlines()]
    assert {"failed"} == {one["state"] for one in told if one["camera"] == "bad" and one["error"]}
    with pytest.raises(SourceError, match=r"bad\.mp4 is not a video"):
        run(Site.of(str(bad)), must_open=True)


def test_settings_of_the_tracker_hold_and_only_the_others_are_those_for_our_own_weights(tmp_path: Path) -> None:
    clip = str(write_spot_clip(tmp_path / "spot.mp4", 1))
    given = {
        "none": ({}, (0.5, True, 0.05, 1.5)),
        "single": ({"coast": 0.4, "merges": False}, (0.4, False, 0.05, 1.5)),
        "preset": ("mocap", (0.5, True, 0.05, 1.0)),
    }
    for name, (tracker, expected) in given.items():
        record = {"record": str(tmp_path / f"{name}.parquet")}
        run(Site.load(site_file(tmp_path, [{"source": clip}], tracker=tracker, outputs=record)))
        config = tracker_of(Recording(tmp_path / f"{name}.parquet"))
        assert (config.coast, config.merges, config.measurement_noise, config.process_noise) == expected


def test_files_in_the_way_are_kept_and_a_folder_that_is_not_there_is_told_before_anything_is_written(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    clip = str(write_spot_clip(tmp_path / "door.mp4", 1))
    (tmp_path / "door.parquet").write_text("precious")
    path = site_file(tmp_path, [{"source": clip}], outputs={"record": str(tmp_path / "{camera}.parquet")})
    _, messages = run(Site.load(path))
    assert (tmp_path / "door.parquet").read_text() == "precious" and "door.2.parquet" in caplog.text
    assert len(set(pq.read_table(tmp_path / "door.2.parquet")["frame"].to_pylist())) == len(messages) == 15
    path = site_file(tmp_path, [{"source": clip}], outputs={"record": str(tmp_path / "none" / "x.parquet")})
    before = sorted(tmp_path.iterdir())
    with pytest.raises(SinkError, match="none does not exist"):
        run(Site.load(path))
    assert sorted(tmp_path.iterdir()) == before


def test_json_lines_tell_every_change_and_the_end(tmp_path: Path) -> None:
    clip = str(write_spot_clip(tmp_path / "door.mp4", 2))
    out = io.StringIO()
    lines = JsonLines(out, period=0.1)
    ledgers, _ = run(Site.of(clip), report=lines)
    lines.end(ledgers)
    told = [json.loads(line) for line in out.getvalue().splitlines()]
    states = [one["state"] for one in told if one["event"] == "camera"]
    assert states[-1] == "ended" and told[-1]["event"] == "end"
    assert told[-1]["cameras"]["door"]["frames"]["published"] == 30


def test_cameras_are_added_and_removed_when_the_file_is_read_again(tmp_path: Path, rtsp_server: Callable) -> None:
    clip = write_spot_clip(tmp_path / "clip.mp4", 12)
    with rtsp_server(clip) as server:
        path = site_file(tmp_path, [{"name": "first", "source": server.url}])
        seen: list[str] = []

        def change() -> None:
            while "first" not in seen:
                time.sleep(0.01)
            path.write_text("cameras: [")  # a mistake changes nothing
            os.kill(os.getpid(), signal.SIGHUP)
            time.sleep(0.5)
            site_file(tmp_path, [{"name": "second", "source": server.url}])
            os.kill(os.getpid(), signal.SIGHUP)
            while seen[-5:] != ["second"] * 5:
                time.sleep(0.01)
            os.kill(os.getpid(), signal.SIGTERM)

        changing = threading.Thread(target=change)
        changing.start()
        session = Session(Site.load(path), path=path, engine=SpotEngine())
        ledgers = session.run(lambda frame, message: seen.append(message.camera))
        changing.join()
    assert set(ledgers) == {"first", "second"} and all(ledger.balanced for ledger in ledgers.values())


def exchanged(tmp_path: Path, caplog: pytest.LogCaptureFixture, **outputs: str) -> tuple[dict[str, Any], set[int]]:
    """A camera whose picture is 320 px wide is, in the file, exchanged for one of 160 px under the same name."""
    wide = str(write_spot_clip(tmp_path / "wide.mp4", 60))
    narrow = str(write_spot_clip(tmp_path / "narrow.mp4", 60, size=(160, 120)))
    path = site_file(tmp_path, [{"name": "door", "source": wide, "realtime": True}], outputs=outputs)
    messages: list[TracksMessage] = []
    done: list[str] = []

    def change(frame: Any, message: TracksMessage) -> None:
        messages.append(message)
        if len(messages) == 5:
            site_file(tmp_path, [{"name": "door", "source": narrow, "realtime": True}], outputs=outputs)
            os.kill(os.getpid(), signal.SIGHUP)
        if not done and ("going on as before" in caplog.text or message.width == 160):
            done.append("")
            os.kill(os.getpid(), signal.SIGTERM)

    ledgers = Session(Site.load(path), path=path, engine=SpotEngine()).run(change)
    assert ledgers["door"].balanced and ledgers["door"].published == len(messages)
    assert [message.sequence for message in messages] == list(range(len(messages)))
    return ledgers, {message.width for message in messages}


def test_a_camera_that_is_exchanged_under_its_name_goes_on_counting(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ledgers, widths = exchanged(tmp_path, caplog)
    assert set(ledgers) == {"door"} and widths == {320, 160}


def test_a_camera_that_is_exchanged_under_its_name_goes_on_in_another_file(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ledgers, widths = exchanged(tmp_path, caplog, record=str(tmp_path / "{camera}.parquet"))
    assert widths == {320, 160} and "door is recorded in" in caplog.text
    parts = [pq.read_table(tmp_path / name).to_pylist() for name in ("door.parquet", "door.2.parquet")]
    assert [{row["width"] for row in rows} for rows in parts] == [{320}, {160}]
    assert len({row["sequence"] for rows in parts for row in rows}) == ledgers["door"].published


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return int(probe.getsockname()[1])


def test_metrics_are_served_for_every_camera(tmp_path: Path, rtsp_server: Callable) -> None:
    clip = write_spot_clip(tmp_path / "clip.mp4", 12)
    metrics = f"127.0.0.1:{free_port()}"
    pages: list[str] = []

    def ask(frame: Any, message: TracksMessage) -> None:
        if message.sequence == 5:
            pages.append(urllib.request.urlopen(f"http://{metrics}/metrics").read().decode())
            os.kill(os.getpid(), signal.SIGTERM)

    with rtsp_server(clip) as server:
        site = Site.of(server.url, name="door", metrics=metrics)
        Session(site, engine=SpotEngine()).run(ask)
    page = pages[0]
    assert {name for name in FAMILIES if f'{name}{{camera="door"' in page} == FAMILIES
    assert 'xpose_frames_published_total{camera="door"} 6.0' in page
    assert 'xpose_latency_seconds_count{camera="door",stage="total"} 6.0' in page
    for family in ("detections", "tracks"):
        assert f'xpose_{family}{{camera="door"}} 1.0' in page
        assert f'xpose_frames_with_{family}_total{{camera="door"}} 6.0' in page
    assert 'xpose_best_score{camera="door"} 0.98' in page


def test_a_password_is_nowhere_to_be_seen(tmp_path: Path, rtsp_server: Callable) -> None:
    clip = write_spot_clip(tmp_path / "clip.mp4", 6)
    endpoint, metrics = f"ipc://{tmp_path}/tracks", f"127.0.0.1:{free_port()}"
    with rtsp_server(clip, user="joe", password="s3cret") as server:
        spec = f"rtsp://joe:s3cret@127.0.0.1:{server.port}/clip"
        command = [sys.executable, str(ROOT / "run_stream.py"), "run", f"--source={spec}", "--publish", endpoint]
        command += ["--metrics", metrics]
        listener = [sys.executable, str(ROOT / "run_stream.py"), "listen", endpoint, "--json"]
        with (
            subprocess.Popen(listener, stdout=subprocess.PIPE, text=True) as listening,
            subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as running,
        ):
            assert listening.stdout
            first = listening.stdout.readline()
            title = Path(f"/proc/{running.pid}/cmdline").read_text()
            page = urllib.request.urlopen(f"http://{metrics}/metrics").read().decode()
            server.kill()
            assert running.stdout
            out = next(line for line in running.stdout if '"lost"' in line)
            running.send_signal(signal.SIGTERM)
            out += running.stdout.read()
            listening.terminate()
    assert msgspec.json.decode(first, type=TracksMessage).camera == "127.0.0.1"
    assert "run_stream.py" in title and "127.0.0.1" in title and '"lost"' in out
    for told in (first, title, page, out):
        assert "s3cret" not in told and "joe" not in told


def test_a_password_from_the_environment_opens(
    tmp_path: Path, rtsp_server: Callable, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    clip = write_spot_clip(tmp_path / "clip.mp4", 6)
    monkeypatch.setenv("DOOR", "s3:c@r/et?")
    with rtsp_server(clip, user="joe", password="s3:c@r/et?") as server, caplog.at_level(logging.DEBUG):
        site = Site.of(f"rtsp://joe:${{DOOR}}@127.0.0.1:{server.port}/clip", name="door")
        messages: list[TracksMessage] = []

        def keep(frame: Any, message: TracksMessage) -> None:
            messages.append(message)
            if len(messages) == 3:
                os.kill(os.getpid(), signal.SIGTERM)

        Session(site, must_open=True, engine=SpotEngine()).run(keep)
    assert len(messages) >= 3 and "s3:c" not in caplog.text
    with pytest.raises(SourceError, match="environment variable NOT_SET, which is not set"):
        Session(Site.of("rtsp://joe:${NOT_SET}@127.0.0.1/x"), must_open=True, engine=SpotEngine()).run()


def test_a_terminal_that_is_gone_ends_a_run_like_ctrl_c(tmp_path: Path, rtsp_server: Callable) -> None:
    clip = write_spot_clip(tmp_path / "clip.mp4", 12)
    seen: list[int] = []

    def hang_up(frame: Any, message: TracksMessage) -> None:
        seen.append(message.frame)
        if len(seen) == 3:
            os.kill(os.getpid(), signal.SIGHUP)

    with rtsp_server(clip) as server:
        ledgers = Session(Site.of(server.url, name="door"), engine=SpotEngine()).run(hang_up)
    assert len(seen) >= 3 and ledgers["door"].balanced


def test_metrics_are_served_over_ipv6(tmp_path: Path) -> None:
    with socket.create_server(("::1", 0), family=socket.AF_INET6) as probe:
        metrics = f"[::1]:{probe.getsockname()[1]}"
    clip = str(write_spot_clip(tmp_path / "door.mp4", 1))
    pages: list[str] = []

    def ask(frame: Any, message: TracksMessage) -> None:
        if message.sequence == 5:
            pages.append(urllib.request.urlopen(f"http://{metrics}/metrics").read().decode())

    run(Site.of(clip, metrics=metrics))
    Session(Site.of(clip, metrics=metrics), engine=SpotEngine()).run(ask)
    assert 'xpose_frames_published_total{camera="door"} 6.0' in pages[0]


def test_a_full_disk_pauses_the_files_and_not_the_tracks(small_disk: Path, tmp_path: Path) -> None:
    clip = str(write_spot_clip(tmp_path / "door.mp4", 8))
    metrics, out = f"127.0.0.1:{free_port()}", io.StringIO()
    outputs = {"record": str(small_disk / "t.parquet"), "overlay": str(small_disk / "o.mp4"), "metrics": metrics}
    ballast = small_disk / "ballast"
    pages: list[str] = []

    def fill_and_empty(frame: Any, message: TracksMessage) -> None:
        if message.sequence == 20:
            time.sleep(1.5)
            ballast.write_bytes(bytes(os.statvfs(small_disk).f_bavail * os.statvfs(small_disk).f_frsize))
        if message.sequence == 70:
            time.sleep(1.5)
            pages.append(urllib.request.urlopen(f"http://{metrics}/metrics").read().decode())
            ballast.unlink()
            time.sleep(1.5)

    session = Session(Site.of(clip, **outputs), engine=SpotEngine(), report=JsonLines(out, 0.2))
    ledgers = session.run(fill_and_empty)
    assert ledgers["door"].published == 120
    assert 'xpose_output_paused{camera="door",output="record"} 1.0' in pages[0]
    assert re.search(r'xpose_output_frames_lost_total\{camera="door",output="record"\} [1-9]', pages[0])
    told = [json.loads(line) for line in out.getvalue().splitlines()]
    assert any(one["paused"].get("record") == "No space left on device" for one in told)
    found = set(pq.read_table(small_disk / "t.parquet")["frame"].to_pylist())
    assert {0, 119} <= found and len(found) < 120


def test_a_full_disk_ends_the_camera_where_the_site_wants_that(small_disk: Path, tmp_path: Path) -> None:
    clip = str(write_spot_clip(tmp_path / "door.mp4", 8))

    def fill(frame: Any, message: TracksMessage) -> None:
        if message.sequence == 20:
            disk = os.statvfs(small_disk)
            (small_disk / "ballast").write_bytes(bytes(disk.f_bavail * disk.f_frsize))
        time.sleep(0.05)

    site = Site.of(clip, record=str(small_disk / "t.parquet"), when_full="stop")
    with pytest.raises(SinkError, match="No space left on device"):
        Session(site, engine=SpotEngine()).run(fill)
