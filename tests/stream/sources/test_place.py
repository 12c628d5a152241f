"""A path is understood as people write it: ~, numbers, patterns, links, names that are not UTF-8."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest

from tests.stream.sources.clips import thumbnail_first, write
from xpose_stream.stream.sources import Options, Reader, SourceAway, SourceError, open_source
from xpose_stream.stream.sources.address import camera_name, expanded, redact
from xpose_stream.stream.sources.place import is_device, is_pipe, located

ROOT = Path(__file__).parents[3]


def images(folder: Path, *names: str) -> Path:
    folder.mkdir(exist_ok=True)
    for number, name in enumerate(names):
        cv2.imwrite(str(folder / name), np.full((48, 64, 3), 10 * number, np.uint8))
    return folder


@pytest.mark.parametrize("name", [b"caf\xe9.mp4", b"\xff\xfe.mp4", "größe ü.mp4".encode(), b"a\nb.mp4", b"%d%03d.mp4"])
def test_a_file_of_any_name_is_opened(name: bytes, tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(name)
    shutil.copy(write(tmp_path / "clip.mp4"), path)
    with open_source(path) as source:
        frames = list(source)
    assert len(frames) == 30
    assert frames[0].camera.encode()  # it goes into messages and files, which are UTF-8
    assert redact(str(path)).encode()
    path.write_bytes(b"no video")
    with pytest.raises(SourceError) as refused:
        open_source(path)
    assert str(refused.value).encode()


def test_paths_are_understood_without_a_shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    clip = write(tmp_path / "my clip.mp4")
    escaped = f"{tmp_path}/my%20clip.mp4"
    for spec in ("~/my clip.mp4", f"file://{escaped}", f"FILE://localhost{escaped}", f"file:{escaped}"):
        with open_source(spec) as source:
            assert len(list(source)) == 30
            assert source.camera == "my-clip"
    clip.rename(tmp_path / "0")
    with open_source("0") as source:  # a file of that name, not the camera
        assert len(list(source)) == 30


def test_a_pattern_in_quotes_stands_for_its_images_in_order(tmp_path: Path) -> None:
    folder = images(tmp_path / "frames", "10.jpg", "9.jpg", "x.png")
    with open_source(f"{folder}/*.jpg") as source:
        assert [frame.image for frame in source] == ["9.jpg", "10.jpg"]
        assert source.camera == "frames"
    with open_source(f"{tmp_path}/**/*.[jp][pn]g") as source:
        assert [frame.image for frame in source] == ["9.jpg", "10.jpg", "x.png"]
    clip = write(tmp_path / "clip.mp4")
    with open_source(f"{tmp_path}/cl*.mp4") as source:
        assert len(list(source)) == 30
    shutil.copy(clip, tmp_path / "clip2.mp4")
    with pytest.raises(SourceError, match="stands for 2 files that are not all images: name the videos one by one"):
        open_source(f"{tmp_path}/cl*.mp4")
    with pytest.raises(SourceError, match=r"there is no file .*none"):
        open_source(f"{tmp_path}/none*.jpg")
    clip.rename(tmp_path / "what[1]*.mp4")
    with open_source(tmp_path / "what[1]*.mp4") as source:  # a file that is called so
        assert len(list(source)) == 30


def test_videos_in_a_folder_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = tmp_path / "shots"
    folder.mkdir()
    for name in ("b.MOV", "a.mp4"):
        shutil.copy(write(tmp_path / "clip.mp4"), folder / name)
    with pytest.raises(SourceError, match=r"contains 2 videos \(a.mp4, …\) and no images: give the videos themselves"):
        open_source(folder)
    images(folder, "1.jpg")
    with open_source(folder) as source:
        assert len(list(source)) == 1
    assert "its images are looked at, and not its 2 videos" in caplog.text


HEIC = b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic" + bytes(200)


def animated(path: Path) -> Path:
    animation = cv2.Animation()
    animation.frames = [np.full((48, 64, 3), 60 * number, np.uint8) for number in range(4)]
    animation.durations = np.array([100] * 4, np.int32)
    assert cv2.imwriteanimation(str(path), animation)
    return path


def test_pictures_that_would_be_shown_in_part_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "phone.jpg").write_bytes(HEIC)  # as some programs rename them
    with pytest.raises(SourceError, match=r"phone.jpg is a HEIC photograph, which is not read: make a JPEG of it"):
        open_source(tmp_path / "phone.jpg")
    with pytest.raises(SourceError, match=r"moving.webp is an animated WebP, which is not read: make a GIF"):
        open_source(animated(tmp_path / "moving.webp"))
    cv2.imwrite(str(tmp_path / "still.webp"), np.zeros((48, 64, 3), np.uint8))
    cv2.imwritemulti(str(tmp_path / "stack.tif"), [np.full((48, 64, 3), number, np.uint8) for number in range(5)])
    for name in "still.webp", "stack.tif", "stack.tif":
        with open_source(tmp_path / name) as source:
            assert len(list(source)) == 1
    assert caplog.text.count("stack.tif has 5 pages, of which the first is looked at") == 1


def test_a_jpeg_that_lacks_its_end_is_told_and_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = images(tmp_path / "shots", "1.jpg", "2.jpg", "3.jpg", "4.jpg")
    whole = cv2.imencode(".jpg", np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8))[1].tobytes()
    (folder / "2.jpg").write_bytes(whole[: len(whole) // 2])
    (folder / "3.jpg").write_bytes(whole[: len(whole) // 3])
    (folder / "4.jpg").write_bytes(whole + bytes(1000))  # what some cameras add behind is no part of it
    with open_source(folder) as source:
        assert len(list(source)) == 4 and source.corrupt == 2
    assert caplog.text.count("is cut short") == 1 and "2.jpg is cut short" in caplog.text
    with open_source(folder / "3.jpg") as source:
        assert len(list(source)) == 1
    assert "3.jpg is cut short; what it lacks is seen in plain colour: copy it again" in caplog.text


def test_a_file_that_is_empty_or_an_mp4_without_its_index_is_told(tmp_path: Path) -> None:
    clip = write(tmp_path / "clip.mp4")
    clip.write_bytes(clip.read_bytes()[:-3000])
    with pytest.raises(SourceError, match=r"clip.mp4 is an MP4 without its index, which comes at the end"):
        open_source(clip)
    (tmp_path / "nothing.mp4").write_bytes(b"")
    with pytest.raises(SourceError, match=r"nothing.mp4 is empty: not a byte is in it"):
        open_source(tmp_path / "nothing.mp4")


def test_a_source_that_is_a_link_to_nowhere_is_told_as_one(tmp_path: Path) -> None:
    (tmp_path / "disk.mp4").symlink_to(tmp_path / "unplugged.mp4")
    with pytest.raises(SourceError, match=r"disk\.mp4 is a link that leads nowhere"):
        open_source(tmp_path / "disk.mp4")


def test_a_folder_says_which_of_its_pictures_are_not_seen(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = images(tmp_path / "shots", "1.jpg", "2.jpg")
    (folder / "3.HEIC").write_bytes(HEIC)
    animated(folder / "4.webp")
    with open_source(folder) as source:
        assert [frame.image for frame in source] == ["1.jpg", "2.jpg"]
    assert "2 of 4 pictures are left out: 4.webp is an animated WebP" in caplog.text
    for name in "1.jpg", "2.jpg", "4.webp":
        (folder / name).unlink()
    with pytest.raises(SourceError, match=r"contains 1 pictures that are not read: 3.HEIC is a HEIC photograph"):
        open_source(folder)


def test_a_folders_images_are_named_and_keep_their_numbers(tmp_path: Path) -> None:
    folder = images(tmp_path / "shots", "1.jpg", "2.jpg", "2²3.jpg", "3.jpg", "4.jpg", "._4.jpg")
    (folder / "2.jpg").write_bytes(b"none")
    (folder / "5.jpg").mkdir()
    with open_source(folder) as source:
        frames = list(source)
    named = [(frame.index, frame.image) for frame in frames]
    assert named == [(0, "1.jpg"), (2, "2²3.jpg"), (3, "3.jpg"), (4, "4.jpg")]
    assert [frame.pts for frame in frames] == pytest.approx([0, 0.08, 0.12, 0.16])
    assert source.corrupt == 1


def test_a_camera_has_many_names(tmp_path: Path) -> None:
    for name in ("/dev/video0", "/dev/v4l/by-id/usb-Cam-video-index0", "/dev/my_camera", "0", "/dev/../dev/video3"):
        assert is_device(name)
    (tmp_path / "link").symlink_to("/dev/video99")
    assert is_device(str(tmp_path / "link"))
    for name in ("/dev/null", "/dev/shm/clip.mp4", "/dev/stdin", "/dev/fd/0", "a.mp4", "/home/me/dev/video0", "-", ""):
        assert not is_device(name)
    assert located("0") == "/dev/video0" and camera_name("0") == "video0" and not is_pipe("0")


def test_a_camera_that_is_away_is_tried_again_by_every_name(tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("/dev/video99")
    for name in ("/dev/v4l/by-id/usb-Cam-video-index0", str(tmp_path / "link"), "99"):
        with pytest.raises(SourceAway, match="there is no camera"):
            open_source(name, options=Options(size="640x480"))
        reader = Reader(name, lambda frame: None)
        reader.start()
        with pytest.raises(SourceAway):
            reader.wait_until_open()
        assert reader.state == "connecting"
        reader.close()


def test_a_node_of_a_camera_elsewhere_is_opened_as_one(tmp_path: Path) -> None:
    node = tmp_path / "cam"
    try:
        os.mknod(node, 0o20600, os.makedev(81, 99))
    except PermissionError:  # only root may; whoever is not sees at least what it would be taken for
        node = Path("/dev/video99")
    assert is_device(str(node))
    with pytest.raises(SourceAway):
        open_source(node)


def test_the_best_of_several_videos_is_taken_or_the_one_asked_for(tmp_path: Path) -> None:
    clip = thumbnail_first(tmp_path / "clip.mkv")
    with open_source(clip) as source:
        assert {(frame.width, frame.height) for frame in source} == {(160, 120)}
        assert source.reader.videos == ("0: mjpeg 80x60", "1: h264 160x120")
    with open_source(clip, options=Options(stream=0)) as source:
        assert [(frame.width, frame.height) for frame in source] == [(80, 60)]
    with pytest.raises(SourceError, match="has no video 2; there are 0: mjpeg 80x60, 1: h264 160x120"):
        open_source(clip, options=Options(stream=2))


def test_a_name_that_is_no_text_can_be_printed_and_shown_by_ps(tmp_path: Path) -> None:
    path = tmp_path / os.fsdecode(b"caf\xe9.mp4")
    ran = subprocess.run(
        [sys.executable, "run_stream.py", "run", os.fsencode(path)], capture_output=True, cwd=ROOT, timeout=60
    )
    assert ran.returncode == 1 and b"Traceback" not in ran.stderr
    assert "there is no file or folder" in ran.stderr.decode()


def test_several_sources_are_files_one_after_the_other(tmp_path: Path) -> None:
    for name in ("10.mp4", "9.mp4", "x.mp4"):
        (tmp_path / name).touch()
    images(tmp_path / "shots", "1.jpg", "2.jpg")
    videos = [str(tmp_path / name) for name in ("9.mp4", "10.mp4", "x.mp4")]
    assert expanded(videos) == expanded([f"{tmp_path}/*.mp4"]) == videos
    assert expanded([f"{tmp_path}/shots/*.jpg"]) == [f"{tmp_path}/shots/*.jpg"]  # one source
    with pytest.raises(
        SourceError, match="2 images one by one are 2 sources: give their folder, or a pattern in quotes"
    ):
        expanded([str(path) for path in (tmp_path / "shots").iterdir()])
    with pytest.raises(SourceError, match="rtsp://cam/live is none: several cameras at a time are written into a site"):
        expanded([videos[0], "rtsp://joe:secret@cam/live"])
    with pytest.raises(SourceError, match=r"there is no file or folder .*tow.mp4; of 2 sources none was run"):
        expanded([videos[0], str(tmp_path / "tow.mp4")])
