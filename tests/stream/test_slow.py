"""What is seen in a single picture, in photographs and in streams of few frames is told at the first frame."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from fractions import Fraction
from itertools import islice
from pathlib import Path

import av
import cv2
import numpy as np
import pyarrow.parquet as pq
import pytest
import torch
from torch import Tensor

from tests.stream.rig import Rig
from tests.stream.spot import SpotEngine, write_spot_clip
from xpose_stream.engines import PinnedPrompts
from xpose_stream.engines.xpose import XPoseOutput
from xpose_stream.stream.session import Session
from xpose_stream.stream.sinks.messages import TracksMessage
from xpose_stream.stream.site import Site

CROSSING = Path(__file__).parents[2] / "configs" / "demo" / "crossing.mp4"
EVERY = 24  # pictures of the demo clip, so many frames apart
COUNT = 12


@pytest.fixture(scope="module")
def pictures() -> list[np.ndarray]:
    """Three people, uint8 [240, 320, 3]."""
    with av.open(str(CROSSING)) as container:
        frames = islice(container.decode(video=0), 0, EVERY * COUNT, EVERY)
        return [frame.reformat(320, 240, "rgb24").to_ndarray() for frame in frames]


def write(path: Path, pictures: list[np.ndarray], interval: float) -> Path:
    """A clip of these pictures, `interval` s apart."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=30)
        stream.width, stream.height, stream.pix_fmt = 320, 240, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        for number, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(picture, "rgb24")
            frame.pts, frame.time_base = round(number * interval * 1000), Fraction(1, 1000)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def played(source: Path, spots: bool = False, **settings: str) -> list[TracksMessage]:
    messages: list[TracksMessage] = []
    engine = SpotEngine() if spots else None
    Session(Site.of(str(source), **settings), must_open=True, engine=engine).run(
        lambda frame, message: messages.append(message)
    )
    return messages


def seen_in(messages: list[TracksMessage]) -> int:
    """How often something was seen in a frame."""
    return sum(track.status != "coasting" for message in messages for track in message.tracks)


@pytest.mark.parametrize("tracker", ["robot", "mocap", "raw"])
def test_the_same_pictures_show_as_much_at_any_rate(tmp_path: Path, pictures: list[np.ndarray], tracker: str) -> None:
    found = {}
    for interval in (1 / 30, 1.0, 10.0):
        messages = played(write(tmp_path / f"{interval:.2f}.mp4", pictures, interval), tracker=tracker)
        assert len(messages) == COUNT and messages[0].tracks
        found[interval] = seen_in(messages)
    least = 0.9 * found[1 / 30]  # x264 writes the pictures a little differently each time
    assert found[1 / 30] >= COUNT and found[1.0] >= least and found[10.0] >= least


@pytest.mark.parametrize("suffix", ["jpg", "png", "webp"])
def test_one_picture_tells_what_is_in_it(tmp_path: Path, pictures: list[np.ndarray], suffix: str) -> None:
    path, recording = tmp_path / f"one.{suffix}", tmp_path / "one.parquet"
    cv2.imwrite(str(path), np.asarray(cv2.cvtColor(pictures[0], cv2.COLOR_RGB2BGR)))
    (message,) = played(path, record=str(recording), predict="0.1")
    assert len(message.tracks) >= 2 and {track.status for track in message.tracks} == {"tentative"}
    assert all(track.predicted for track in message.tracks)
    for track in message.tracks:
        pairs = [(a, b) for a, b in zip(track.keypoints, track.measured, strict=True) if a and b]
        assert pairs and np.allclose(*zip(*pairs, strict=True))
    table = pq.read_table(recording)
    assert table["status"].to_pylist() == ["tentative"] * len(message.tracks)


def spot_picture(x: int, width: int, height: int, ground: int) -> np.ndarray:
    picture = np.full((height, width, 3), ground, np.uint8)
    picture[height // 3 : height // 3 + 40, x : x + 40] = 230
    return picture


@pytest.mark.parametrize("sizes", [60, 1])
def test_every_photograph_of_a_folder_tells_what_is_in_it(tmp_path: Path, sizes: int) -> None:
    rng = np.random.default_rng(0)
    for number in range(60):
        width, height = 320 + 7 * (number % sizes), 240 + 3 * (number % sizes)
        picture = spot_picture(int(rng.integers(0, width - 40)), width, height, int(rng.integers(0, 120)))
        cv2.imwrite(str(tmp_path / f"{number}.png"), picture)
    messages = played(tmp_path, spots=True)
    assert [len(message.tracks) for message in messages] == [1] * 60


def test_in_photographs_of_many_sizes_things_are_where_they_are(tmp_path: Path) -> None:
    places = {}
    for number, (width, height) in enumerate([(320, 240), (400, 180), (240, 320), (300, 300), (180, 400), (640, 200)]):
        places[f"{number}.png"] = 60 + 10 * number, height // 3
        cv2.imwrite(str(tmp_path / f"{number}.png"), spot_picture(60 + 10 * number, width, height, 60))
    for message in played(tmp_path, spots=True):
        (track,) = message.tracks
        assert message.image is not None
        x, y = places[message.image]
        assert track.box == pytest.approx((x, y, x + 40, y + 40), abs=4)


def test_a_folder_of_photographs_needs_two_engines_which_are_ready_when_it_begins(tmp_path: Path) -> None:
    for number in range(20):
        width, height = (320 + 7 * number, 240) if number % 3 else (240 + 5 * number, 330 + 9 * number)
        cv2.imwrite(str(tmp_path / f"{number}.png"), spot_picture(60, width, height, 60))
    engine = Prepared()
    Session(Site.of(str(tmp_path)), must_open=True, engine=engine).run()
    assert len(engine.prepared) == 2 and engine.unprepared == 0


class Prepared(SpotEngine):
    """Notes for which shapes it was made ready, and how often it was called with others."""

    def __init__(self) -> None:
        super().__init__()
        self.prepared: set[tuple[int, ...]] = set()
        self.unprepared = 0

    def prepare(self, images: Tensor, prompts: PinnedPrompts, beside: bool = False) -> str:
        self.prepared.add(tuple(images.shape))
        return super().prepare(images, prompts, beside)

    def __call__(self, images: Tensor, prompts: PinnedPrompts) -> XPoseOutput:
        self.unprepared += tuple(images.shape) not in self.prepared
        return super().__call__(images, prompts)


def test_photographs_of_different_things_are_not_smoothed_into_each_other(tmp_path: Path) -> None:
    for number in range(8):
        cv2.imwrite(str(tmp_path / f"{number}.png"), spot_picture(100 + 5 * (number % 2), 320, 240, 100 * (number % 2)))
    messages = played(tmp_path, spots=True)
    for message in messages:
        (track,) = message.tracks
        assert track.keypoints == track.measured and track.status == "tentative"
    assert len({track.id for message in messages for track in message.tracks}) == 8


def test_frames_of_a_film_in_a_folder_keep_their_identities(tmp_path: Path) -> None:
    for number in range(20):
        cv2.imwrite(str(tmp_path / f"{number}.png"), spot_picture(100 + number, 320, 240, 60))
    messages = played(tmp_path, spots=True)
    assert {track.id for message in messages for track in message.tracks} == {1}
    assert [message.tracks[0].status for message in messages] == ["tentative"] + ["confirmed"] * 19


def test_a_slow_model_on_a_live_camera_tells_the_first_frame_it_sees(tmp_path: Path, rtsp_server: Callable) -> None:
    clip = write_spot_clip(tmp_path / "clip.mp4", 12)
    with rtsp_server(clip) as server, Rig({"slow": server.url}, pause=0.7) as rig:
        rig.wait_for_more("slow", 4)
    statuses = [[track.status for track in seen.message.tracks] for seen in rig.seen["slow"]]
    assert statuses[0] == ["tentative"] and statuses[1:4] == [["confirmed"]] * 3
    assert len({track.id for seen in rig.seen["slow"] for track in seen.message.tracks}) == 1


def test_at_usual_rates_only_the_first_frame_tells_what_is_not_yet_believed(tmp_path: Path) -> None:
    """What flashes up in one frame of a video is no track."""
    clip = write_spot_clip(tmp_path / "clip.mp4", 2)
    pictures = []
    with av.open(str(clip)) as container:
        for number, frame in enumerate(container.decode(video=0)):
            picture = frame.to_ndarray(format="rgb24")
            pictures.append(picture if number in (0, 9) or number > 20 else np.full_like(picture, 40))
    messages = played(write(tmp_path / "flash.mp4", pictures, 1 / 15), spots=True)
    told = Counter((message.frame, track.status) for message in messages for track in message.tracks)
    assert [frame for (frame, status) in told if status == "tentative"] == [0]
    assert min(frame for (frame, status) in told if status == "confirmed") == 22


class CrowdEngine(SpotEngine):
    """Finds as many things as there are groups, side by side."""

    def __call__(self, images: Tensor, prompts: PinnedPrompts) -> XPoseOutput:
        groups = self.config.num_groups
        boxes = torch.tensor([[(i + 0.5) / groups, 0.5, 0.8 / groups, 0.5] for i in range(groups)])
        boxes = boxes.expand(len(images), groups, 4)
        classes, points = prompts.keypoints.shape[:2]
        logits = torch.full((len(images), groups, classes), 4.0)
        return XPoseOutput(logits, boxes, boxes[:, :, None, :2].expand(len(images), groups, points, 2))


def test_as_many_things_as_there_are_groups_are_told_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    clip = write_spot_clip(tmp_path / "crowd.mp4", 1)
    Session(Site.of(str(clip)), must_open=True, engine=CrowdEngine()).run()
    (told,) = [record.message for record in caplog.records if "at once" in record.message]
    assert told.startswith("crowd: 10 things found at once, which is all that these weights can find")
    caplog.clear()
    Session(Site.of(str(clip)), must_open=True, engine=SpotEngine()).run()
    assert not [record for record in caplog.records if "at once" in record.message]
