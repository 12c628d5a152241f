"""Looks at a camera and at this machine before the run: what they are, what will be slow, and what to change."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

import av
import numpy as np
import torch
from rich.console import Console
from rich.table import Table
from rich.text import Text

from engines import CheckpointError, EngineError, PromptError, build_engine, load, prompts_for
from engines.resize import target_size
from stream.detector import Detector
from stream.frame import Frame
from stream.prepare import inputs
from stream.preprocess import Preprocessor
from stream.site import EngineSite
from stream.sources import Options, SourceError, SourceLost, open_source, redact
from stream.sources.video import hardware

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
    """What a source was seen to be; rate in frames per s, None when unknown."""

    width: int
    height: int
    live: bool
    rate: float | None


def check_source(spec: str, options: Options | None = None, seconds: float = 5.0) -> tuple[Checkup, Stream | None]:
    """Read a source for some seconds (a file: as many seconds of its own time)."""
    checkup = Checkup(redact(spec))
    begun = time.monotonic()
    frames: list[Frame] = []
    keys: list[float] = []
    try:
        with open_source(spec, options=options) as source:
            opened = time.monotonic() - begun
            for frame in _for(seconds, source):
                keys += [frame.pts] if frame.picture.key_frame else []
                frames.append(frame)
            reader = source.reader
            corrupt, codec, stated, live = source.corrupt, reader.codec, source.rate, source.live
    except SourceLost as error:
        checkup.fail(f"{error}; it was there for {time.monotonic() - begun:.1f} s only")
        return checkup, None
    except SourceError as error:
        checkup.fail(str(error))
        return checkup, None
    last = frames[-1]
    span = last.pts - frames[0].pts
    rate = (len(frames) - 1) / span if span > 0 else stated
    hardware_decoded = options is None or options.hwaccel == "auto"
    decoder = "on the GPU (NVDEC)" if hardware_decoded and hardware() else "on the CPU"
    decoding = float(np.median([frame.decoding for frame in frames])) * 1e3
    interval = float(np.diff(keys).max()) if len(keys) > 1 else None
    checkup.fact("picture", f"{last.width}x{last.height} {last.picture.format.name}, {codec}")
    checkup.fact("rate", f"{_number(rate)} frames/s seen, {_number(stated)} stated")
    checkup.fact("opened after", f"{opened:.2f} s")
    checkup.fact("decoded", f"{decoder}, {decoding:.1f} ms per frame")
    checkup.fact("key frames", f"every {interval:.1f} s" if interval else f"not two within {span:.1f} s")
    checkup.fact("broken packets", str(corrupt))
    checkup.fact("clock", f"{last.clock}, ± {last.uncertainty * 1e3:.0f} ms")
    stream = Stream(last.width, last.height, live, rate)
    if corrupt:
        checkup.advice.append(f"{corrupt} broken packets in {span:.0f} s: check the cable or the radio, or take TCP")
    if rate and decoding * rate > 500 and decoder == "on the CPU":
        checkup.advice.append(f"decoding takes {decoding * rate / 10:.0f} % of a CPU core: choose a smaller sub-stream")
    if live:
        _check_live(checkup, frames, interval, span, rate, stated)
    return checkup, stream


def _check_live(
    checkup: Checkup,
    frames: list[Frame],
    interval: float | None,
    span: float,
    rate: float | None,
    stated: float | None,
) -> None:
    last = frames[-1]
    late = np.array([frame.arrived - frame.pts for frame in frames])
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
    except (CheckpointError, EngineError, PromptError) as error:
        checkup.fail(str(error))
        return checkup
    detector = Detector(engine, prompts)
    batch = settings.most(engine.device.type, len(streams))
    checkup.fact("weights", f"{settings.weights.name}, prompt {detector.prompt.name}")
    size = (streams[0].width, streams[0].height) if streams else _BLANK
    config = engine.config
    seen = target_size(*size, config.short_side, config.long_side)
    with Console(stderr=True).status("making the engine ready"):
        ready = engine.prepare(*inputs(engine, prompts, batch=batch, size=size))
    preparing, detecting = _time_engine(detector, size, batch)
    checkup.fact("preprocessing", f"{preparing:.1f} ms from {size[0]}x{size[1]} to {seen[0]}x{seen[1]}")
    together = f", {batch} at once" if batch > 1 else ""
    checkup.fact("engine", f"{ready} on {engine.device}, {detecting:.1f} ms per frame{together}")
    wanted = sum(stream.rate or 25.0 for stream in streams if stream.live)
    possible = 1e3 / (preparing + detecting)
    if wanted > possible:
        checkup.advice.append(
            f"the cameras send {wanted:.0f} frames/s and the engine does about {possible:.0f}: the rest is dropped, "
            "the newest first served; take a GPU, fewer cameras, or a lower rate in the camera"
        )
    for stream in streams:
        if stream.width * stream.height > 16 * seen[0] * seen[1]:
            checkup.advice.append(
                f"the engine looks at {seen[0]}x{seen[1]} of the camera's {stream.width}x{stream.height}: a smaller "
                "sub-stream costs less to send and decode"
            )
    return checkup


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
