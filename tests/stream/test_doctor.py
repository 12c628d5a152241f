"""The doctor says what a source is, how it is timed and what to change, and what cannot run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console
from rich.table import Table

from stream.doctor import Checkup, Stream, check_machine, check_source
from stream.ledger import Ledger
from stream.report import table_of
from stream.site import EngineSite
from tests.stream.damage import Damage
from tests.stream.proxy import Proxy
from tests.stream.spot import SpotEngine, write_spot_clip


def test_a_file_is_described(tmp_path: Path) -> None:
    clip = write_spot_clip(tmp_path / "clip.mp4", 3, rate=20, key_every=10)
    checkup, stream = check_source(str(clip), seconds=2)
    facts = dict(checkup.facts)
    assert stream == Stream(320, 240, False, 20.0)
    assert facts["picture"] == "320x240 yuv420p, h264" and facts["rate"] == "20 frames/s seen, 20 stated"
    assert facts["key frames"] == "every 0.5 s" and facts["clock"] == "file, ± 0 ms"
    assert not checkup.failed and not checkup.advice


def test_a_camera_with_rare_key_frames_is_advised(tmp_path: Path, rtsp_server: Callable) -> None:
    clip = write_spot_clip(tmp_path / "clip.mp4", 12, key_every=1000)
    with rtsp_server(clip) as server:
        checkup, stream = check_source(server.url, seconds=6)
    facts = dict(checkup.facts)
    assert stream and stream.live and 13 < (stream.rate or 0) < 17
    assert facts["clock"].startswith("sender") and "jitter" in facts and facts["key frames"].startswith("not two")
    assert any("key frames are far apart" in sentence for sentence in checkup.advice)


def test_a_damaged_stream_is_noticed(tmp_path: Path, rtsp_server: Callable) -> None:
    clip = write_spot_clip(tmp_path / "clip.mp4", 12)
    with rtsp_server(clip) as server, Proxy(server.port) as proxy:
        proxy.damage = Damage("flipped bits", 0.2)
        checkup, _ = check_source(proxy.url, seconds=3)
    assert checkup.failed or any("broken packets" in sentence for sentence in checkup.advice)


def test_what_is_not_there_cannot_run(tmp_path: Path) -> None:
    checkup, stream = check_source("rtsp://joe:s3cret@127.0.0.1:1/x")
    assert checkup.failed and stream is None and checkup.title == "rtsp://127.0.0.1:1/x"
    assert checkup.advice == ["rtsp://127.0.0.1:1/x refused the connection"]
    assert check_machine(EngineSite(weights=tmp_path / "none.pth"), "person", []).failed


def test_the_engine_of_a_site_is_the_one_that_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = SpotEngine()
    asked: list[dict[str, str]] = []

    def built(model: object, **settings: str) -> SpotEngine:
        asked.append(settings)
        return engine

    monkeypatch.setattr("stream.doctor.build_engine", built)
    checkup = check_machine(EngineSite(backend="eager", precision="float32", batch=4), "person", [])
    assert asked == [{"backend": "eager", "precision": "float32"}] and set(engine.batches) == {4}
    assert dict(checkup.facts)["engine"].endswith("4 at once")


def test_an_engine_that_cannot_run_here_is_told() -> None:
    checkup = check_machine(EngineSite(backend="openvino", precision="float16"), "person", [])
    assert checkup.failed and checkup.advice == ["OpenVINO runs in float32 here, not in float16."]


def shown(table: Table) -> str:
    console = Console(width=200)
    with console.capture() as capture:
        console.print(table)
    return capture.get()


def test_what_users_named_is_shown_as_it_is() -> None:
    checkup, _ = check_source("/tmp/nothing [/x].mp4")
    assert shown(checkup.table()).count("/tmp/nothing [/x].mp4") == 2
    assert "rtsp://[fe80::1]/stream" in shown(Checkup("rtsp://[fe80::1]/stream").table())
    assert "[door] cam" in shown(table_of(Ledger(), "[door] cam"))


def test_cameras_that_are_too_many_for_the_engine_are_told() -> None:
    checkup = check_machine(EngineSite(), "person", [Stream(1920, 1080, True, 30.0)] * 100)
    assert not checkup.failed and "openvino on cpu" in dict(checkup.facts)["engine"]
    assert any("the cameras send 3000 frames/s" in sentence for sentence in checkup.advice)
    assert any("sub-stream" in sentence for sentence in checkup.advice)
