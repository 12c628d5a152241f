"""A run of a site: many cameras in one process, each with its own files; passwords stay where they are."""

from __future__ import annotations

import io
import json
import logging
import os
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

from stream.messages import TracksMessage
from stream.report import JsonLines
from stream.session import Session
from stream.sink import SinkError
from stream.site import Site
from stream.smooth import tracker_of
from stream.sources import SourceError
from tests.stream.spot import SpotEngine, write_spot_clip

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
        config = tracker_of(tmp_path / f"{name}.parquet")
        assert (config.coast, config.merges, config.measurement_noise, config.process_noise) == expected


def test_files_in_the_way_are_told_before_anything_is_written(tmp_path: Path) -> None:
    clip = str(write_spot_clip(tmp_path / "door.mp4", 1))
    (tmp_path / "door.parquet").write_text("precious")
    path = site_file(tmp_path, [{"source": clip}], outputs={"record": str(tmp_path / "{camera}.parquet")})
    with pytest.raises(SinkError, match="exists already"):
        run(Site.load(path))


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


def test_a_camera_whose_file_has_been_begun_is_not_exchanged_but_kept(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ledgers, widths = exchanged(tmp_path, caplog, record=str(tmp_path / "{camera}.parquet"))
    assert widths == {320} and "door.parquet is written by the camera as it was" in caplog.text
    assert pq.read_table(tmp_path / "door.parquet").num_rows >= ledgers["door"].published


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
