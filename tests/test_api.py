"""The call from Python: a loop over a video, a picture, a prompt by example."""

from __future__ import annotations

import asyncio
import gc
import os
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av
import numpy as np
import psutil
import pyarrow.parquet as pq
import pytest

import xpose_stream as xs
from tests.stream.sources.clips import thumbnail_first, write
from tests.stream.spot import write_spot_clip
from xpose_stream.stream.session import Session
from xpose_stream.stream.sinks.messages import TracksMessage
from xpose_stream.stream.site import Site

CROSSING = Path(__file__).parents[1] / "configs" / "demo" / "crossing.mp4"


@pytest.fixture(scope="module")
def short(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first second of the demo clip."""
    path = tmp_path_factory.mktemp("clip") / "short.mp4"
    with av.open(str(CROSSING)) as source, av.open(str(path), "w") as copy:
        stream = copy.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(source.streams.video[0]):
            if packet.dts is None or packet.pts * packet.time_base >= 1:
                break
            packet.stream = stream
            copy.mux(packet)
    return path


def rows_of(recording: Path) -> dict[int, list[tuple[int, np.ndarray]]]:
    """Of every frame the ids and keypoints [K, 2] float32 that a recording holds."""
    found: dict[int, list[tuple[int, np.ndarray]]] = {}
    for row in pq.read_table(recording, columns=["frame", "track_id", "keypoint_x", "keypoint_y"]).to_pylist():
        tracks = found.setdefault(row["frame"], [])
        if row["track_id"] is not None:
            points = np.array([row["keypoint_x"], row["keypoint_y"]], np.float32).T
            tracks.append((row["track_id"], points))
    return found


def test_a_loop_gives_the_tracks_that_a_run_records(short: Path, tmp_path: Path) -> None:
    Session(Site.of(str(short), record=str(tmp_path / "run.parquet"))).run()
    recorded = rows_of(tmp_path / "run.parquet")
    seen = {}
    for frame, tracks in xs.stream(short, "person", record=str(tmp_path / "loop.parquet")):
        persons = tracks["person"]
        seen[frame.index] = list(zip(persons.ids.tolist(), persons.keypoints.astype(np.float32), strict=True))
    assert seen.keys() == recorded.keys() and sum(map(len, seen.values())) > 30
    for index, there in recorded.items():
        assert [one for one, _ in there] == [one for one, _ in seen[index]]
        for (_, wanted), (_, got) in zip(there, seen[index], strict=True):
            np.testing.assert_array_equal(got, wanted)
    assert rows_of(tmp_path / "loop.parquet").keys() == recorded.keys()


def test_arrays_are_followed_like_a_file(short: Path) -> None:
    pictures = [frame.to_rgb() for frame, _ in xs.stream(short)]
    first = [tracks for _, tracks in xs.stream(iter(pictures), rate=30)]
    again = [tracks for _, tracks in xs.stream(np.stack(pictures), rate=30)]
    of_file = [tracks for _, tracks in xs.stream(short)]
    assert len(first) == len(again) == len(of_file) == 30
    assert first[-1].ids.tolist() == of_file[-1].ids.tolist() and len(first[-1]) == 3
    np.testing.assert_array_equal(first[-1].keypoints, again[-1].keypoints)
    assert np.nanmax(np.abs(first[-1].boxes - of_file[-1].boxes)) < 3, "they saw the same but for the colours' rounding"


def test_tracks_are_arrays_with_names_and_can_be_predicted(short: Path) -> None:
    *_, (frame, tracks) = xs.stream(short, "person")
    persons = tracks["person"]
    count = len(persons)
    assert tracks.names == ["person"] * count and persons.keypoint_names[0] == "nose" and persons.edges
    assert persons.keypoints.shape == (count, 17, 2) and persons.covariances.shape == (count, 17, 2, 2)
    assert persons.velocities.shape == (count, 17, 2) and persons.sigmas.shape == (count, 17)
    later = tracks.predict(frame.captured_at + 0.2)
    moved = later["person"].keypoints - persons.keypoints
    assert later.ids.tolist() == tracks.ids.tolist()
    assert np.nanmedian(np.abs(moved - 0.2 * persons.velocities)) < 2
    assert np.nanmean(later["person"].sigmas) > np.nanmean(persons.sigmas)
    with pytest.raises(xs.Error, match="'dog' is not looked for; the prompt asks for person"):
        tracks["dog"]
    with pytest.raises(ValueError, match="Cannot predict"):
        tracks.predict(frame.captured_at - 1)


def test_what_a_picture_shows_is_found_drawn_and_handed_on(short: Path) -> None:
    *_, (frame, tracks) = xs.stream(short)
    image = frame.to_rgb()
    found = xs.Detector("person")(image)
    assert len(found) == len(tracks) == 3 and found.names == ["person"] * 3
    assert found.keypoints.shape == (3, 17, 2) and (found.sigmas > 0).all() and (found.scores > 0.3).all()
    drawn = found.draw(image)
    assert drawn.shape == image.shape and (drawn != image).any()
    handed = found.to_supervision()
    np.testing.assert_allclose(handed.xy, found.keypoints, atol=1e-3)
    assert handed.data["class_name"].tolist() == ["person"] * 3
    with pytest.raises(xs.Error, match="single picture"):
        found.predict(1.0)


def test_what_a_detector_is_shown_is_what_it_looks_for(short: Path) -> None:
    detect = xs.Detector("person")
    frame = next(frame for frame, _ in xs.stream(short))
    image = frame.to_rgb()
    person = detect(image)["person"]
    points = {name: tuple(at) for name, at in zip(person.keypoint_names, person.keypoints[0].tolist(), strict=True)}
    prompt = xs.example(image, points, tuple(person.boxes[0]), category="walker")
    found = xs.Detector(prompt)(image)["walker"]
    assert len(found) and np.nanmedian(np.abs(found.keypoints[0] - person.keypoints[0])) < 8
    tracked = [tracks for _, tracks in xs.stream(short, prompt)]
    assert tracked[-1].categories == ["walker"] and len(tracked[-1])


@pytest.mark.parametrize(
    ("source", "prompt", "said"),
    [
        ("gone.mp4", "person", "there is no file or folder gone.mp4"),
        (CROSSING, "xylophone", "xylophone"),
        ([np.zeros((4, 4), np.uint8)], "person", r"not uint8 \[4, 4\]"),
        ([], "person", "no picture among the arrays"),
    ],
)
def test_a_mistake_is_one_sentence(source: Any, prompt: str, said: str) -> None:
    with pytest.raises(xs.Error, match=said):
        list(xs.stream(source, prompt))


def left_behind() -> tuple[set[str], int, int]:
    """Threads, descriptors and connections of this process, without those of libraries."""
    gc.collect()
    process = psutil.Process()
    names = ("source", "xpose", "engine build")
    threads = {thread.name for thread in threading.enumerate() if thread.name.startswith(names)}
    return threads, len(os.listdir("/proc/self/fd")), len(process.net_connections())


def eventually(true: Callable[[], bool], seconds: float) -> bool:
    end = time.monotonic() + seconds
    while not (done := true()) and time.monotonic() < end:
        time.sleep(0.1)
    return done


def test_an_abandoned_camera_leaves_nothing(long_numbers: Path, rtsp_server: Callable[..., Any]) -> None:
    others = left_behind()[0]
    with rtsp_server(long_numbers) as server:
        for _ in xs.stream(server.url):  # the first is what libraries keep for themselves, and builds the engine
            break
        assert eventually(lambda: left_behind()[0] <= others, 300), left_behind()
        before = left_behind()
        for frame, _ in xs.stream(server.url):
            if frame.index >= 3:
                break
        assert eventually(lambda: left_behind() == before, 15), (left_behind(), before)


@pytest.fixture(scope="module")
def long_numbers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clip that is not over before a test is."""
    return write_spot_clip(tmp_path_factory.mktemp("spot") / "spot.mp4", seconds=20)


def test_two_streams_at_once_do_not_disturb_each_other(short: Path) -> None:
    alone = [tracks.message.tracks for _, tracks in xs.stream(short)]
    got: dict[int, list[Any]] = {}

    def follow(number: int) -> None:
        got[number] = [tracks.message.tracks for _, tracks in xs.stream(short)]

    both = [threading.Thread(target=follow, args=(number,)) for number in range(2)]
    for thread in both:
        thread.start()
    for thread in both:
        thread.join()
    assert got == {0: alone, 1: alone}


def test_a_coroutine_can_loop_and_leave(short: Path) -> None:
    async def watch(most: int) -> list[int]:
        indices = []
        async for frame, _ in xs.stream(short):
            indices.append(frame.index)
            if len(indices) == most:
                break
        return indices

    async def both() -> tuple[list[int], list[int]]:
        whole, part = await asyncio.gather(watch(99), watch(5))
        return whole, part

    whole, part = asyncio.run(both())
    assert whole == list(range(30)) and part == list(range(5))


def test_a_slow_loop_over_a_live_source_gets_the_newest(long_numbers: Path, rtsp_server: Callable[..., Any]) -> None:
    def frames(stream: xs.Stream) -> Iterator[int]:
        for frame, _ in stream:
            time.sleep(0.5)
            yield frame.index

    with rtsp_server(long_numbers) as server:
        indices = [index for index, _ in zip(frames(xs.stream(server.url)), range(4), strict=False)]
    steps = np.diff(indices)
    assert (steps[1:] >= 4).all(), f"at 15 frames a second, {indices} are old ones"


def test_what_a_loop_recorded_is_read_again(short: Path, tmp_path: Path) -> None:
    seen = [tracks.message for _, tracks in xs.stream(short, record=str(tmp_path / "t.parquet"))]
    recording = xs.read(tmp_path / "t.parquet")
    assert isinstance(recording, xs.Recording)
    assert [[track.id for track in message.tracks] for message in recording] == [
        [track.id for track in message.tracks] for message in seen
    ]
    with pytest.raises(xs.Error, match=r"gone\.parquet"):
        xs.read(tmp_path / "gone.parquet")


def test_messages_are_there_too(short: Path) -> None:
    message = next(tracks.message for _, tracks in xs.stream(short))
    assert isinstance(message, TracksMessage) and message.width == 640


def test_a_stream_takes_the_options_of_the_command_about_what_it_reads(tmp_path: Path) -> None:
    clip, fifo = thumbnail_first(tmp_path / "two.mp4"), tmp_path / "pipe"
    for number, width in (0, 80), (1, 160):
        frame, _ = next(iter(xs.stream(clip, stream=number, camera="door")))
        assert (frame.width, frame.camera) == (width, "door")
    os.mkfifo(fifo)
    write(tmp_path / "clip.ts", 20)
    threading.Thread(target=lambda: fifo.write_bytes((tmp_path / "clip.ts").read_bytes()), daemon=True).start()
    frame, _ = next(iter(xs.stream(fifo, live=True)))
    assert frame.clock == "arrival"
    with pytest.raises(xs.Error, match="live is for pipes and http"):
        xs.stream(clip, live=True)
