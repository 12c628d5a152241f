"""What a run gives out: a list with one entry for each line of `outputs` in a site's file."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Protocol

from xpose_stream.engines import PromptBank
from xpose_stream.engines.prompts.bank import Prompt
from xpose_stream.stream.bridges import BRIDGES, extra
from xpose_stream.stream.camera import Camera
from xpose_stream.stream.control import Control
from xpose_stream.stream.pipeline import Pipeline
from xpose_stream.stream.sinks.background import Background, Sink
from xpose_stream.stream.sinks.drawing import Drawing
from xpose_stream.stream.sinks.guard import Refused
from xpose_stream.stream.sinks.keys import Keys
from xpose_stream.stream.sinks.place import place_of
from xpose_stream.stream.sinks.publisher import Publisher
from xpose_stream.stream.sinks.room import Room
from xpose_stream.stream.sinks.series import Series, recover_left
from xpose_stream.stream.sinks.sink import SinkError
from xpose_stream.stream.site import OutputSite, PageSite
from xpose_stream.stream.swap import PromptSwap
from xpose_stream.stream.watch.metrics import Metrics
from xpose_stream.trackers import TrackerConfig

Attach = Callable[[Camera], None]

_FAREWELL = (
    5.0  # s for what is being recovered when the run ends; what is not done then is begun anew at the next start
)


@dataclass(frozen=True)
class Running:
    """What an output may know of the run that it belongs to.

    swap                 changes what it looks for.
    embed                turns prompts into embeddings.
    known                categories that it can be asked for in words; empty: any.
    wake                 is to be called when a sink that was behind has caught up.
    settings             all that the site says of its outputs.
    wait_for_subscriber  s
    refused              who was not let in.
    made                 what recordings are to say of the program and its weights.
    """

    pipeline: Pipeline
    tracker: TrackerConfig
    swap: PromptSwap
    embed: Callable[[Sequence[Prompt]], PromptBank]
    known: Sequence[str]
    wake: Callable[[], None]
    settings: OutputSite
    wait_for_subscriber: float = 0.0
    refused: Refused = field(default_factory=Refused)
    made: Mapping[str, str] = field(default_factory=dict)

    @property
    def guarded(self) -> dict[str, Any]:
        """How a socket is to be guarded. Raises KeysError."""
        asked = self.settings
        keys = None if asked.keys is None else Keys(asked.keys)
        return {"keys": keys, "trusted": asked.open, "refused": self.refused}


class Output(Protocol):
    """One kind of output, with what the site's file says of it."""

    def file(self, camera: str) -> Path | None:
        """The file that it writes of the camera with that name, if any, or with a number where that is taken.

        Called before anything is opened. Raises SinkError when it cannot be written.
        """

    def opened(self, run: Running) -> AbstractContextManager[Attach]:
        """Open what all cameras share, for as long as the run; what is entered is called with each camera before that
        begins. Raises SinkError."""


def outputs_of(site: OutputSite) -> list[Output]:
    """The outputs that a site asks for, in the order of `OUTPUTS`."""
    asked = {name: getattr(site, name) for name in OUTPUTS}
    return [OUTPUTS[name](setting) for name, setting in asked.items() if setting is not None]


def _beside(
    name: str,
    sink: Callable[[Room | None], AbstractContextManager[Callable[..., None]]],
    run: Running,
    also: Callable[[], object] | None = None,
    needed: bool = True,
) -> Background:
    """A sink of files beside the pipeline, which a full disk pauses, or ends where the site wants that."""
    room = Room()
    given = None if run.settings.when_full == "stop" else room
    return Background(lambda: sink(given), run.wake, name, room, also, needed)


@dataclass(frozen=True)
class Publish:
    """Messages over ZeroMQ."""

    endpoint: str

    def file(self, camera: str) -> None:
        """Writes none."""

    @contextmanager
    def opened(self, run: Running) -> Iterator[Attach]:
        """See Output; messages go out between two frames, so that none waits for a disk."""
        with Publisher(self.endpoint, form=run.settings.format, **run.guarded) as publisher:
            if run.wait_for_subscriber:
                publisher.wait_for_subscriber(run.wait_for_subscriber)
            yield lambda camera: camera.direct.append(lambda frame, message: publisher.publish(message))


@dataclass(frozen=True)
class Record:
    """A Parquet file for each camera, or more of them where it rotates."""

    pattern: str

    def file(self, camera: str) -> Path:
        """Its recording."""
        return place_of(self.pattern, camera)

    @contextmanager
    def opened(self, run: Running) -> Iterator[Attach]:
        """See Output. What killed runs left is recovered beside the stream."""
        recovering: list[threading.Thread] = []

        def attach(camera: Camera) -> None:
            recovering.append(threading.Thread(target=recover_left, args=(self.pattern, camera.name), daemon=True))
            recovering[-1].start()
            camera.sinks.append(self.sink(run, camera))

        yield attach
        for thread in recovering:
            thread.join(_FAREWELL)

    def sink(self, run: Running, camera: Camera, needed: bool = True) -> Background:
        """What records one camera."""

        @contextmanager
        def recording(room: Room | None) -> Iterator[Callable[..., None]]:
            asked = run.settings
            how: dict[str, Any] = {"detections": asked.record_detections, "rotation": asked.rotate, "room": room}
            made = dict(run.made) | {"source": camera.reader.name}
            with Series(self.pattern, camera.name, tracker=run.tracker, made=made, **how) as series:
                yield lambda frame, message, given: series.write(message, given)

        return _beside("record", recording, run, lambda: camera.given, needed)


@dataclass(frozen=True)
class RecordMcap:
    """An MCAP file for each camera, or more of them where it rotates."""

    pattern: str

    def file(self, camera: str) -> Path:
        """Its recording."""
        return place_of(self.pattern, camera)

    @contextmanager
    def opened(self, run: Running) -> Iterator[Attach]:
        """See Output."""
        asked = run.settings
        if asked.record_detections:
            raise SinkError("an MCAP file holds no detections: record a .parquet, or leave --record-detections out")
        with extra("mcap"):
            from xpose_stream.stream.sinks.mcap import Mcap
            from xpose_stream.stream.sinks.views import Views
        show: Any = lambda camera, context: Views(camera, context, asked.video)  # noqa: E731
        if asked.mcap_profile == "ros2":
            with extra("ros2"):
                from xpose_stream.stream.sinks.ros2 import Ros2 as show

        @contextmanager
        def recording(camera: Camera, room: Room | None) -> Iterator[Sink]:
            how: dict[str, Any] = {"profile": asked.mcap_profile, "rotation": asked.rotate, "room": room}
            with Mcap(self.pattern, camera.name, show, **how) as recording:
                yield recording.write

        yield lambda camera: camera.sinks.append(_beside("record", lambda room: recording(camera, room), run))


def _record(pattern: str) -> Output:
    """By the suffix of its name."""
    return RecordMcap(pattern) if pattern.lower().endswith(".mcap") else Record(pattern)


@dataclass(frozen=True)
class Bridge:
    """Messages in another program's protocol."""

    name: str
    setting: Any

    def file(self, camera: str) -> None:
        """Writes none."""

    @contextmanager
    def opened(self, run: Running) -> Iterator[Attach]:
        """See Output."""
        with BRIDGES[self.name](self.setting, run.settings) as send:
            yield lambda camera: camera.sinks.append(Background(lambda: nullcontext(send), run.wake, self.name))


@dataclass(frozen=True)
class Draw:
    """An MP4 video for each camera, or more of them where it rotates."""

    pattern: str

    def file(self, camera: str) -> Path:
        """Its overlay."""
        return place_of(self.pattern, camera)

    @contextmanager
    def opened(self, run: Running) -> Iterator[Attach]:
        """See Output."""
        yield lambda camera: camera.sinks.append(self.sink(run, camera))

    def sink(self, run: Running, camera: Camera, needed: bool = True) -> Background:
        """What draws one camera."""

        @contextmanager
        def overlay(room: Room | None) -> Iterator[Sink]:
            how: dict[str, Any] = {"rotation": run.settings.rotate, "room": room}
            with Drawing(self.pattern, camera.name, camera.reader.rate, **how) as drawing:
                yield drawing.write

        return _beside("overlay", overlay, run, needed=needed)


def kinds_of(run: Running) -> dict[str, Callable[[str, Camera], Background]]:
    """What writes of a camera when somebody begins to record it, by the end of the file's name."""
    return {
        ".parquet": lambda pattern, camera: Record(pattern).sink(run, camera, needed=False),
        ".mp4": lambda pattern, camera: Draw(pattern).sink(run, camera, needed=False),
    }


@dataclass(frozen=True)
class Measure:
    """Figures for Prometheus."""

    endpoint: str

    def file(self, camera: str) -> None:
        """Writes none."""

    @contextmanager
    def opened(self, run: Running) -> Iterator[Attach]:
        """See Output."""
        with Metrics(self.endpoint, run.pipeline, run.refused):
            yield lambda camera: None


@dataclass(frozen=True)
class Listen:
    """A socket that takes prompts."""

    endpoint: str

    def file(self, camera: str) -> None:
        """Writes none."""

    @contextmanager
    def opened(self, run: Running) -> Iterator[Attach]:
        """See Output."""
        with Control(self.endpoint, run.swap, run.swap.standing, **run.guarded):
            yield lambda camera: None


@dataclass(frozen=True)
class Show:
    """The live page."""

    site: PageSite

    def file(self, camera: str) -> None:
        """Writes none."""

    @contextmanager
    def opened(self, run: Running) -> Iterator[Attach]:
        """See Output; the page takes frames when they have gone their way, so that none waits for it."""
        from xpose_stream.stream.page.app import Stream  # here, because a web server takes a while to import
        from xpose_stream.stream.page.desk import Desk
        from xpose_stream.stream.page.library import Library
        from xpose_stream.stream.page.server import Server

        desk = Desk(run.swap, run.embed, run.known, run.tracker)
        library = None
        if self.site.recordings is not None:
            library = Library(self.site.recordings, run.pipeline.cameras, kinds_of(run))
        stream, fixed = Stream(run.pipeline, desk), "address" in self.site.model_fields_set
        with Server(self.site.address, stream, library, fixed=fixed, token=self.site.token) as server:

            def attach(camera: Camera) -> None:
                camera.watchers.append(server.hub)
                if self.site.recordings:
                    left = f"{self.site.recordings}/{{camera}}-{{time}}.parquet", camera.name
                    threading.Thread(target=recover_left, args=left, daemon=True).start()

            yield attach


# By the name of the field of OutputSite that asks for it.
OUTPUTS: Mapping[str, Callable[[Any], Output]] = {
    "overlay": Draw,
    "record": _record,
    **{name: partial(Bridge, name) for name in BRIDGES},
    "publish": Publish,
    "metrics": Measure,
    "control": Listen,
    "page": Show,
}
