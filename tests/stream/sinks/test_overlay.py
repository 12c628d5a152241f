from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path

import av
import msgspec
import numpy as np
import pytest

from tests.stream.scene import frame_of, message_of
from xpose_stream.stream.sinks.messages import encode
from xpose_stream.stream.sinks.overlay import Overlay, caption, draw
from xpose_stream.stream.sinks.sink import SinkError
from xpose_stream.stream.sources.clock import ClockName
from xpose_stream.stream.sources.frame import Frame

DRAWING = """
import sys
import av, numpy as np
from xpose_stream.stream.sources.clock import ClockName
from xpose_stream.stream.sources.frame import Frame
from xpose_stream.stream.sinks.messages import decode
from xpose_stream.stream.sinks.overlay import Overlay
message = decode(sys.stdin.buffer.read())
picture = av.VideoFrame.from_ndarray(np.zeros((240, 320, 3), np.uint8), format="rgb24")
overlay = Overlay(sys.argv[1], 30)
for index in range(10**6):
    overlay.write(Frame("hall", index, index / 30, index / 30, "file", 0.0, picture), message)
    print(index, flush=True)
"""

FULL_DISK = """
import resource, sys
from xpose_stream.stream.sinks.overlay import Overlay
from xpose_stream.stream.sinks.sink import SinkError
from tests.stream.scene import frame_of, message_of
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
overlay = Overlay(sys.argv[1], 30)
try:
    for index in range(10**6):
        overlay.write(frame_of(index), message_of(index % 30))
except SinkError as error:
    print(error)
try:
    overlay.close()
except SinkError as error:
    print(error)
"""


def read(path: Path) -> tuple[list[float], list[np.ndarray], list[float]]:
    """Times, pictures and times of the key frames of a video."""
    with av.open(str(path)) as container:
        frames = list(container.decode(video=0))
        return (
            [float(frame.pts * frame.time_base) for frame in frames],
            [frame.to_ndarray(format="rgb24") for frame in frames],
            [float(frame.pts * frame.time_base) for frame in frames if frame.key_frame],
        )


def black(frame: Frame) -> np.ndarray:
    return np.zeros((frame.height, frame.width, 3), np.uint8)


def test_the_video_shows_each_frame_at_its_capture_time_with_its_tracks(tmp_path: Path) -> None:
    order = [0, 1, 2, 5, 6, 40, 41, 80]
    with Overlay(tmp_path / "out.mp4", 30) as overlay:
        for index in order:
            overlay.write(frame_of(index), message_of(index))
    times, pictures, _ = read(tmp_path / "out.mp4")
    assert times == pytest.approx([index / 30 for index in order], abs=1e-4)
    drawings = [draw(frame_of(index).to_rgb(), message_of(index)).astype(int) for index in order]
    for place, picture in enumerate(pictures):
        errors = [np.abs(picture - drawing).mean() for drawing in drawings]
        assert np.argmin(errors) == place
        assert errors[place] < 0.85 * np.abs(picture - frame_of(0).to_rgb().astype(int)).mean()


def test_a_key_frame_comes_at_least_every_second_whatever_the_rate(tmp_path: Path) -> None:
    with Overlay(tmp_path / "out.mp4", 30) as overlay:
        for index in range(0, 120, 7):
            overlay.write(frame_of(index), message_of(index))
    times, _, keys = read(tmp_path / "out.mp4")
    assert keys[0] == 0
    assert max(np.diff([*keys, times[-1]])) < 1.3


def test_time_that_steps_back_or_changes_clock_goes_on_by_one_frame(tmp_path: Path) -> None:
    def at(captured_at: float, clock: ClockName) -> Frame:
        frame = frame_of(0)
        return Frame("hall", 0, 0.0, captured_at, clock, 0.0, frame.picture)

    times = [(100.0, "arrival"), (100.1, "arrival"), (5000.0, "sender"), (5000.1, "sender"), (4999.0, "sender")]
    with Overlay(tmp_path / "out.mp4", 20) as overlay:
        for captured_at, clock in times:
            overlay.write(at(captured_at, clock), message_of(0))
    shown, _, _ = read(tmp_path / "out.mp4")
    assert shown == pytest.approx([0, 0.1, 0.15, 0.25, 0.3], abs=1e-4)


def test_frames_of_another_or_an_odd_size_fit_the_first(tmp_path: Path) -> None:
    with Overlay(tmp_path / "out.mp4") as overlay:
        overlay.write(frame_of(0, width=321, height=241), message_of(0))
        overlay.write(frame_of(1, width=640, height=240), message_of(1, people=0))
    _, pictures, _ = read(tmp_path / "out.mp4")
    assert [picture.shape for picture in pictures] == [(240, 320, 3)] * 2
    assert pictures[1][:50].mean() < 5 < pictures[1][70:170].mean()


def test_a_killed_run_leaves_a_playable_video_that_lacks_a_second_at_most(tmp_path: Path) -> None:
    command = [sys.executable, "-c", DRAWING, str(tmp_path / "out.mp4")]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write(encode(message_of(0)))
        process.stdin.close()
        while int(process.stdout.readline()) < 200:
            pass
        process.kill()
    times, _, _ = read(tmp_path / "out.mp4")
    assert len(times) > 200 - 31
    assert times == pytest.approx([index / 30 for index in range(len(times))], abs=1e-4)


def test_a_full_disk_is_reported_and_leaves_a_playable_video(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    done = subprocess.run([sys.executable, "-c", FULL_DISK, str(path)], capture_output=True, text=True, timeout=90)
    assert done.stdout.splitlines() == [f"cannot write {path}: File too large"] * 2
    assert done.stderr == ""
    assert len(read(path)[0]) >= 30


def test_without_a_frame_no_file_stays_and_closing_twice_is_fine(tmp_path: Path) -> None:
    overlay = Overlay(tmp_path / "out.mp4")
    overlay.close()
    overlay.close()
    assert list(tmp_path.iterdir()) == []


def test_writing_after_closing_is_refused(tmp_path: Path) -> None:
    overlay = Overlay(tmp_path / "out.mp4")
    overlay.write(frame_of(0), message_of(0))
    overlay.close()
    with pytest.raises(SinkError, match="is closed"):
        overlay.write(frame_of(1), message_of(1))
    assert len(read(tmp_path / "out.mp4")[0]) == 1


def test_an_existing_file_is_refused_unless_told_to_overwrite(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    path.write_text("precious")
    with pytest.raises(SinkError, match=f"^{path} exists already"):
        Overlay(path)
    assert path.read_text() == "precious"
    with Overlay(path, overwrite=True) as overlay:
        overlay.write(frame_of(0), message_of(0))
    assert len(read(path)[0]) == 1


@pytest.mark.parametrize(
    ("name", "reason"),
    [("missing/out.mp4", "missing does not exist"), (".", "is a folder"), ("/proc/out.mp4", "cannot write")],
)
def test_a_place_that_cannot_be_written_is_refused_in_one_sentence(name: str, reason: str, tmp_path: Path) -> None:
    with pytest.raises(SinkError, match=rf"^[^\n]*{reason}[^\n]*$"):
        Overlay(tmp_path / name)
    assert list(tmp_path.iterdir()) == []


def test_drawing_leaves_its_input_alone_and_puts_keypoints_at_their_pixels() -> None:
    ground = black(frame_of(0))
    picture = draw(ground, message_of(0, people=1))
    assert not ground.any()
    for x, y in message_of(0, people=1).tracks[0].keypoints:
        assert picture[int(y), int(x)].any()
    assert not picture[:, 200:].any()


def test_each_identity_keeps_a_colour_of_its_own_and_limbs_show_their_side() -> None:
    message = message_of(0, people=2)
    picture = draw(black(frame_of(0)), message).astype(int)
    first, second = (picture[int(t.keypoints[0][1]), int(t.keypoints[0][0])] for t in message.tracks)
    assert np.abs(first - second).max() > 100
    left, right = (picture[120, int(x)] for x in (60 + 17.5, 60 - 17.5))  # half way from shoulder to hip
    assert left.sum() > right.sum() + 100


def test_a_coasting_track_looks_weaker_and_what_is_unknown_is_not_drawn() -> None:
    message = message_of(0, people=1)
    [track] = message.tracks
    coasting = msgspec.structs.replace(message, tracks=[msgspec.structs.replace(track, status="coasting")])
    bare = msgspec.structs.replace(message, tracks=[msgspec.structs.replace(track, keypoints=[None] * 5)])
    ground = black(frame_of(0))
    below = (slice(152, 153), slice(40, 81))
    assert draw(ground, coasting)[:220].max() < draw(ground, message)[:220].max() - 30  # above the caption
    assert not draw(ground, bare)[100:140, 45:75].any()
    assert draw(ground, bare)[149:152, 40:81].any(axis=(0, 2)).all()
    assert not draw(ground, coasting)[below].any(axis=(0, 2)).all()


def test_places_far_outside_the_picture_are_drawn_without_harm() -> None:
    message = message_of(0, people=1)
    wild = msgspec.structs.replace(
        message.tracks[0], box=(-1e9, -1e9, 1e9, 1e9), keypoints=[(1e12, -1e12)] * 5, status="coasting"
    )
    start = time.monotonic()
    draw(black(frame_of(0)), msgspec.structs.replace(message, tracks=[wild]))
    assert time.monotonic() - start < 20


def test_the_caption_says_camera_frame_time_prompt_and_when_nothing_was_found() -> None:
    message = message_of(12)
    assert caption(message) == "hall  frame 12  0.400 s  person"
    nothing = msgspec.structs.replace(message_of(12, people=0), clock="sender", captured_at=1795770112.9534)
    assert caption(nothing) == "hall  frame 12  2026-11-27 09:01:52.953 UTC  person: nothing found"
    absurd = msgspec.structs.replace(nothing, captured_at=1e20)
    assert caption(absurd) == "hall  frame 12  100000000000000000000.000 s  person: nothing found"


@pytest.mark.parametrize("size", [(16, 16), (64, 400), (320, 240), (3840, 2160)])
@pytest.mark.parametrize("name", ["hall", "Kühe im Stall, Süd " * 20])
def test_the_caption_is_drawn_at_the_bottom_of_any_picture_and_little_of_it_is_covered(
    size: tuple[int, int], name: str
) -> None:
    message = msgspec.structs.replace(message_of(0, people=0), camera=name)
    ground = np.full((size[1], size[0], 3), 100, np.uint8)
    picture = draw(ground, message)
    rows = np.flatnonzero((picture != ground).any((1, 2)))
    assert rows[-1] == size[1] - 1 and len(rows) <= max(0.08 * size[1], 16)
    assert picture.max() > 150 or size[0] < 64


def test_a_label_names_the_category_and_the_track() -> None:
    """As wide as the words, which OpenCV draws: wider for a longer name."""
    message = message_of(0, people=1)
    (category,) = message.categories
    longer = msgspec.structs.replace(message, categories=[msgspec.structs.replace(category, name="pedestrian")])
    ground = black(frame_of(0))
    label = slice(45, 56)
    widths = [np.flatnonzero(draw(ground, m)[label].any((0, 2)))[-1] for m in (message, longer)]
    assert widths[1] > widths[0] + 10


def test_a_tentative_track_has_thin_limbs() -> None:
    message = message_of(0, people=1)
    (track,) = message.tracks
    tentative = msgspec.structs.replace(message, tracks=[msgspec.structs.replace(track, status="tentative")])
    large = np.zeros((960, 1280, 3), np.uint8)
    assert draw(large, tentative).astype(bool).sum() < draw(large, message).astype(bool).sum()
