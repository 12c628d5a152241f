"""What web servers answer is read as what it is: a file, a camera, a playlist's best variant, or a page."""

from __future__ import annotations

import http.server
import threading
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from tests.stream.sources.clips import audio_first, write
from tests.stream.sources.web import headed, ranged, served
from xpose_stream.stream.sources import Options, Reader, SourceError, SourceLost, open_source
from xpose_stream.stream.sources.hls import variants
from xpose_stream.stream.sources.web import get


def without_duration(path: Path) -> Path:
    """A Matroska file as it is written to a pipe."""
    whole = write(path.with_suffix(".mp4"), 90)
    with (
        path.open("wb") as file,
        av.open(_Unseekable(file), "w", format="matroska") as copy,
        av.open(str(whole)) as source,
    ):
        stream = copy.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                copy.mux(packet)
    return path


class _Unseekable:
    def __init__(self, file: object) -> None:
        self.write = file.write  # type: ignore[attr-defined]


def test_a_file_without_a_duration_but_with_a_length_is_a_file(tmp_path: Path) -> None:
    clip = without_duration(tmp_path / "clip.mkv")
    with av.open(str(clip)) as container:
        assert container.duration is None
    with served(tmp_path) as server, open_source(f"{server.url}/clip.mkv") as source:
        assert not source.live
        assert len(list(source)) == 90
    with served(tmp_path) as server, open_source(f"{server.url}/clip.mkv", options=Options(live=True)) as source:
        assert source.live


@pytest.mark.parametrize("breaks", [0, 2])
@pytest.mark.parametrize("kind", ["ts", "mkv", "mp4"])
def test_a_file_whose_connection_breaks_is_read_on(kind: str, breaks: int, tmp_path: Path) -> None:
    clip = write(tmp_path / f"clip.{kind}", 90, (320, 240), noise=100)
    broken = ranged("application/octet-stream", clip.read_bytes(), breaks)
    with served(tmp_path, {"/broken": broken}) as server, open_source(f"{server.url}/broken") as source:
        assert not source.live and len(list(source)) == 90 and source.corrupt == 0
    assert len(server.asked) > breaks


@pytest.mark.parametrize("kind", ["ts", "mkv", "mp4"])
def test_a_file_of_which_the_rest_never_comes_is_a_failure_and_no_end(kind: str, tmp_path: Path) -> None:
    body = write(tmp_path / f"clip.{kind}", 90, (320, 240), {"movflags": "faststart"}, noise=100).read_bytes()

    def cut(request: http.server.BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("Content-Length", str(len(body)))
        request.end_headers()
        request.wfile.write(body[: len(body) // 2])

    with (
        served(tmp_path, {"/cut": cut}) as server,
        open_source(f"{server.url}/cut") as source,
        pytest.raises(SourceError),
    ):
        list(source)


def test_an_mp4_with_its_index_at_the_end_needs_a_server_that_gives_parts(tmp_path: Path) -> None:
    write(tmp_path / "last.mp4", 30, (1280, 960))
    write(tmp_path / "first.mp4", 30, (160, 120), {"movflags": "faststart"})
    assert (tmp_path / "last.mp4").stat().st_size > 65_536, "FFmpeg has a shorter one at hand"
    whole = ranged("video/mp4", (tmp_path / "last.mp4").read_bytes(), 0)
    with served(tmp_path, {"/parts": whole}) as server:
        with pytest.raises(SourceError, match=r"last.mp4 is an MP4 whose index comes at its end, and its server gives"):
            open_source(f"{server.url}/last.mp4")
        for name in "first.mp4", "parts":
            with open_source(f"{server.url}/{name}") as source:
                assert len(list(source)) == 30


def test_a_file_without_a_length_either_is_live(tmp_path: Path) -> None:
    body = without_duration(tmp_path / "clip.mkv").read_bytes()
    with (
        served(tmp_path, {"/live": headed("video/x-matroska", body, length=False)}) as server,
        open_source(f"{server.url}/live") as source,
        pytest.raises(SourceLost),
    ):
        assert source.live
        list(source)


def test_an_flv_that_begins_with_sound_is_waited_for(tmp_path: Path) -> None:
    audio_first(tmp_path / "clip.flv")
    with served(tmp_path) as server, open_source(f"{server.url}/clip.flv") as source:
        assert len(list(source)) == 90


def jpegs(
    request: http.server.BaseHTTPRequestHandler, first: bytes = b"", length: bool = True, name: bytes = b""
) -> None:
    """Fifteen JPEGs in parts, each 10 brighter than the one before."""
    request.send_response(200)
    request.send_header("Content-Type", "multipart/x-mixed-replace; boundary=" + (name.decode() or "frame"))
    request.end_headers()
    request.wfile.write(first)
    for number in range(15):
        data = cv2.imencode(".jpg", np.full((48, 64, 3), 10 * number, np.uint8))[1].tobytes()
        head = b"Content-Type: image/jpeg\r\n" + (b"Content-Length: %d\r\n" % len(data) if length else b"")
        request.wfile.write(head + b"\r\n" + data + b"\r\n--" + (name or b"frame") + b"\r\n")


@pytest.mark.parametrize(
    "answer",
    [partial(jpegs, first=b"--frame\r\n"), jpegs, partial(jpegs, length=False), partial(jpegs, first=b"\r\n"),
     partial(jpegs, first=b"--frame\r\n", length=False), partial(jpegs, name=b"--mine")],
    ids=["as it should be", "no first boundary", "nor lengths", "an empty line", "boundary, no lengths", "dashes"],
)  # fmt: skip
def test_mjpeg_plays_whether_or_not_its_parts_are_as_they_should_be(answer: Callable, tmp_path: Path) -> None:
    with served(tmp_path, {"/video": answer}) as server, open_source(f"{server.url}/video") as source:
        assert source.live and (source.width, source.height) == (64, 48)
        frames = [next(source) for _ in range(14)]
    assert [round(frame.to_rgb().mean() / 10) for frame in frames] == list(range(14))


def test_a_web_page_is_told_from_a_video(tmp_path: Path) -> None:
    page = headed("text/html; charset=utf-8", b"<!doctype html><title>Camera</title>" + b"<p>x</p>" * 2000)
    with served(tmp_path, {"/": page, "/json": headed("application/json", b"{}")}) as server:
        with pytest.raises(SourceError, match="is a web page, and what is needed is the address of the video itself"):
            open_source(server.url.replace("//", "//joe:secret@") + "/")
        with pytest.raises(SourceError, match="answers, but not with a video"):
            open_source(f"{server.url}/json")
    for url in (
        "https://www.youtube.com/watch?v=x",
        "https://youtu.be/x",
        "http://m.twitch.tv/x",
        "https://vimeo.com/1",
    ):
        with pytest.raises(SourceError, match="yt-dlp"):
            open_source(url)


def write_master(folder: Path, order: tuple[str, ...] = ("low", "high")) -> Path:
    """Two variants of one second each."""
    sizes = {"low": (80, 60), "high": (160, 120)}
    lines = ["#EXTM3U"]
    for name in order:
        size, options = sizes[name], {"hls_time": "1", "hls_segment_filename": str(folder / f"{name}%d.ts")}
        write(folder / f"{name}.m3u8", 30, size, options, format="hls")
        rate = 100_000 * size[0]
        lines += [f'#EXT-X-STREAM-INF:BANDWIDTH={rate},RESOLUTION={size[0]}x{size[1]},CODECS="avc1"', f"{name}.m3u8"]
    (folder / "master.m3u8").write_text("\n".join([*lines, ""]))
    return folder / "master.m3u8"


@pytest.mark.parametrize("order", [("low", "high"), ("high", "low")])
def test_of_a_master_playlist_the_best_variant_alone_is_fetched(order: tuple[str, ...], tmp_path: Path) -> None:
    master = write_master(tmp_path, order)
    with served(tmp_path) as server, open_source(f"{server.url}/master.m3u8") as source:
        assert {(frame.width, frame.height) for frame in source} == {(160, 120)}
    assert not [path for path in server.asked if "low" in path]
    with open_source(master) as source:
        assert source.width == 160


@pytest.mark.parametrize("spoilt", [None, b"", b"no playlist"], ids=["gone", "empty", "something else"])
def test_where_the_best_variant_cannot_be_read_the_next_is_taken_and_that_is_told(
    spoilt: bytes | None, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    master = write_master(tmp_path)
    (tmp_path / "high.m3u8").unlink()
    if spoilt is not None:
        (tmp_path / "high.m3u8").write_bytes(spoilt)
    with served(tmp_path) as server, open_source(f"{server.url}/master.m3u8") as source:
        assert {(frame.width, frame.height) for frame in source} == {(80, 60)}
    assert caplog.text.count("that is its best variant, and the next is tried") == 1
    with open_source(master) as source:
        assert source.width == 80
    (tmp_path / "low.m3u8").unlink()
    with served(tmp_path) as server, pytest.raises(SourceError):
        open_source(f"{server.url}/master.m3u8")


def test_a_variant_can_be_asked_for_by_its_number(tmp_path: Path) -> None:
    write_master(tmp_path)
    with served(tmp_path) as server:
        with open_source(f"{server.url}/master.m3u8", options=Options(stream=0)) as source:
            assert {(frame.width, frame.height) for frame in source} == {(80, 60)}
        with pytest.raises(SourceError, match="has no video 2; there are 0: 80x60, 1: 160x120"):
            open_source(f"{server.url}/master.m3u8", options=Options(stream=2))


def test_a_playlist_is_known_by_its_kind_where_its_name_does_not_tell(tmp_path: Path) -> None:
    text = write_master(tmp_path).read_bytes()
    with (
        served(tmp_path, {"/live?token=1": headed("application/vnd.apple.mpegurl", text)}) as server,
        open_source(f"{server.url}/live?token=1") as source,
    ):
        assert source.width == 160


def test_a_playlist_that_has_moved_is_followed(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    write_master(tmp_path / "deep")

    def moved(request: http.server.BaseHTTPRequestHandler) -> None:
        request.send_response(302)
        request.send_header("Location", "/deep/master.m3u8")
        request.end_headers()

    with served(tmp_path, {"/master.m3u8": moved}) as server, open_source(f"{server.url}/master.m3u8") as source:
        assert source.width == 160


@pytest.mark.parametrize(
    ("attributes", "best"),
    [
        (["BANDWIDTH=1,RESOLUTION=640x360", "BANDWIDTH=9,RESOLUTION=320x180"], 0),
        (["BANDWIDTH=1", "BANDWIDTH=9"], 1),
        (["BANDWIDTH=2,RESOLUTION=640x360,FRAME-RATE=25", "BANDWIDTH=1,RESOLUTION=640x360,FRAME-RATE=50.0"], 1),
        (['BANDWIDTH=9,CODECS="mp4a.40.2"', 'BANDWIDTH=1,CODECS="avc1.4d401f,mp4a.40.2"'], 1),
        (["RESOLUTION=none,BANDWIDTH=x", "BANDWIDTH=1"], 1),
    ],
)
def test_the_best_variant_is_the_largest_then_the_quickest_then_the_finest(
    attributes: list[str], best: int, tmp_path: Path
) -> None:
    lines = [f"#EXT-X-STREAM-INF:{told}\r\n\r\n# a remark\r\nv{number}.m3u8" for number, told in enumerate(attributes)]
    (tmp_path / "a.m3u8").write_text("\ufeff#EXTM3U\r\n" + "\r\n".join(lines) + "\r\n")
    assert variants(str(tmp_path / "a.m3u8"), "a")[0] == str(tmp_path / f"v{best}.m3u8")


def test_name_and_password_go_with_a_playlist_and_to_no_other_host(tmp_path: Path) -> None:
    write_master(tmp_path)
    with served(tmp_path) as server:
        url = server.url.replace("//", "//joe:pw@")
        assert variants(f"{url}/master.m3u8", "x") == [f"{url}/high.m3u8", f"{url}/low.m3u8"]
        assert get(f"{url}/none") is None
    assert get("http://127.0.0.1:1/") is None


def test_a_camera_is_waited_for_until_its_next_key_frame(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("xpose_stream.stream.sources.reader.OPEN_TIMEOUT", 1.2)  # as if the key frame came after 7 s
    monkeypatch.setattr("xpose_stream.stream.sources.reader.READ_TIMEOUT", 1.2)
    body = write(tmp_path / "clip.ts", 120, (320, 240), key_every=90, noise=250).read_bytes()
    first = 188 * (len(body) * 30 // 120 // 188)  # somewhere after the key frame

    def live(request: http.server.BaseHTTPRequestHandler) -> None:
        request.send_response(200)
        request.send_header("Content-Type", "video/mp2t")
        request.end_headers()
        for place in range(first, len(body), 188 * 40):
            request.wfile.write(body[place : place + 188 * 40])
            time.sleep(5 * 188 * 40 / (len(body) - first))

    states = set()
    with served(tmp_path, {"/live": live}) as server:
        reader = Reader(f"{server.url}/live", lambda frame: states.add(reader.state))
        watching = threading.Timer(2.6, lambda: states.add(reader.state))
        watching.start()
        reader.start()
        reader.wait_until_open()
        assert reader.state == "playing" and reader.corrupt == 0
        reader.close()
        watching.join()
    assert "connecting: waiting for a key frame" in states
    assert "waiting for a key frame, for up to 90 s" in caplog.text
