"""Looks at a camera and at this machine before the run: what they are, what will be slow, and what to change."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import av
import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from rich.text import Text

from xpose_stream.engines import CheckpointError, EngineError, PromptError, build_engine, load, prompts_for
from xpose_stream.engines.resize import target_size
from xpose_stream.engines.xpose import XPoseConfig
from xpose_stream.stream.detector import Detector
from xpose_stream.stream.prepare import inputs
from xpose_stream.stream.preprocess import Preprocessor
from xpose_stream.stream.site import EngineSite
from xpose_stream.stream.size import Demand, see_at, see_in_time
from xpose_stream.stream.sources import Options, SourceError, SourceLost, open_source, redact
from xpose_stream.stream.sources.frame import Frame
from xpose_stream.stream.sources.video import hardware
from xpose_stream.trackers import TrackerConfig

_SAMPLES = 8  # pictures of a camera that the model is shown, at most
# px of the model's picture below which nothing is found of a person's height, by the model's body: benchmarks/size.py.
_SMALLEST = {"conv": 40, "mobilenet": 24}
_BLANK = (640, 480)  # px, where there is no camera to take the size from


@dataclass
class Checkup:
    """What was found: facts as (name, value), advice as sentences, and whether it can run at all."""

    title: str
    facts: list[tuple[str, str]] = field(default_factory=list)
    advice: list[str] = field(default_factory=list)
    failed: bool = False

    def fact(self, name: str, value: str) -> None:
        """Note what was found."""
        self.facts.append((name, value))

    def fail(self, sentence: str) -> None:
        """Note what makes a run impossible."""
        self.failed = True
        self.advice.append(sentence)

    def table(self) -> Table:
        """For a person to read."""
        table = Table(title=Text(self.title, "table.title"), show_header=False)
        for name, value in self.facts:
            table.add_row(name, Text(value))
        for sentence in self.advice or ["nothing to change"]:
            table.add_row("[red]cannot run[/red]" if self.failed else "advice", Text(sentence))
        return table


@dataclass
class Stream:
    """What a source was seen to be; rate in frames per s, None when unknown. `samples`: frames of it for the model."""

    width: int
    height: int
    live: bool
    rate: float | None
    name: str = field(default="", compare=False)
    samples: list[Frame] = field(default_factory=list, compare=False)


def check_source(spec: str, options: Options | None = None, seconds: float = 5.0) -> tuple[Checkup, Stream | None]:
    """Read a source for some seconds (a file: as many seconds of its own time)."""
    checkup = Checkup(redact(spec))
    begun = time.monotonic()
    seen = _Seen()
    try:
        with open_source(spec, options=options) as source:
            opened = time.monotonic() - begun
            for frame in _for(seconds, source):
                seen.add(frame)
            reader = source.reader
            corrupt, codec, stated, live = source.corrupt, reader.codec, source.rate, source.live
    except SourceLost as error:
        checkup.fail(f"{error}; it was there for {time.monotonic() - begun:.1f} s only")
        return checkup, None
    except SourceError as error:
        checkup.fail(str(error))
        return checkup, None
    last, span = seen.last, seen.span
    rate = (len(seen.decoding) - 1) / span if span > 0 else stated
    hardware_decoded = options is None or options.hwaccel == "auto"
    decoder = "on the GPU (NVDEC)" if hardware_decoded and hardware() else "on the CPU"
    decoding = float(np.median(seen.decoding)) * 1e3
    interval = float(np.diff(seen.keys).max()) if len(seen.keys) > 1 else None
    checkup.fact("picture", f"{last.width}x{last.height} {last.picture.format.name}, {codec}")
    if len(reader.videos) > 1:
        checkup.fact("videos", ", ".join(reader.videos))
    checkup.fact("rate", f"{_number(rate)} frames/s seen, {_number(stated)} stated")
    checkup.fact("opened after", f"{opened:.2f} s")
    checkup.fact("decoded", f"{decoder}, {decoding:.1f} ms per frame")
    checkup.fact("key frames", f"every {interval:.1f} s" if interval else f"not two within {span:.1f} s")
    checkup.fact("broken packets", str(corrupt))
    checkup.fact("clock", f"{last.clock}, ± {last.uncertainty * 1e3:.0f} ms")
    stream = Stream(last.width, last.height, live, rate, redact(spec), seen.samples)
    if corrupt:
        checkup.advice.append(f"{corrupt} broken packets in {span:.0f} s: check the cable or the radio, or take TCP")
    if rate and decoding * rate > 500 and decoder == "on the CPU":
        checkup.advice.append(f"decoding takes {decoding * rate / 10:.0f} % of a CPU core: choose a smaller sub-stream")
    if live:
        _check_live(checkup, seen, interval, rate, stated)
    return checkup, stream


class _Seen:
    """What is kept of the frames of a source: times of all, pictures of a few that lie evenly over them."""

    def __init__(self) -> None:
        self.keys: list[float] = []  # s, media times of key frames
        self.decoding: list[float] = []  # s
        self.late: list[float] = []  # s, arrival less media time
        self.samples: list[Frame] = []
        self._every = 1

    def add(self, frame: Frame) -> None:
        if not self.decoding:
            self._first = frame.pts
        if len(self.decoding) % self._every == 0:
            self.samples.append(frame)
            if len(self.samples) > _SAMPLES:
                self.samples, self._every = self.samples[::2], 2 * self._every
        self.keys += [frame.pts] if frame.picture.key_frame else []
        self.decoding.append(frame.decoding)
        self.late.append(frame.arrived - frame.pts)
        self.last = frame

    @property
    def span(self) -> float:
        return self.last.pts - self._first


def _check_live(
    checkup: Checkup, seen: _Seen, interval: float | None, rate: float | None, stated: float | None
) -> None:
    last, span = seen.last, seen.span
    late = np.array(seen.late)
    p50, p99 = np.percentile(late - late.min(), (50, 99)) * 1e3
    checkup.fact("jitter", f"{p50:.0f} ms (p50), {p99:.0f} ms (p99) behind the quickest frame")
    if (interval or span) > 4:
        checkup.advice.append(
            "key frames are far apart, and after a loss nothing can be seen before the next: set 1 to 2 s in the camera"
        )
    if rate and stated and rate < 0.9 * stated:
        checkup.advice.append(
            f"it sends {rate:.1f} of the {stated:g} frames/s it states: check light, exposure, network"
        )
    if p99 > 100:
        checkup.advice.append(f"frames come up to {p99:.0f} ms late, in bursts: prefer a cable, or a lower bit rate")
    if last.clock == "arrival":
        checkup.advice.append(
            f"no sender report within {span:.0f} s, so capture times are those of arrival: switch on RTCP and NTP in "
            "the camera where it has them"
        )
    elif last.uncertainty > 0.1:
        checkup.advice.append(
            f"the camera's clock and this host's may be {last.uncertainty * 1e3:.0f} ms apart: set both by the same NTP"
        )


def check_machine(settings: EngineSite, prompt: str, streams: list[Stream]) -> Checkup:
    """Load the weights and time the engine; `streams` are the cameras that it is to serve."""
    checkup = Checkup("this machine")
    gpu = torch.cuda.get_device_name() if torch.cuda.is_available() else "none"
    checkup.fact("GPU", gpu)
    checkup.fact("decoders", "NVDEC and FFmpeg" if hardware() else f"FFmpeg {'.'.join(map(str, _ffmpeg()))} on the CPU")
    checkup.fact("CPU threads of the engine", str(torch.get_num_threads()))
    try:
        checkpoint = load(settings.weights)
        prompts = prompts_for(checkpoint, prompt, settings.clip)
        engine = build_engine(checkpoint.model, backend=settings.backend, precision=settings.precision)
        see_at(engine, checkpoint.model.config, settings.input_size)
    except (CheckpointError, EngineError, PromptError) as error:
        checkup.fail(str(error))
        return checkup
    detector = Detector(engine, prompts)
    batch = settings.most(engine.device.type, len(streams))
    checkup.fact("weights", f"{settings.weights.name}, prompt {detector.prompt.name}")
    size = (streams[0].width, streams[0].height) if streams else _BLANK
    wanted = sum(stream.rate or 25.0 for stream in streams if stream.live)
    if settings.input_size == "auto":
        see_in_time(engine, checkpoint.model.config, prompts, Demand(wanted, batch, size))
    config = engine.config
    seen = target_size(*size, config.short_side, config.long_side)
    with Console(stderr=True).status("making the engine ready"):
        ready = engine.prepare(*inputs(engine, prompts, batch=batch, size=size))
    preparing, detecting = _time_engine(detector, size, batch)
    checkup.fact("preprocessing", f"{preparing:.1f} ms from {size[0]}x{size[1]} to {seen[0]}x{seen[1]}")
    for stream in streams:
        if smallest := smallest_found((stream.width, stream.height), config):
            least = f"about {smallest} px high in {stream.name}, of {stream.height}"
            checkup.fact("smallest thing found", f"{least}: bring what is smaller nearer, or cut it out")
    needed = TrackerConfig(**checkpoint.tracker).high_score
    for stream in streams:
        _check_finds(checkup, detector, stream, needed)
    together = f", {batch} at once" if batch > 1 else ""
    checkup.fact("engine", f"{ready} on {engine.device}, {detecting:.1f} ms per frame{together}")
    possible = 1e3 / (preparing + detecting)
    if wanted > possible:
        smaller = "" if settings.input_size else " a smaller input (--input-size auto; a site's engine.input_size),"
        checkup.advice.append(
            f"the cameras send {wanted:.0f} frames/s and the engine does about {possible:.0f}: the rest is dropped, "
            f"the newest first served; take a GPU, fewer cameras,{smaller} or a lower rate of the camera"
        )
    for stream in streams:
        if stream.width * stream.height > 16 * seen[0] * seen[1]:
            checkup.advice.append(
                f"the engine looks at {seen[0]}x{seen[1]} of the camera's {stream.width}x{stream.height}: a smaller "
                "sub-stream costs less to send and decode"
            )
    return checkup


def smallest_found(size: tuple[int, int], config: XPoseConfig) -> int | None:
    """px of height in a picture (width, height) below which nothing is found; None where nobody has measured it."""
    if config.backbone not in _SMALLEST:
        return None
    seen = target_size(*size, config.short_side, config.long_side)
    return math.ceil(_SMALLEST[config.backbone] * size[1] / seen[1])


def _check_finds(checkup: Checkup, detector: Detector, stream: Stream, needed: float) -> None:
    """Show the model what was sampled of a stream; `needed` is the score from which a detection begins a track."""
    if not stream.samples:
        return
    config = detector.engine.config
    preprocess = Preprocessor(config.short_side, config.long_side, detector.engine.device)
    found = [detector([preprocess(frame)], [frame])[0] for frame in stream.samples]
    scores = np.concatenate([each.scores[each.scores >= needed] for each in found])
    frames = sum(bool((each.scores >= needed).any()) for each in found)
    best = max(each.best for each in found)
    what = f"{detector.prompt.name} in {stream.name}"
    if len(scores):
        told = f"{len(scores)}, in {frames} of {len(found)} frames, scores {scores.min():.2f} to {scores.max():.2f}"
        checkup.fact("found", f"{what}: {told} (median {np.median(scores):.2f}; a track begins at {needed:.2f})")
        return
    checkup.fact("found", f"{what}: nothing in {len(found)} frames, best score {best:.2f} of {needed:.2f} needed")
    seen = target_size(stream.width, stream.height, config.short_side, config.long_side)
    checkup.advice.append(
        f"{what} was not found: if it was there, try other words, other weights, or a picture in which it is larger "
        f"(the model looks at {seen[0]}x{seen[1]} px of {stream.width}x{stream.height})"
    )


def _for(seconds: float, frames: Iterator[Frame]) -> Iterator[Frame]:
    """Frames for some seconds by the host's clock if live, else by their own."""
    begun: float | None = None
    for frame in frames:
        now = frame.captured_at if frame.clock == "file" else frame.arrived
        begun = now if begun is None else begun
        yield frame
        if now - begun >= seconds:
            return


def _time_engine(detector: Detector, size: tuple[int, int], batch: int) -> tuple[float, float]:
    """Median ms per frame of preprocessing and of the engine on blank frames, `batch` at once."""
    config = detector.engine.config
    preprocess = Preprocessor(config.short_side, config.long_side, detector.engine.device)
    frame = Frame("blank", 0, 0.0, 0.0, "file", 0.0, av.VideoFrame(*size, "yuv420p"))
    images, frames = [preprocess(frame)] * batch, [frame] * batch
    for _ in range(3):
        detector(images, frames)  # the first calls are slower
    return _median(lambda: preprocess(frame)), _median(lambda: detector(images, frames)) / batch


def _median(call: Callable[[], object]) -> float:
    times = []
    for _ in range(7):
        begun = time.monotonic()
        call()
        times.append(time.monotonic() - begun)
    return float(np.median(times)) * 1e3


def _ffmpeg() -> tuple[int, ...]:
    return tuple(av.library_versions["libavcodec"])


def _number(rate: float | None) -> str:
    return "unknown" if rate is None else f"{rate:.4g}"
