"""The whole way of a frame with real parts: the shipped weights, real H.264, a real RTSP server."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import torch

from tests.stream.rig import Rig
from tests.stream.spot import SpotEngine, spot_prompts, write_spot_clip
from xpose_stream.engines import NANO, EagerEngine, PinnedPrompts, load, prompts_for
from xpose_stream.engines.prompts.bank import PromptBank, Skeleton
from xpose_stream.engines.xpose import XPoseOutput
from xpose_stream.stream.camera import Camera
from xpose_stream.stream.detector import Detector
from xpose_stream.stream.pipeline import Pipeline
from xpose_stream.stream.preprocess import Preprocessor
from xpose_stream.stream.recordings.smooth import smooth_recording
from xpose_stream.stream.recordings.tune import tune
from xpose_stream.stream.sinks.background import Background, Sink
from xpose_stream.stream.sinks.messages import TracksMessage
from xpose_stream.stream.sinks.recorder import Recorder
from xpose_stream.stream.sinks.sink import SinkError
from xpose_stream.stream.sources import open_source
from xpose_stream.stream.sources.frame import Frame
from xpose_stream.stream.sources.scheduler import Scheduler
from xpose_stream.stream.stop import Stop
from xpose_stream.trackers import TrackerConfig

CROSSING = Path(__file__).parents[2] / "configs" / "demo" / "crossing.mp4"


class Remembering(EagerEngine):
    """The CPU engine, which keeps its answers."""

    def __init__(self) -> None:
        self.checkpoint = load(NANO)
        super().__init__(self.checkpoint.model, torch.device("cpu"))
        self.answers: list[XPoseOutput] = []

    def __call__(self, images: torch.Tensor, prompts: PinnedPrompts) -> XPoseOutput:
        self.answers.append(super().__call__(images, prompts))
        return self.answers[-1]


class Run:
    """What came of a source, per frame index; `stop_after` frames."""

    def __init__(self, spec: str | Path, stop_after: int) -> None:
        engine = Remembering()
        self.messages: list[TracksMessage] = []
        self.stop = Stop()
        self.stop_after = stop_after
        detector = Detector(engine, prompts_for(engine.checkpoint, "person"))
        scheduler: Scheduler[Frame] = Scheduler()
        pipeline = Pipeline(detector, scheduler, self.stop, staleness=60)
        tracker = TrackerConfig(sigmas=detector.sigmas)
        camera = Camera(str(spec), scheduler, detector, tracker, name="hall", watchers=[self.keep])
        camera.start()
        pipeline.add(camera)
        pipeline.run()
        self.ledger = camera.ledger
        self.answers = {m.frame: answer for m, answer in zip(self.messages, engine.answers, strict=False)}

    def keep(self, frame: Frame, message: TracksMessage) -> None:
        self.messages.append(message)
        self.stop.requested = len(self.messages) == self.stop_after


@pytest.fixture(scope="module")
def from_file() -> Run:
    return Run(CROSSING, stop_after=40)


def test_every_frame_of_a_file_is_published_in_order(from_file: Run) -> None:
    assert [message.frame for message in from_file.messages] == list(range(40))
    assert from_file.ledger.balanced
    assert set(from_file.ledger.dropped) <= {"stopped"}


def test_messages_carry_tracks_with_capture_times_of_the_file(from_file: Run) -> None:
    late = from_file.messages[-1]
    assert late.clock == "file" and late.captured_at == pytest.approx(39 / 30, abs=1e-3)
    assert late.prompt.name == "person" and late.categories[0].keypoints[0] == "nose"
    assert len(late.tracks) >= 2


def test_rtsp_gives_the_same_answers_as_the_file(rtsp_server: Callable) -> None:
    with rtsp_server(CROSSING) as server:
        live = Run(server.url, stop_after=8)
    assert live.ledger.balanced
    first = [message for message in live.messages if message.epoch == 0]  # on a busy machine it begins again
    engine = Remembering()
    detector = Detector(engine, prompts_for(engine.checkpoint, "person"))
    preprocess = Preprocessor(engine.config.short_side, engine.config.long_side, engine.device)
    frames = {frame.index: frame for frame in open_source(CROSSING)}
    for message in first:
        detector([preprocess(frames[message.frame])], [frames[message.frame]])
        for got, expected in zip(live.answers[message.frame].parts, engine.answers[-1].parts, strict=True):
            assert torch.equal(got, expected)


def test_which_two_boxes_are_one_thing_is_for_the_weights_to_say(tmp_path: Path) -> None:
    class Twice(SpotEngine):
        def __call__(self, images: torch.Tensor, prompts: PinnedPrompts) -> XPoseOutput:
            one = super().__call__(images, prompts)
            wider = one.boxes * torch.tensor((1.0, 1.0, 1.25, 1.0))  # an IoU of 0.8
            boxes, keypoints = torch.cat((one.boxes, wider), 1), one.keypoints.repeat(1, 2, 1, 1)
            return XPoseOutput(one.logits.repeat(1, 2, 1), boxes, keypoints)

    frame = next(iter(open_source(write_spot_clip(tmp_path / "spot.mp4", 1))))
    for overlap, kept in ((0.9, 2), (0.7, 1)):
        engine = Twice()
        engine.config = replace(SpotEngine.config, overlap=overlap)
        image = Preprocessor(engine.config.short_side, engine.config.long_side, engine.device)(frame)
        assert len(Detector(engine, spot_prompts())([image], [frame])[0]) == kept


def test_a_live_source_drops_the_older_frame_and_says_so(tmp_path: Path) -> None:
    clip = write_spot_clip(tmp_path / "spot.mp4", seconds=6, rate=30)
    with Rig({}, pause=0.15) as rig:
        rig.do(lambda: rig.pipeline.add(rig.start("hall", str(clip), realtime=True)))
        rig.camera("hall").reader.play()
        rig.wait_for_more("hall", 5)
        ledger = rig.camera("hall").ledger
    frames = [one.message.frame for one in rig.seen["hall"]]
    assert ledger.dropped["newer frame came"] > 0
    assert frames == sorted(frames) and frames[-1] > 5  # it skipped frames instead of falling behind


def test_a_frame_that_has_waited_too_long_is_dropped_as_stale(tmp_path: Path) -> None:
    clip = write_spot_clip(tmp_path / "spot.mp4", seconds=3, rate=30)
    with Rig({}, pause=0.2, staleness=0.001) as rig:
        rig.do(lambda: rig.pipeline.add(rig.start("hall", str(clip), realtime=True)))
        rig.camera("hall").reader.play()
        rig.wait(lambda: rig.camera("hall").ledger.dropped["stale"] > 0, "stale frame")


def test_files_of_many_cameras_lose_nothing_and_share_batches(tmp_path: Path) -> None:
    clips = {f"c{n}": str(write_spot_clip(tmp_path / f"{n}.mp4", 2, size=(160 + 32 * n, 120))) for n in range(3)}
    with Rig(clips, batch=3, wait=0.2, look=True) as rig:
        rig.wait_for_the_end()
    for name in clips:
        assert [one.message.frame for one in rig.seen[name]] == list(range(30))
        assert rig.camera(name).state == "ended" and not rig.camera(name).ledger.dropped
        for message, _, spot in rig.seen[name]:
            for track in message.tracks:
                assert track.measured[0] == pytest.approx(spot, abs=5)
        assert any(one.message.tracks for one in rig.seen[name])


def test_an_error_in_one_cameras_tracker_restarts_it_and_touches_no_other(tmp_path: Path) -> None:
    clip = str(write_spot_clip(tmp_path / "spot.mp4", 2))
    with Rig({}) as rig:
        sick, well = rig.start("sick", clip), rig.start("well", clip)
        update, calls = sick._tracker.update, iter(range(1000))

        def broken(*arguments: object) -> object:
            if next(calls) == 4:
                raise RuntimeError("no such thing")
            return update(*arguments)  # type: ignore[arg-type]

        sick._tracker.update = broken  # type: ignore[method-assign,assignment]
        rig.do(lambda: (rig.pipeline.add(sick), rig.pipeline.add(well)))
        rig.wait_for_the_end()
    assert dict(sick.ledger.dropped) == {"error": 1} and sick.ledger.published == 29
    assert well.ledger.published == 30 and sick.state == well.state == "ended"


def test_an_error_in_one_cameras_sink_ends_it_and_no_other(tmp_path: Path) -> None:
    @contextmanager
    def full() -> Iterator[Sink]:
        def write(frame: Frame, message: TracksMessage) -> None:
            raise SinkError("cannot write x.mp4: No space left on device")

        yield write

    clip = str(write_spot_clip(tmp_path / "spot.mp4", 2))
    with Rig({}, pause=0.01) as rig:
        sick, well = rig.make("sick", clip), rig.start("well", clip)
        sick.sinks.append(Background(full, lambda: None))
        sick.start()
        rig.do(lambda: (rig.pipeline.add(sick), rig.pipeline.add(well)))
        rig.wait_for_the_end()
    assert sick.state == "failed" and "No space" in str(sick.error)
    assert sick.ledger.balanced and sick.ledger.dropped["error"] == 1
    assert well.state == "ended" and well.ledger.published == 30


def test_the_detector_can_be_exchanged_between_two_frames(tmp_path: Path) -> None:
    clip = str(write_spot_clip(tmp_path / "spot.mp4", 4))
    other = Detector(SpotEngine(), replace(spot_prompts(), version=2))

    def exchange(frame: Frame, message: TracksMessage) -> None:
        if message.frame == 20:
            rig.pipeline.detector = other

    rig = Rig({"hall": clip}, watcher=exchange)
    with rig:
        rig.wait_for_the_end()
    versions = [one.message.prompt.version for one in rig.seen["hall"]]
    assert versions == [1] * 21 + [2] * 39


def test_identities_are_not_given_again_after_another_prompt_so_that_a_recording_can_be_smoothed(
    tmp_path: Path,
) -> None:
    clip = str(write_spot_clip(tmp_path / "spot.mp4", 4))
    person = spot_prompts().skeletons[0]
    legs = Skeleton("legs", person.keypoints[11:], (), (), person.sigmas[11:])
    six = PromptBank("legs", 2, (legs,), torch.zeros(1, 512), torch.zeros(1, 6, 512), torch.ones(1, 6) > 0, "", "")
    other = Detector(SpotEngine(), six)
    with Recorder(tmp_path / "tracks.parquet") as recorder:

        def exchange(frame: Frame, message: TracksMessage) -> None:
            recorder.write(message)
            if message.frame == 20:
                rig.pipeline.detector = other

        with Rig({"hall": clip}, watcher=exchange) as rig:
            rig.wait_for_the_end()
    shapes = {(t.id, len(t.keypoints)) for one in rig.seen["hall"] for t in one.message.tracks}
    assert shapes == {(1, 17), (2, 6)}
    assert smooth_recording(tmp_path / "tracks.parquet", tmp_path / "smooth.parquet") >= 60
    tune(tmp_path / "tracks.parquet", tmp_path / "tracker.yaml")
