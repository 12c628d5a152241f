"""Files and folders give every frame, on time, and fail in one sentence."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from tests.stream.sources.clips import gapped, picture
from tests.stream.sources.reading import assert_same_pictures, decoded, refusal
from xpose_stream.stream.sources import open_source

ROOT = Path(__file__).parents[3]


# Files


@pytest.mark.parametrize("b_frames", [0, 2])
def test_a_file_gives_every_frame_in_order(
    make_clip: Callable[..., Path], number_shown: Callable[..., int], tmp_path: Path, b_frames: int
) -> None:
    path = make_clip(tmp_path / "a:b.mp4", frames=40, rate=25, b_frames=b_frames)
    with open_source(path) as source:
        assert (source.camera, source.live) == ("a-b", False)
        assert (source.width, source.height, source.rate) == (128, 96, 25)
        frames = list(source)
    assert [number_shown(frame.to_rgb()) for frame in frames] == list(range(40))
    assert [frame.index for frame in frames] == list(range(40))
    assert [frame.captured_at for frame in frames] == pytest.approx([i / 25 for i in range(40)])
    assert {frame.clock for frame in frames} == {"file"}
    assert_same_pictures(frames, decoded(path))
    assert source.corrupt == 0


def test_a_file_waits_for_a_slow_reader(clip: Path) -> None:
    with open_source(clip) as source:
        indices = []
        for frame in source:
            time.sleep(0.005)
            indices.append(frame.index)
    assert indices == list(range(30))


def test_a_file_in_real_time_keeps_its_pace(clip: Path) -> None:
    with open_source(clip, realtime=True) as source:
        assert source.live
        time.sleep(0.1)  # time begins to run with the first look
        looked = time.monotonic()
        released = [(frame, time.monotonic()) for frame in source]
    start = released[0][0].arrived
    assert looked <= start
    for frame, at in released:
        assert frame.arrived == pytest.approx(start + frame.index / 30, abs=1e-6)
        assert at >= frame.arrived
    lateness = sorted(at - frame.arrived for frame, at in released)
    assert lateness[len(lateness) // 2] < 0.25  # at half its pace it would be half a second


def test_a_reader_who_is_late_gets_the_due_frames_at_once(make_clip: Callable[..., Path], tmp_path: Path) -> None:
    clip = make_clip(tmp_path / "slow.mp4", frames=12, rate=5)
    with open_source(clip, realtime=True) as source:
        first = next(source)
        time.sleep(2)
        asked = time.monotonic()
        late = [next(source) for _ in range(9)]
        assert time.monotonic() - asked < 1.5  # at their pace they would take 1.6 s
    assert [frame.index for frame in late] == list(range(1, 10))
    assert late[-1].arrived == pytest.approx(first.arrived + 1.8)


def test_broken_packets_are_counted_and_the_rest_is_shown(make_clip: Callable[..., Path], tmp_path: Path) -> None:
    path = make_clip(tmp_path / "whole.mp4", frames=60, key_every=10)
    with av.open(path) as container:
        packets = [(packet.pos or 0, packet.size) for packet in container.demux(video=0) if packet.size]
    data = bytearray(path.read_bytes())
    for position, size in packets[20:24]:
        data[position : position + size] = bytes(size)
    path.write_bytes(data)
    with open_source(path) as source:
        frames = list(source)
    assert source.corrupt >= 4
    assert len(frames) >= 50


def test_closing_a_file_ends_its_iteration(clip: Path) -> None:
    with open_source(clip) as source:
        next(source)
        source.close()
        source.close()
        assert list(source) == []


# Folders


def test_a_folder_is_a_video_of_25_frames_per_second(tmp_path: Path) -> None:
    for number in range(12):
        cv2.imwrite(str(tmp_path / f"{number}.png"), np.full((48, 64, 3), (0, 0, 20 * number), np.uint8))
    (tmp_path / "notes.txt").write_text("not an image")
    (tmp_path / "5.png").write_bytes(b"broken")
    with open_source(tmp_path, camera="shelf") as source:
        assert (source.width, source.height, source.rate, source.live) == (64, 48, 25, False)
        frames = list(source)
    numbers = [0, 1, 2, 3, 4, 6, 7, 8, 9, 10, 11]
    assert [frame.to_rgb()[0, 0].tolist() for frame in frames] == [[20 * n, 0, 0] for n in numbers]
    assert [frame.pts for frame in frames] == pytest.approx([n / 25 for n in numbers])
    assert {frame.camera for frame in frames} == {"shelf"}
    assert source.corrupt == 1


# Refusals


def test_each_unusable_source_is_refused_in_one_sentence(clip: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    (tmp_path / "empty.mp4").touch()
    (tmp_path / "notes.txt").write_text("hello\n" * 100)
    (tmp_path / "noise.mp4").write_bytes(np.random.default_rng(0).bytes(20_000))
    (tmp_path / "cut.mp4").write_bytes(clip.read_bytes()[:1000])
    damaged = bytearray(clip.read_bytes())
    damaged[:2000] = bytes(2000)
    (tmp_path / "damaged.mp4").write_bytes(damaged)
    with av.open(tmp_path / "sound.wav", "w") as container:
        sound = container.add_stream("pcm_s16le", rate=8000)
        frame = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), "s16", "mono")
        frame.sample_rate = 8000
        container.mux(sound.encode(frame))

    assert refusal(tmp_path / "none.mp4") == f"there is no file or folder {tmp_path}/none.mp4"
    assert "contains no images" in refusal(tmp_path / "empty")
    assert "contains no video" in refusal(tmp_path / "notes.txt")
    assert "contains no video" in refusal(tmp_path / "sound.wav")
    assert "is empty" in refusal(tmp_path / "empty.mp4")
    assert "is an MP4 without its index" in refusal(tmp_path / "cut.mp4")
    for name in ("noise.mp4", "damaged.mp4"):
        assert refusal(tmp_path / name) == f"{tmp_path}/{name} is not a video, or its beginning is damaged"
    assert refusal("/dev/video99") == "there is no camera /dev/video99"
    assert "neither a file nor" in refusal("/dev/null")
    assert "only rtsp, rtsps, http, https and file" in refusal("ftp://joe:s3cret@host/a")


def test_ffmpeg_says_nothing_of_its_own(clip: Path, tmp_path: Path) -> None:
    data = clip.read_bytes()
    damage = data.index(b"mdat") + 1500
    (tmp_path / "broken.mp4").write_bytes(data[:damage] + bytes(400) + data[damage + 400 :])
    program = (
        "import sys; from xpose_stream.stream.sources import *\n"
        "s = open_source(sys.argv[1]); list(s); print(s.corrupt > 0)"
    )
    result = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path / "broken.mp4")], capture_output=True, text=True, cwd=ROOT
    )
    assert (result.stdout, result.stderr) == ("True\n", "")


def test_a_gap_in_a_files_times_is_not_waited_for(tmp_path: Path) -> None:
    with open_source(gapped(tmp_path / "gap.mkv", 7200), realtime=True) as source:
        frames = [(frame, time.monotonic()) for frame in source]
    assert len(frames) == 20
    (before, _), (after, _) = frames[9:11]
    assert after.captured_at - before.captured_at > 7000  # the file's times stay the file's
    assert after.arrived - before.arrived == pytest.approx(3, abs=0.01)
    assert frames[-1][1] - frames[0][1] < 30


@pytest.mark.parametrize("b_frames", [0, 3])
@pytest.mark.parametrize("kind", ["avi", "mp4", "mkv", "ts"])
def test_frames_of_a_steady_video_are_equally_far_apart_whatever_holds_it(
    kind: str, b_frames: int, tmp_path: Path
) -> None:
    path = tmp_path / f"clip.{kind}"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt = 160, 120, "yuv420p"
        stream.options = {"bf": str(b_frames), "b-adapt": "0"}
        for number in range(40):
            container.mux(stream.encode(picture(number)))
        container.mux(stream.encode())
    with open_source(path) as source:
        times = [frame.captured_at for frame in source]
    assert times == pytest.approx([number / 30 for number in range(40)], abs=2e-3)
