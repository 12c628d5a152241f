"""Cameras of a network give every frame, on time, tell when they are lost, and fail in one sentence."""

from __future__ import annotations

import http.server
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from fractions import Fraction
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import cv2
import numpy as np
import pytest

from tests.stream.sources.reading import assert_same_pictures, decoded, refusal
from tests.stream.spot import write_spot_clip
from xpose_stream.stream.sources import Reader, SourceLost, open_source
from xpose_stream.stream.sources.frame import Frame
from xpose_stream.stream.watch.doctor import check_source

Serve = Callable[..., Any]
ROOT = Path(__file__).parents[3]


def frames_until_lost(url: str) -> tuple[list[Frame], SourceLost]:
    frames: list[Frame] = []
    with open_source(url) as source, pytest.raises(SourceLost) as lost:
        for frame in source:
            frames.append(frame)
    return frames, lost.value


# RTSP


@pytest.mark.parametrize("b_frames", [0, 2])
def test_rtsp_gives_the_files_frames_bit_for_bit_from_the_first(
    make_clip: Callable[..., Path], rtsp_server: Serve, tmp_path: Path, b_frames: int
) -> None:
    path = make_clip(tmp_path / "clip.mp4", frames=25, b_frames=b_frames)
    with rtsp_server(path) as server:
        frames, lost = frames_until_lost(server.url)
    assert_same_pictures(frames, decoded(path))
    assert [frame.pts - frames[0].pts for frame in frames] == pytest.approx([i / 30 for i in range(25)], abs=1e-4)
    assert str(lost) == f"rtsp://127.0.0.1:{server.port}/clip ended"


def test_over_rtsp_a_camera_is_waited_for_until_its_next_key_frame(
    rtsp_server: Serve, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("xpose_stream.stream.sources.reader.OPEN_TIMEOUT", 1.0)  # as if the key frame came after 7 s
    monkeypatch.setattr("xpose_stream.stream.sources.reader.READ_TIMEOUT", 0.5)
    clip = write_spot_clip(tmp_path / "clip.mp4", 12, key_every=60)  # one in 4 s
    seen: list[Frame] = []
    states = set()
    with rtsp_server(clip, amid=True) as server:
        reader = Reader(server.url, seen.append)
        reader.start()
        while not seen and reader.state not in ("failed", "lost"):
            states.add(reader.state)
            time.sleep(0.01)
        reader.close()
        checkup, stream = check_source(server.url, seconds=1)
    assert seen and seen[0].picture.key_frame and reader.corrupt == 0 and reader.reconnects == 0
    assert "connecting: waiting for a key frame" in states
    assert stream and not checkup.failed


def test_rtsp_frames_come_in_real_time_with_unix_capture_times(clip: Path, rtsp_server: Serve) -> None:
    with rtsp_server(clip) as server, open_source(server.url, camera="door") as source:
        assert source.live
        assert (source.width, source.height) == (128, 96)
        frames = []
        for frame in source:
            assert -0.01 <= time.time() - frame.captured_at < 10
            frames.append(frame)
            if frame.index == 25:
                break
    assert {(frame.camera, frame.clock) for frame in frames} == {("door", "arrival")}
    assert frames[-1].arrived - frames[0].arrived > 0.3  # not all at once
    assert frames[-1].captured_at - frames[15].captured_at == pytest.approx(10 / 30, abs=0.2)


def test_rtsp_changes_to_the_senders_clock(make_clip: Callable[..., Path], rtsp_server: Serve, tmp_path: Path) -> None:
    path = make_clip(tmp_path / "long.mp4", frames=240)
    with rtsp_server(path) as server, open_source(server.url) as source:
        frames = [next(frame for frame in source if frame.clock == "sender")]
        ages = []
        for _ in range(10):
            frames.append(next(source))
            ages.append(time.time() - frames[-1].captured_at)
    steps = np.diff([frame.captured_at for frame in frames])
    assert (np.abs(steps - 1 / 30) < 1e-3).all()  # a report that moves the clock is followed at 2 % of the time
    # The server's clock is ours: a frame interval until FFmpeg knows that a frame is complete, and what a busy server
    # takes to tell its time.
    assert abs(min(ages)) < 0.5


def test_closing_from_another_thread_frees_a_reader_of_a_stalled_camera(long_clip: Path, rtsp_server: Serve) -> None:
    freed = threading.Event()

    def watch() -> None:
        list(source)
        freed.set()

    with rtsp_server(long_clip) as server, open_source(server.url) as source:
        next(source)
        server.stall()
        reading = threading.Thread(target=watch)
        reading.start()
        assert not freed.wait(0.5)
        source.close()
        assert freed.wait(5)
        reading.join()


def test_a_stall_is_a_loss_within_two_and_a_half_seconds(long_clip: Path, rtsp_server: Serve) -> None:
    with rtsp_server(long_clip) as server, open_source(server.url) as source:
        next(source)
        server.stall()
        stalled = time.monotonic()
        with pytest.raises(SourceLost, match="sent nothing for 2 s"):
            list(source)
        assert time.monotonic() - stalled < 2.5 + 5  # the rest is for a busy machine


def test_a_killed_server_is_a_loss(clip: Path, rtsp_server: Serve) -> None:
    with rtsp_server(clip) as server, open_source(server.url) as source:
        next(source)
        server.kill()
        with pytest.raises(SourceLost, match=r"ended|failed"):
            list(source)


def test_a_password_opens_and_is_never_told(clip: Path, rtsp_server: Serve) -> None:
    with rtsp_server(clip, user="joe", password="s3cret") as server:
        with open_source(f"rtsp://joe:s3cret@127.0.0.1:{server.port}/clip") as source:
            assert next(source).index == 0
            assert source.camera == "127.0.0.1"
        wrong = refusal(f"rtsp://joe:s3creT@127.0.0.1:{server.port}/clip")
        missing = refusal(f"rtsp://joe:s3cret@127.0.0.1:{server.port}/other")
    assert wrong == f"rtsp://127.0.0.1:{server.port}/clip asks for another name and password than those given"
    assert missing == f"rtsp://127.0.0.1:{server.port}/other is not a stream which that camera or server has (404)"


def test_ctrl_c_ends_a_process_that_waits_for_a_stalled_camera(long_clip: Path, rtsp_server: Serve) -> None:
    program = (
        "import signal, sys; from xpose_stream.stream.sources import *\n"
        "signal.signal(2, signal.default_int_handler)  # which a shell's background jobs are started without\n"
        "for f in open_source(sys.argv[1]): print(f.index, flush=True)"
    )
    with rtsp_server(long_clip) as server:
        command = [sys.executable, "-c", program, server.url]
        with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, cwd=ROOT, text=True) as reader:
            assert reader.stdout
            reader.stdout.readline()
            server.stall()
            time.sleep(0.3)
            reader.send_signal(2)
            _, errors = reader.communicate(timeout=60)
    assert errors.rstrip().endswith("KeyboardInterrupt")


# HTTP


class Mjpeg(http.server.BaseHTTPRequestHandler):
    """A camera that sends 15 JPEGs, one each 30 ms."""

    sent: list[float] = []  # noqa: RUF012

    def do_GET(self) -> None:
        Mjpeg.sent.clear()
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        for number in range(15):
            picture = cv2.imencode(".jpg", np.full((48, 64, 3), 15 * number, np.uint8))[1].tobytes()
            head = f"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: {len(picture)}\r\n\r\n"
            Mjpeg.sent.append(time.time())
            self.wfile.write(head.encode() + picture + b"\r\n")
            time.sleep(0.03)

    def log_message(self, format: str, *args: object) -> None:
        """Keep quiet."""


class Files(http.server.SimpleHTTPRequestHandler):
    """The files of a folder."""

    def log_message(self, format: str, *args: object) -> None:
        """Keep quiet."""


@contextmanager
def http_server(handler: Callable[..., http.server.BaseHTTPRequestHandler]) -> Iterator[int]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield server.server_address[1]
        server.shutdown()


def test_a_file_over_http_is_a_file(clip: Path) -> None:
    with http_server(partial(Files, directory=clip.parent)) as port:
        source = open_source(f"http://127.0.0.1:{port}/{clip.name}")
        assert not source.live
        assert_same_pictures(list(source), decoded(clip))


def test_mjpeg_over_http_is_live_and_timed_by_arrival() -> None:
    with http_server(Mjpeg) as port:
        frames, lost = frames_until_lost(f"http://joe:s3cret@127.0.0.1:{port}/video")
    assert [round(frame.to_rgb().mean() / 15) for frame in frames] == list(range(15))
    assert {frame.clock for frame in frames} == {"arrival"}
    assert all(frame.captured_at > sent - 0.01 for frame, sent in zip(frames, Mjpeg.sent, strict=True))
    assert frames[-1].captured_at <= time.time() + 0.01
    assert "s3cret" not in str(lost)


class Playlist(Files):
    """A live playlist of segments of 1 s: three from the start on, and one more each second."""

    began = 0.0

    def do_GET(self) -> None:
        if self.path != "/live.m3u8":
            super().do_GET()
            return
        Playlist.began = Playlist.began or time.monotonic()
        first = int(time.monotonic() - Playlist.began)
        lines = ["#EXTM3U", "#EXT-X-VERSION:3", "#EXT-X-TARGETDURATION:1", f"#EXT-X-MEDIA-SEQUENCE:{first}"]
        for number in range(first, first + 3):
            lines += ["#EXTINF:1.0,", f"all{number}.ts"]
        text = "\n".join([*lines, ""]).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/vnd.apple.mpegurl")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)


def test_live_hls_comes_in_the_pace_of_its_media_and_not_in_bursts(tmp_path: Path) -> None:
    options = {"hls_time": "1", "hls_list_size": "0"}
    with av.open(str(tmp_path / "all.m3u8"), "w", options=options) as container:
        stream = container.add_stream("libx264", rate=10)
        stream.width, stream.height, stream.pix_fmt = 128, 96, "yuv420p"
        stream.options = {"preset": "ultrafast", "g": "10", "bf": "0"}
        for number in range(300):
            picture = av.VideoFrame.from_ndarray(np.full((96, 128, 3), number % 200, np.uint8), "rgb24")
            picture.pts, picture.time_base = number, Fraction(1, 10)
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    with (
        http_server(partial(Playlist, directory=tmp_path)) as port,
        open_source(f"http://127.0.0.1:{port}/live.m3u8") as source,
    ):
        assert source.live
        frames = [next(source) for _ in range(25)]
    assert {frame.clock for frame in frames} == {"arrival"}
    assert frames[-1].arrived - frames[0].arrived > 2.0  # as long as they are, and not at once
    steps = np.diff([frame.captured_at for frame in frames])
    assert np.median(steps) == pytest.approx(0.1, abs=0.03)


def test_a_camera_is_stalled_only_when_it_is_silent_for_longer_than_its_kind_may_be() -> None:
    reader = Reader("rtsp://cam/live", lambda frame: None)
    for patience, state in ((10.0, "playing"), (2.0, "stalled")):
        reader._media = SimpleNamespace(live=True, patience=patience)  # type: ignore[assignment]
        reader._state, reader._latest = "playing", time.monotonic() - 4
        assert reader.state == state


# Refusals


def test_a_camera_that_is_not_there_is_refused_without_its_password() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        message = refusal(f"rtsp://joe:s3cret@127.0.0.1:{port}/live?token=abc")
    assert message == f"rtsp://127.0.0.1:{port}/live?token=*** refused the connection"


def test_a_server_that_speaks_something_else_is_refused(clip: Path) -> None:
    with http_server(partial(Files, directory=clip.parent)) as port:
        refusal(f"rtsp://joe:s3cret@127.0.0.1:{port}/clip")
        assert "(404)" in refusal(f"http://joe:s3cret@127.0.0.1:{port}/none.mp4")


def test_a_password_of_what_belongs_to_urls_opens(clip: Path, rtsp_server: Serve) -> None:
    for password in ("pa#ss/1", "a?b@c%d:e"):
        with (
            rtsp_server(clip, user="joe", password=password) as server,
            open_source(f"rtsp://joe:{password}@127.0.0.1:{server.port}/clip") as source,
        ):
            assert next(source).index == 0
