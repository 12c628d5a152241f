"""Pipes of every kind are read like standard input, to their end, and once."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import threading
from pathlib import Path

import av
import pytest
from av.bitstream import BitStreamFilterContext

from tests.stream.rig import Rig
from tests.stream.sources.clips import audio_first, picture, write
from tests.stream.spot import write_spot_clip
from xpose_stream.stream.sources import Options, SourceError, open_source

ROOT = Path(__file__).parents[3]
PROGRAM = """
import sys
from xpose_stream.stream.sources import *
try:
    with open_source(sys.argv[1]) as source:
        print(len(list(source)))
except SourceError as error:
    print(error)
"""


def read(command: str, clip: Path, **given: object) -> str:
    """What bash's `command` prints, in which $READ is our reader and $CLIP the clip."""
    told = {**os.environ, "PROGRAM": PROGRAM, "PYTHON": sys.executable, "CLIP": str(clip)}
    command = command.replace("$READ", '"$PYTHON" -c "$PROGRAM"')
    ran = subprocess.run(
        ["bash", "-c", command], capture_output=True, text=True, cwd=ROOT, env=told, timeout=60, **given  # type: ignore[call-overload]
    )  # fmt: skip
    assert ran.stderr == ""
    return str(ran.stdout).strip()


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("pipe") / "clip.ts")


@pytest.fixture(scope="module")
def index_last(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write(tmp_path_factory.mktemp("pipe") / "clip.mp4")


@pytest.mark.parametrize(
    "command",
    ['cat "$CLIP" | $READ -', 'cat "$CLIP" | $READ /dev/stdin', 'cat "$CLIP" | $READ /dev/fd/0', '$READ <(cat "$CLIP")',
     '$READ - < "$CLIP"', '$READ /dev/stdin < "$CLIP"', '(sleep 1; cat "$CLIP") | $READ -'],
)  # fmt: skip
def test_what_a_shell_leads_in_is_read_to_its_end(command: str, clip: Path) -> None:
    assert read(command, clip) == "30"


def test_a_services_socket_as_standard_input_is_read(clip: Path) -> None:
    ours, theirs = socket.socketpair()
    sending = threading.Thread(target=lambda: (ours.sendall(clip.read_bytes()), ours.close()))
    sending.start()
    with theirs:
        assert read("$READ /dev/stdin", clip, stdin=theirs) == "30"
    sending.join()


def test_a_named_pipe_is_waited_for_and_read(clip: Path, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    later = threading.Timer(0.5, lambda: pipe.write_bytes(clip.read_bytes()))
    later.start()
    with open_source(pipe) as source:
        assert [frame.index for frame in source] == list(range(30))
        assert not source.live
    later.join()


def test_a_pipe_that_is_said_to_be_live_is_and_ends_all_the_same(clip: Path, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    threading.Thread(target=lambda: pipe.write_bytes(clip.read_bytes())).start()
    with open_source(pipe, options=Options(live=True)) as source:
        assert source.live
        frames = list(source)
    assert len(frames) == 30 and {frame.clock for frame in frames} == {"arrival"}


def raw(clip: Path, path: Path) -> Path:
    """A clip's H.264 as rpicam-vid writes it: access units one after the other, without times."""
    with av.open(str(clip)) as source, av.open(str(path), "w", format="h264") as copy:
        video = source.streams.video[0]
        stream = copy.add_stream_from_template(video)
        units = BitStreamFilterContext("h264_mp4toannexb", video)
        for packet in source.demux(video):
            if packet.dts is not None:
                for unit in units.filter(packet):
                    unit.stream = stream
                    copy.mux(unit)
    return path


RPICAM = """
import sys, time
import av
begun = time.monotonic()
with av.open(sys.argv[1], format="h264") as camera:
    for number, packet in enumerate(camera.demux(video=0)):
        time.sleep(max(0, begun + number / 30 - time.monotonic()))
        sys.stdout.buffer.write(bytes(packet))
        sys.stdout.buffer.flush()
"""


def test_a_raw_stream_in_a_live_pipe_shows_a_slow_model_its_newest_frames(tmp_path: Path) -> None:
    """As of `rpicam-vid -o - … | xpose-stream - --live`: what it writes and when; the camera is not on this machine."""
    video, pipe = raw(write_spot_clip(tmp_path / "clip.mp4", 4, rate=30), tmp_path / "camera.h264"), tmp_path / "pipe"
    os.mkfifo(pipe)
    with Rig({}, pause=0.25) as rig:
        camera = rig.start("pi", str(pipe), options=Options(live=True))
        rig.do(lambda: rig.pipeline.add(camera))
        with pipe.open("wb") as out:
            subprocess.run([sys.executable, "-c", RPICAM, str(video)], stdout=out, check=True)
        rig.wait_for_the_end()
    ledger, told = camera.ledger, [seen.message for seen in rig.seen["pi"]]
    assert ledger.received == 120 and ledger.published < 60 and ledger.dropped["newer frame came"] > 50
    assert told[-1].frame >= 118, "the last that it saw was the last there was"
    assert {message.clock for message in told} == {"arrival"} and camera.state == "ended"


def test_a_raw_stream_has_the_rate_that_it_states_and_where_it_states_none_that_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with open_source(raw(write(tmp_path / "clip.mp4"), tmp_path / "clip.h264")) as source:
        assert [frame.pts for frame in source] == pytest.approx([number / 30 for number in range(30)])
    assert not caplog.text
    with av.open(str(tmp_path / "none.hevc"), "w", format="hevc") as container:
        stream = container.add_stream("libx265", rate=30)
        stream.width, stream.height, stream.pix_fmt = 160, 120, "yuv420p"
        stream.options = {"x265-params": "log-level=none:vui-timing-info=0"}
        for number in range(10):
            container.mux(stream.encode(picture(number)))
        container.mux(stream.encode())
    with open_source(tmp_path / "none.hevc") as source:
        assert len(list(source)) == 10
    assert "none.hevc states neither times nor a rate: 25 frames/s are assumed" in caplog.text


def test_a_stream_in_a_pipe_may_begin_with_sound(tmp_path: Path) -> None:
    clip = audio_first(tmp_path / "clip.flv")
    assert read('cat "$CLIP" | $READ -', clip) == "90"


def test_an_mp4_with_its_index_at_the_end_is_refused_from_a_pipe_and_read_from_a_file(
    index_last: Path, tmp_path: Path
) -> None:
    for command in ('cat "$CLIP" | $READ -', '$READ <(cat "$CLIP")'):
        assert "whose index comes at its end" in read(command, index_last)
    assert read('$READ - < "$CLIP"', index_last) == "30"
    for flags in ("faststart", "frag_keyframe+empty_moov"):
        assert read('cat "$CLIP" | $READ -', write(tmp_path / f"{flags}.mp4", options={"movflags": flags})) == "30"


@pytest.mark.parametrize(
    ("command", "said"),
    [("$READ - <&-", "standard input is closed"), ("$READ - < /dev/null", "standard input is not a video"),
     ("echo hello | $READ -", "standard input is not a video"), ("true | $READ -", "standard input is not a video"),
     ("yes | head -c 30000000 | $READ -", "standard input is not a video"),
     ("head -c 700 $CLIP | $READ /dev/stdin", "/dev/stdin ")],
)  # fmt: skip
def test_what_is_no_video_in_a_pipe_is_told(command: str, said: str, clip: Path) -> None:
    told = read(command, clip)
    assert told.startswith(said) and "\n" not in told


def test_a_terminal_as_standard_input_is_told(clip: Path) -> None:
    ours, theirs = os.openpty()
    assert "standard input is a terminal" in read("$READ -", clip, stdin=theirs)
    os.close(ours)
    os.close(theirs)


def test_what_cannot_be_read_by_its_name_is_told(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as bound:
        bound.bind(str(tmp_path / "socket"))
        with pytest.raises(SourceError, match="cannot be read"):
            open_source(tmp_path / "socket")
