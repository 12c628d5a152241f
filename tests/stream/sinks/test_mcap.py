"""MCAP files, read with the libraries that their users read them with, and the same live."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from av.video.frame import PictureType
from mcap.exceptions import EndOfFile
from mcap.reader import make_reader
from mcap.records import Message
from mcap.stream_reader import StreamReader
from mcap_protobuf.decoder import DecoderFactory as Protobuf
from mcap_ros2.decoder import DecoderFactory as Cdr

from tests.stream.recordings.eventful import HALL, KITCHEN, messages
from tests.stream.scene import frame_of, message_of
from xpose_stream.stream.sinks.mcap import Mcap
from xpose_stream.stream.sinks.messages import TracksMessage
from xpose_stream.stream.sinks.room import Room
from xpose_stream.stream.sinks.ros2 import Ros2
from xpose_stream.stream.sinks.series import Rotation
from xpose_stream.stream.sinks.sink import SinkError
from xpose_stream.stream.sinks.views import View, Views, schema_of

ROOT = Path(__file__).parents[3]
FULL_DISK = """
import resource, sys
from tests.stream.scene import message_of
from xpose_stream.stream.sinks.mcap import Mcap
from xpose_stream.stream.sinks.sink import SinkError
from xpose_stream.stream.sinks.views import Views
recording = Mcap(sys.argv[1], "hall", Views)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, resource.RLIM_INFINITY))
try:
    for index in range(100_000):
        recording.write(None, message_of(index, people=4))
    recording.close()
except SinkError as error:
    print(error)
"""
KILLED = """
import sys, time
from tests.stream.scene import message_of
from xpose_stream.stream.sinks.mcap import Mcap
from xpose_stream.stream.sinks.views import Views
recording = Mcap(sys.argv[1], "hall", Views)
for index in range(100_000):
    recording.write(None, message_of(index))
    print(index, flush=True)
    time.sleep(0.01)
"""


def read(path: Path, topic: str, factory: Any = None) -> list[tuple[int, Any]]:
    with path.open("rb") as file:
        reader = make_reader(file, decoder_factories=[factory] if factory else [])
        if factory is None:
            return [(found.log_time, json.loads(found.data)) for _, _, found in reader.iter_messages(topics=[topic])]
        return [(found.log_time, decoded) for _, _, found, decoded in reader.iter_decoded_messages(topics=[topic])]


def write(path: Path, sent: list[TracksMessage], show: Any = Views, profile: str = "") -> None:
    with Mcap(str(path), HALL, show, profile=profile) as recording:
        for message in sent:
            recording.write(None, message)


@pytest.mark.parametrize("how", [{}, {"irregular": True}, {"rate": 1.0}], ids=["even", "irregular", "slow"])
@pytest.mark.parametrize("camera", [HALL, KITCHEN])
def test_every_message_is_there_with_its_values_and_times(tmp_path: Path, camera: str, how: dict[str, Any]) -> None:
    sent = [message for message in messages(**how) if message.camera == camera]
    with Mcap(str(tmp_path / "t.mcap"), camera, Views) as recording:
        for message in sent:
            recording.write(None, message)
    found = read(tmp_path / "t.mcap", f"/{camera}/tracks")
    assert len(found) == len(sent)
    for (at, told), message in zip(found, sent, strict=True):
        assert at == round(message.captured_at * 1e9)
        names = {category.id: category for category in message.categories}
        for name in ("camera", "sequence", "frame", "epoch", "captured_at", "published_at", "clock"):
            assert told[name] == getattr(message, name)
        for seen, track in zip(told["tracks"], message.tracks, strict=True):
            assert (seen["id"], seen["category"], seen["status"]) == (
                track.id,
                names[track.category].name,
                track.status,
            )
            assert tuple(seen[side] for side in ("x0", "y0", "x1", "y1")) == track.box
            for place, each in enumerate(seen["keypoints"]):
                assert each["name"] == names[track.category].keypoints[place]
                assert (each.get("x"), each.get("y")) == (track.keypoints[place] or (None, None))
                assert (each.get("measured_x"), each.get("measured_y")) == (track.measured[place] or (None, None))
                assert each.get("score") == (track.keypoint_scores or [])[place]


def test_the_schema_is_one_that_foxglove_and_lichtblick_can_read(tmp_path: Path) -> None:
    """Their readers know objects, single types, and lists of them; anything else hides the whole channel."""

    def check(schema: dict[str, Any]) -> None:
        assert set(schema) == {"type", "properties"} and schema["type"] == "object"
        for field in schema["properties"].values():
            inner = field["items"] if field["type"] == "array" else field
            if inner["type"] == "object":
                check(inner)
            else:
                assert inner["type"] in ("string", "number", "integer")

    check(schema_of(View))
    write(tmp_path / "t.mcap", [message_of(0)])
    with (tmp_path / "t.mcap").open("rb") as file:
        summary = make_reader(file).get_summary()
    assert summary
    kinds = {schema.name: schema for schema in summary.schemas.values()}
    assert set(kinds) == {"xpose.Tracks", "foxglove.ImageAnnotations"}
    assert json.loads(kinds["xpose.Tracks"].data) == schema_of(View)


def test_skeletons_are_drawn_where_they_are_and_what_is_not_known_is_left_out(tmp_path: Path) -> None:
    sent = [message for message in messages() if message.camera == HALL]
    write(tmp_path / "t.mcap", sent)
    for (_, drawn), message in zip(read(tmp_path / "t.mcap", f"/{HALL}/annotations", Protobuf()), sent, strict=True):
        assert drawn.timestamp.seconds + drawn.timestamp.nanos / 1e9 == pytest.approx(message.captured_at, abs=1e-6)
        points = [part for part in drawn.points if part.type == 1]
        lines = [part for part in drawn.points if part.type == 4]
        names = {category.id: category for category in message.categories}
        assert len(points) == len(drawn.texts) == len(message.tracks)
        for part, track in zip(points, message.tracks, strict=True):
            known = [point for point in track.keypoints if point is not None]
            assert [(each.x, each.y) for each in part.points] == known
            assert len(part.outline_colors) == len(known)
            assert {each.key: each.value for each in part.metadata}["id"] == str(track.id)
        whole = sum(
            None not in (track.keypoints[a], track.keypoints[b])
            for track in message.tracks for a, b in names[track.category].edges
        )  # fmt: skip
        assert sum(len(part.points) for part in lines) == 2 * whole


def test_the_video_is_annex_b_without_b_frames_and_every_message_is_one_picture(tmp_path: Path) -> None:
    with Mcap(str(tmp_path / "t.mcap"), HALL, lambda camera, context: Views(camera, context, True)) as recording:
        for index in range(75):
            recording.write(frame_of(index, width=321, height=241), message_of(index))
    found = read(tmp_path / "t.mcap", f"/{HALL}/video", Protobuf())
    decoder = av.CodecContext.create("h264", "r")
    decoder.flags |= av.codec.context.Flags.low_delay
    pictures = []
    for number, (_, video) in enumerate(found):
        assert video.format == "h264" and video.data.startswith((b"\0\0\0\1", b"\0\0\1"))
        kinds = {unit[0] & 31 for unit in video.data.split(b"\0\0\1")[1:]}
        assert (7 in kinds and 5 in kinds) == (number % 30 == 0)  # headers with every key frame, one each second
        pictures += decoder.decode(av.Packet(video.data))
    pictures += decoder.decode(None)
    assert len(pictures) == len(found) == 75
    assert {PictureType(picture.pict_type) for picture in pictures} <= {PictureType.I, PictureType.P}
    ramp = pictures[50].to_ndarray(format="gray")
    assert ramp.shape == (240, 320) and (np.diff(ramp[100, ::40].astype(int)) > 10).all()


def test_ros_2_reads_our_messages_and_boxes(tmp_path: Path) -> None:
    sent = [message for message in messages() if message.camera == HALL]
    write(tmp_path / "t.mcap", sent, Ros2, "ros2")
    with (tmp_path / "t.mcap").open("rb") as file:
        assert make_reader(file).get_header().profile == "ros2"
    found = read(tmp_path / "t.mcap", f"/{HALL}/tracks", Cdr())
    boxes = read(tmp_path / "t.mcap", f"/{HALL}/detections", Cdr())
    for (_, told), (_, boxed), message in zip(found, boxes, sent, strict=True):
        assert told.header.frame_id == HALL and (told.sequence, told.epoch) == (message.sequence, message.epoch)
        stamp = told.header.stamp.sec + told.header.stamp.nanosec / 1e9
        assert stamp == pytest.approx(message.captured_at, abs=1e-6)
        for seen, box, track in zip(told.tracks, boxed.detections, message.tracks, strict=True):
            assert (seen.id, box.id, seen.status) == (track.id, str(track.id), 1)
            places = np.array([(each.x, each.y) for each in seen.keypoints])
            np.testing.assert_array_equal(places, [point or (np.nan, np.nan) for point in track.keypoints])
            assert box.bbox.center.position.x - box.bbox.size_x / 2 == pytest.approx(track.box[0], abs=1e-4)
            assert box.results[0].hypothesis.score == track.score


def test_a_name_that_is_taken_gets_a_number_and_a_rotation_goes_on_in_another_file(tmp_path: Path) -> None:
    (tmp_path / "t.mcap").write_text("precious")
    with Mcap(str(tmp_path / "t.mcap"), HALL, Views, rotation=Rotation(seconds=1e-9)) as recording:
        for index in range(3):
            recording.write(None, message_of(index))
    assert (tmp_path / "t.mcap").read_text() == "precious"
    files = sorted(path for path in tmp_path.iterdir() if path.name != "t.mcap")
    frames = [told["frame"] for path in files for _, told in read(path, f"/{HALL}/tracks")]
    assert frames == [0, 1, 2] and len(files) == 4


def test_what_was_flushed_can_be_read_after_a_kill(tmp_path: Path) -> None:
    command = [sys.executable, "-c", KILLED, str(tmp_path / "t.mcap")]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout
        last = 0
        while last < 250:
            last = int(process.stdout.readline())
        process.kill()
    found = 0
    with (tmp_path / "t.mcap").open("rb") as file, pytest.raises(EndOfFile):  # there is no summary yet
        for record in StreamReader(file).records:
            found += isinstance(record, Message)
    assert found / 2 > 100


def test_a_full_disk_is_told_and_with_room_it_goes_on_in_another_file(tmp_path: Path) -> None:
    path = tmp_path / "t.mcap"
    command = [sys.executable, "-c", FULL_DISK, str(path)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, cwd=ROOT)
    assert done.stdout == f"cannot write {path}: File too large\n"
    room = Room()
    with Mcap(str(tmp_path / "room.mcap"), HALL, Views, room=room) as recording:
        recording.write(None, message_of(0))
        room.ran_out(tmp_path, OSError(28, "No space left on device"))
        recording.write(None, message_of(1))
        assert room.full == ""  # there was room again


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(SinkError, match="does not exist"):
        Mcap(str(tmp_path / "none" / "t.mcap"), HALL, Views)
