"""A site file is read as it is meant; a mistake is told with its line, its place and what may be there."""

from __future__ import annotations

from pathlib import Path

import pytest

from engines import NANO
from stream.site import Site, SiteError

WHOLE = """
cameras:
  - source: rtsp://${DOOR_USER}:${DOOR_PASSWORD}@10.0.0.5/stream
    name: door
    transport: udp
  - source: /dev/video0
    size: 1280x720
    fps: 30
    format: mjpeg
prompt: person
engine: {batch: 4, batch_wait_ms: 3}
tracker: {coast: 0.2, high_score: 0.6}
outputs:
  publish: tcp://127.0.0.1:5555
  record: recordings/{camera}.parquet
  metrics: 127.0.0.1:9464
  predict: 0.1
limits: {staleness_ms: 300}
"""

MISTAKES = {
    "cameras:\n  - source: a.mp4\n  - source: b.mp4\n    transport: tpc": (
        "line 4, cameras[1].transport: input should be 'tcp' or 'udp'"
    ),
    "cameras:\n  - sauce: a.mp4": "cameras[0].sauce: is not known; there are: source, name, transport",
    "cameras:\n  - name: a": "line 2, cameras[0].source: field required",
    "cameras: []": "line 1, cameras: list should have at least 1 item",
    "camera: a.mp4": "camera: is not known; there are: cameras, prompt, engine, tracker, outputs, limits",
    "cameras:\n  - source: a.mp4\ntracker:\n  high_scor: 1": (
        "line 4, tracker.high_scor: is not known; there are: high_score, low_score"
    ),
    "cameras:\n  - source: a.mp4\ntracker:\n  high_score: 0.1": "line 3, tracker: scores must satisfy",
    "cameras:\n  - source: x/a.mp4\n  - source: y/a.mp4": "there are several called a",
    "cameras:\n  - source: a.mp4\n  - source: b.mp4\noutputs: {record: t.parquet}": "outputs.record needs {camera}",
    "cameras:\n  - source: a.mp4\n    size: 640x480": "line 2, cameras[0]: size, fps and format are for devices",
    "cameras:\n  - source: a.mp4\nlimits: {staleness_ms: -1}": (
        "line 3, limits.staleness_ms: input should be greater than 0"
    ),
    "cameras:\n  - source: a.mp4\noutputs: {predict: soon}": 'line 3, outputs.predict: write "now", or seconds',
    "cameras:\n  - source: a.mp4\noutputs: {predict: 100}": "above 0 and at most 2",
    "cameras:\n  - source: a.mp4\ntracker: {sigmas: {0: [0.1]}}": "line 3, tracker: sigmas are those of the prompt",
    "cameras: 2024-13-45": "is not YAML",
    "cameras: [": "line 1 is not YAML",
    "just words": "input should be a valid dictionary",
}


def read(folder: Path, text: str) -> Site:
    (folder / "site.yaml").write_text(text)
    return Site.load(folder / "site.yaml")


def test_a_whole_site_is_read(tmp_path: Path) -> None:
    site = read(tmp_path, WHOLE)
    door, device = site.cameras
    assert (door.name, door.options.transport) == ("door", "udp")
    assert (device.name, device.options.size) == ("video0", "1280x720")
    assert (site.engine.weights, site.engine.batch) == (NANO, 4)
    assert site.tracker == {"coast": 0.2, "high_score": 0.6}
    assert (site.outputs.metrics, site.limits.staleness_ms) == ("127.0.0.1:9464", 300)
    assert site.outputs.predict == 0.1


@pytest.mark.parametrize("text", MISTAKES)
def test_a_mistake_is_told_with_its_line_its_place_and_what_may_be_there(text: str, tmp_path: Path) -> None:
    with pytest.raises(SiteError) as told:
        read(tmp_path, text)
    assert MISTAKES[text] in str(told.value) and "site.yaml" in str(told.value)
    assert "\n" not in str(told.value)


WRONG = ["    colour: red", "    transport: s3cret", "  bad", "    name: a/s3cret", "   x: [s3cret"]


@pytest.mark.parametrize("rest", WRONG)
def test_no_mistake_tells_a_password(rest: str, tmp_path: Path) -> None:
    with pytest.raises(SiteError) as told:
        read(tmp_path, f"cameras:\n  - source: rtsp://joe:s3cret@host/x\n{rest}\n")
    assert "s3cret" not in str(told.value)


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(SiteError, match=r"cannot read .*none\.yaml: No such file"):
        Site.load(tmp_path / "none.yaml")


def test_one_camera_is_a_site_too() -> None:
    site = Site.of("clips/two people.mp4", record="t.parquet", realtime=True, name=None, batch=2)
    assert site.cameras[0].name == "two-people" and site.cameras[0].realtime
    assert site.outputs.record == "t.parquet" and site.engine.batch == 2
    assert (Site.of("a.mp4", predict="0.1").outputs.predict, Site.of("a.mp4", predict="now").outputs.predict) == (
        0.1, "now",
    )  # fmt: skip
    with pytest.raises(SiteError, match="input should be 'tcp' or 'udp'"):
        Site.of("rtsp://host", transport="carrier pigeon")


@pytest.mark.parametrize("path", sorted(Path(__file__).parents[2].glob("configs/*.yaml")), ids=lambda path: path.name)
def test_every_site_file_of_the_project_is_right(path: Path) -> None:
    Site.load(path)
