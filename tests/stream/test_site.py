"""A site file is read as it is meant; a mistake is told with its line, its place and what may be there."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from xpose_stream.engines import DEFAULT
from xpose_stream.stream.site import Site, SiteError

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
    "cameras:\n  - source: 0\n    size: 640": "line 3, cameras[0].size: write a size like 640x480",
    "cameras:\n  - source: 0\n    name: a/b": "line 3, cameras[0].name: must not contain a slash",
    "cameras:\n  - source: a.mp4\noutputs: {record: 'a_{date}.parquet'}": (
        "line 3, outputs.record: {date} is not known; there are {camera} and {time}"
    ),
    "cameras: 2024-13-45": "is not YAML: a date or number in it is none; put it in quotes",
    "cameras: [": "is not YAML: line 1: ",
    "cameras: " + "[" * 3000: "is not YAML: it is nested too deeply",
    "cameras:\n  - *door": "is not YAML: line 2: found undefined alias 'door'",
    "cameras:\n  - {<<: [1], source: a.mp4}": "is not YAML: line 2: expected a mapping for merging",
    "cameras: &all\n  - *all": "line 1, cameras[0]: must be a mapping with source and so on",
    "defaults: &d {fps: 5}\ncameras:\n  - {<<: *d, source: 0}": "line 1, defaults: is not known; there are: cameras",
    "cameras: {source: a.mp4}": "line 1, cameras: must be a list: write - before each",
    "cameras:\n  - {source: a.mp4, name: \"a\\nb\"}": "cameras[0].name: must be a name in one line",
    "cameras:\n  - {source: a.mp4, name: ' '}": "cameras[0].name: must be a name in one line",
    "cameras:\n  - {source: a.mp4}\nengine: {weights: }": "line 3, engine.weights: must be a path",
    "just words": "must be a mapping with cameras and so on",
    "": "must be a mapping with cameras and so on",
    "cameras:\n  - {source: a.mp4, name: 010}": "line 2, cameras[0].name: must be text; put it in quotes",
    "cameras:\n  - {source: a.mp4, name: no}": "line 2, cameras[0].name: must be text; put it in quotes",
    "cameras:" + "\n  - sauce: a.mp4" * 50: "and 95 mistakes more",
}


def read(folder: Path, text: str) -> Site:
    (folder / "site.yaml").write_text(text)
    return Site.load(folder / "site.yaml")


def test_a_whole_site_is_read(tmp_path: Path) -> None:
    site = read(tmp_path, WHOLE)
    door, device = site.cameras
    assert (door.name, door.options.transport) == ("door", "udp")
    assert (device.name, device.options.size) == ("video0", "1280x720")
    assert (site.engine.weights, site.engine.batch) == (DEFAULT, 4)
    assert site.tracker == {"coast": 0.2, "high_score": 0.6}
    assert (site.outputs.metrics, site.limits.staleness_ms) == ("127.0.0.1:9464", 300)
    assert site.outputs.predict == 0.1


@pytest.mark.parametrize("text", MISTAKES)
def test_a_mistake_is_told_with_its_line_its_place_and_what_may_be_there(text: str, tmp_path: Path) -> None:
    with pytest.raises(SiteError) as told:
        read(tmp_path, text)
    assert MISTAKES[text] in str(told.value) and "site.yaml" in str(told.value)
    assert "\n" not in str(told.value)


def test_what_two_cameras_share_is_written_once(tmp_path: Path) -> None:
    text = "cameras:\n  - &door {source: 'rtsp://a/1', name: a, transport: udp}\n  - {<<: *door, name: b}"
    assert [(camera.name, camera.transport) for camera in read(tmp_path, text).cameras] == [("a", "udp"), ("b", "udp")]


def test_a_heading_under_which_all_is_commented_out_says_nothing(tmp_path: Path) -> None:
    empty = "prompt:\nengine:\ntracker:\noutputs:\n  # record: a.parquet\nlimits:"
    cameras = "cameras: [{source: a.mp4}]\n"
    assert read(tmp_path, cameras + empty) == read(tmp_path, cameras)


def test_a_prompt_may_be_a_list(tmp_path: Path) -> None:
    assert read(tmp_path, "cameras: [{source: a.mp4}]\nprompt: [person, hand]").prompt == "person, hand"


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


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("cameras: [{source: a.mp4}]\noutputs:\n  record: a.parquet\n  record: b.parquet\n",
         "line 4: the key record is given twice, first in line 3; leave one of them out"),
        ("cameras:\n  - source: rtsp://u:s3cret@a\n    source: rtsp://u:s3cret@b\n", "line 3: the key source is given"),
        ("prompt: person\ncameras: [{source: a.mp4}]\n'prompt': dog\n", "line 3: the key prompt is given twice"),
        ("cameras: [{source: a.mp4, realtime: yes, realtime: no}]\n", "line 1: the key realtime is given twice"),
    ],
)  # fmt: skip
def test_a_key_that_is_given_twice_is_a_mistake(text: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(SiteError) as told:
        read(tmp_path, text)
    assert f"site.yaml {said}" in str(told.value) and "s3cret" not in str(told.value)


def test_what_is_merged_may_be_given_again(tmp_path: Path) -> None:
    text = """cameras:
  - &one {source: a.mp4, realtime: true}
  - {<<: *one, source: b.mp4}
"""
    site = read(tmp_path, text)
    assert [(camera.source, camera.realtime) for camera in site.cameras] == [("a.mp4", True), ("b.mp4", True)]


@pytest.mark.parametrize("endpoint", ["[::1]:9464", "127.0.0.1:9464", ":9464", "[::]:9464", "localhost:1"])
def test_metrics_are_served_at_addresses_of_both_kinds(endpoint: str) -> None:
    assert Site.of("a.mp4", metrics=endpoint).outputs.metrics == endpoint


@pytest.mark.parametrize("endpoint", ["::1:9464", "9464", "[::1]", "http://a:1", "[::1:1", "a:70000"])
def test_what_is_no_address_of_metrics_is_refused_in_words(endpoint: str) -> None:
    with pytest.raises(SiteError, match=r"metrics: write a host and a port, such as 127\.0\.0\.1:9464 or \[::1\]:9464"):
        Site.of("a.mp4", metrics=endpoint)


def test_a_rotation_that_is_none_is_refused_in_words() -> None:
    with pytest.raises(SiteError, match=r"outputs\.rotate: write a time or a size, such as 1h or 1GB"):
        Site.of("a.mp4", rotate="often")


def test_the_format_of_a_site_of_one_camera_is_that_of_what_is_published() -> None:
    assert Site.of("a.mp4", format="json").outputs.format == "json"


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        ({"record": "x.csv"}, "outputs.record: must end in .parquet"),
        ({"overlay": "x.avi"}, "outputs.overlay: must end in .mp4"),
        ({"record": "x.mp4", "overlay": "x.mp4"}, "outputs.record: must end in .parquet"),
        ({"record": "{camera}", "overlay": "{camera}"}, "must end in"),
        ({"live": True}, "live is for pipes and http"),
        ({"stream": -1}, "stream"),
    ],
)
def test_what_cannot_be_is_refused_before_the_work(settings: dict[str, object], said: str) -> None:
    with pytest.raises(SiteError, match=said):
        Site.of("clip.mp4", **settings)


def test_paths_are_taken_as_people_write_them(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    odd = os.fsdecode(b"caf\xe9.mp4")
    site = Site.of(odd, record="~/x.PARQUET")
    assert site.cameras[0].source == odd and site.outputs.record == f"{tmp_path}/x.PARQUET"
    (tmp_path / "site.yaml").write_text("cameras: [{source: 0, size: 640x480}, {source: http://cam/x, live: true}]")
    loaded = Site.load(tmp_path / "site.yaml")
    assert loaded.cameras[0].name == "video0" and loaded.cameras[1].options.live
