"""The overlay made afterwards."""

from __future__ import annotations

from pathlib import Path

import av
import msgspec
import numpy as np
import pytest

from tests.stream.recordings.eventful import record
from tests.stream.scene import message_of
from xpose_stream.stream.recordings.export.export import export
from xpose_stream.stream.recordings.export.job import ExportError
from xpose_stream.stream.recordings.recording import Recording


@pytest.fixture(scope="module")
def video(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty grey pictures of 320x240."""
    path = tmp_path_factory.mktemp("video") / "hall.mp4"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        for _ in range(20):
            container.mux(
                stream.encode(av.VideoFrame.from_ndarray(np.full((240, 320, 3), 90, np.uint8), format="rgb24"))
            )
        container.mux(stream.encode(None))
    return path


def pictures(path: Path) -> list[np.ndarray]:
    with av.open(str(path)) as container:
        return [frame.to_ndarray(format="rgb24").astype(int) for frame in container.decode(video=0)]


def test_each_frame_shows_its_own_tracks(video: Path, tmp_path: Path) -> None:
    recording = Recording(record(tmp_path / "tracks.parquet", [message_of(index) for index in range(20) if index != 7]))
    path, notes = export(recording, "mp4", video=video)
    assert path == tmp_path / "tracks.mp4"
    assert notes == ["1 frames of the video are not in the recording and have nothing drawn on them"]
    drawn = pictures(path)
    assert len(drawn) == 20
    for index, picture in enumerate(drawn):
        x, y = message_of(index).tracks[0].keypoints[0]
        coloured = np.ptp(picture[round(y), round(x)]) > 60
        assert coloured == (index != 7)


def test_of_several_cameras_the_one_is_drawn_that_the_video_is_named_after(video: Path, tmp_path: Path) -> None:
    made = [message_of(index, camera=camera) for index in range(20) for camera in ("hall", "yard")]
    recording = Recording(record(tmp_path / "tracks.parquet", made))
    path, notes = export(recording, "mp4", video=video)
    assert notes == [] and len(pictures(path)) == 20
    other = tmp_path / "garden.mp4"
    other.write_bytes(video.read_bytes())
    with pytest.raises(ExportError, match=r"garden\.mp4 is of no camera of the recording; name it .*: hall, yard$"):
        export(recording, "mp4", tmp_path / "x.mp4", video=other)


def test_a_video_that_is_missing_or_another_is_refused_and_nothing_is_left(video: Path, tmp_path: Path) -> None:
    small = [msgspec.structs.replace(message_of(index), width=160, height=120) for index in range(3)]
    recording = Recording(record(tmp_path / "tracks.parquet", small))
    with pytest.raises(ExportError, match="name it with --video"):
        export(recording, "mp4")
    with pytest.raises(ExportError, match=r"gone\.mp4 does not exist"):
        export(recording, "mp4", video=tmp_path / "gone.mp4")
    with pytest.raises(ExportError, match="its pictures are 320x240, those of the camera hall were 160x120"):
        export(recording, "mp4", video=video)
    assert [path.name for path in tmp_path.iterdir()] == ["tracks.parquet"]
