"""The doctor says what a source is, how it is timed and what to change, and what cannot run."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console
from rich.table import Table

from tests.stream.damage import Damage
from tests.stream.proxy import Proxy
from tests.stream.spot import SpotEngine, write_spot_clip
from xpose_stream.engines.xpose import XPoseConfig
from xpose_stream.stream.ledger import Ledger
from xpose_stream.stream.site import EngineSite
from xpose_stream.stream.watch.doctor import Checkup, Stream, check_machine, check_source, smallest_found
from xpose_stream.stream.watch.report import table_of


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


@pytest.mark.parametrize(("asked", "sentence"), [("128x96", "to 128x96"), ("640x480", "only of 128x96 to 256x192")])
def test_the_engine_is_given_pictures_of_the_size_that_the_site_says(asked: str, sentence: str) -> None:
    checkup = check_machine(EngineSite(backend="eager", input_size=asked), "person", [])
    assert sentence in str((checkup.facts, checkup.advice)) and checkup.failed == (asked == "640x480")


def test_the_engine_of_a_site_is_the_one_that_is_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = SpotEngine()
    asked: list[dict[str, str]] = []

    def built(model: object, **settings: str) -> SpotEngine:
        asked.append(settings)
        return engine

    monkeypatch.setattr("xpose_stream.stream.watch.doctor.build_engine", built)
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


MEMORY = """
import resource, sys
from xpose_stream.stream.watch.doctor import check_source
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
checkup, stream = check_source(sys.argv[1], seconds=60)
assert stream and stream.width == 3840, checkup
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""


def test_no_pictures_are_kept_of_what_is_looked_at(tmp_path: Path) -> None:
    clip = write_spot_clip(tmp_path / "large.mp4", 4, size=(3840, 2160))  # 60 pictures: 746 MB
    done = subprocess.run([sys.executable, "-c", MEMORY, str(clip)], capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) < 400_000  # kB; the decoder's threads have some pictures each


CROSSING = Path(__file__).parents[3] / "configs" / "demo" / "crossing.mp4"


def test_the_model_is_shown_what_was_sampled_and_its_finds_are_told() -> None:
    _, stream = check_source(str(CROSSING), seconds=2)
    assert stream and 5 <= len(stream.samples) <= 8
    assert stream.samples[-1].index - stream.samples[0].index >= 45, "they lie over all of it"
    checkup = check_machine(EngineSite(backend="eager"), "person", [stream])
    told = dict(checkup.facts)["found"]
    count = len(stream.samples)
    match = re.fullmatch(
        rf"person in {CROSSING}: (\d+), in (\d) of {count} frames, scores (\d\.\d\d) to (\d\.\d\d) "
        r"\(median \d\.\d\d; a track begins at 0\.44\)",
        told,
    )
    assert re.match(r"about \d+ px high in .*crossing.mp4, of 480", dict(checkup.facts)["smallest thing found"])
    assert match and int(match[1]) >= count and int(match[2]) == count and 0.44 <= float(match[3]) <= float(match[4])
    assert not checkup.advice


def test_how_small_a_thing_may_be_grows_with_the_picture_and_is_not_told_where_it_was_not_measured() -> None:
    eyes = XPoseConfig.eyes()
    small, large, across = (smallest_found(size, eyes) or 0 for size in ((640, 480), (1920, 1440), (1920, 1080)))
    assert large == pytest.approx(3 * small, abs=3) and across == pytest.approx(3 * small, abs=3)
    assert smallest_found((640, 480), XPoseConfig.swin_t()) is None


def test_what_is_not_found_is_told_with_what_to_try() -> None:
    _, stream = check_source(str(CROSSING), seconds=0.2)
    assert stream
    checkup = check_machine(EngineSite(backend="eager"), "mug", [stream])
    assert re.search(r"nothing in \d frames, best score 0\.\d\d of 0\.44 needed", dict(checkup.facts)["found"])
    (advice,) = checkup.advice
    assert advice.startswith(f"mug in {CROSSING} was not found") and re.search(r"\d+x\d+ px of 640x480", advice)
    assert not checkup.failed


def test_the_doctor_keeps_a_few_pictures_however_long_it_looks(tmp_path: Path) -> None:
    clip = write_spot_clip(tmp_path / "long.mp4", 30)
    for seconds in (0.05, 1, 29):
        _, stream = check_source(str(clip), seconds=seconds)
        assert stream and 1 <= len(stream.samples) <= 8
