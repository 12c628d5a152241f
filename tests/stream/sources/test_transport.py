"""The same frames by other ways: RTSP over UDP, HLS as a file and as a live stream; and what the address promises."""

from __future__ import annotations

import http.server
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

import av
import pytest

from tests.stream.spot import write_spot_clip
from xpose_stream.stream.sources import Options, SourceAway, SourceError, SourceLost, open_source
from xpose_stream.stream.sources.address import fill
from xpose_stream.stream.sources.reader import _pause


class Files(http.server.SimpleHTTPRequestHandler):
    """The files of a folder."""

    def log_message(self, format: str, *args: object) -> None:
        """Keep quiet."""


@contextmanager
def served(folder: Path) -> Iterator[str]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), partial(Files, directory=folder)) as server:
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}"
        server.shutdown()


def write_hls(clip: Path, playlist: Path) -> Path:
    """The clip in segments of one second."""
    with av.open(str(clip)) as source, av.open(str(playlist), "w", options={"hls_time": "1"}) as copy:
        stream = copy.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(source.streams.video[0]):
            if packet.dts is not None:
                packet.stream = stream
                copy.mux(packet)
    return playlist


def test_rtsp_over_udp(tmp_path: Path, rtsp_server: Callable) -> None:
    clip = write_spot_clip(tmp_path / "clip.mp4", 10)
    with rtsp_server(clip) as server, open_source(server.url, options=Options(transport="udp")) as source:
        frames = [next(source) for _ in range(15)]
    assert [frame.index for frame in frames] == list(range(15))
    assert 14 / 15 - 0.1 < frames[-1].pts - frames[0].pts < 5  # packets may be lost, times not wrong


def test_hls_that_has_an_end_is_a_file(tmp_path: Path) -> None:
    playlist = write_hls(write_spot_clip(tmp_path / "clip.mp4", 3), tmp_path / "whole.m3u8")
    with served(tmp_path) as url, open_source(f"{url}/{playlist.name}") as source:
        assert not source.live
        assert [frame.index for frame in source] == list(range(45))


def test_hls_without_an_end_is_live(tmp_path: Path) -> None:
    playlist = write_hls(write_spot_clip(tmp_path / "clip.mp4", 6), tmp_path / "live.m3u8")
    playlist.write_text(playlist.read_text().replace("#EXT-X-ENDLIST\n", ""))
    with served(tmp_path) as url, open_source(f"{url}/{playlist.name}") as source:
        assert source.live
        frame = next(source)
    assert frame.clock == "arrival"


def test_variables_become_part_of_the_address_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORD", "a/b@c:d")
    monkeypatch.setenv("FOLDER", "/some where/x")
    assert fill("rtsp://joe:${WORD}@host/x") == "rtsp://joe:a%2Fb%40c%3Ad@host/x"
    assert fill("${FOLDER}/clip.mp4") == "/some where/x/clip.mp4"
    with pytest.raises(SourceError, match="rtsp://host needs the environment variable NONE_SUCH, which is not set"):
        fill("rtsp://joe:${NONE_SUCH}@host")


def test_the_first_try_comes_at_once_and_the_others_after_growing_pauses_with_jitter() -> None:
    assert _pause(1, 4.0) == 0
    for failures in range(2, 40):
        pauses = {_pause(failures, 4.0) for _ in range(50)}
        longest = min(0.25 * 2 ** (failures - 2), 4.0)
        assert len(pauses) > 10 and longest / 2 <= min(pauses) <= max(pauses) <= longest
    assert SourceLost("x").pause == 0.5 and SourceAway("x", 30).pause == 30
