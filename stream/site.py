"""A site: which cameras, prompts and outputs one process has, written as YAML. docs/streaming.md shows one."""

from __future__ import annotations

import os
import re
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal, Self, get_args

import pydantic
import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PlainValidator,
    WrapValidator,
    model_validator,
)

from xpose_stream.engines import DEFAULT
from xpose_stream.error import UserError
from xpose_stream.settings import GivenTwiceError, parse, why
from xpose_stream.stream.horizon import Horizon, horizon_of
from xpose_stream.stream.recordings.tune import TuningError, refuse_sigmas, tracker_settings
from xpose_stream.stream.sinks.messages import Format
from xpose_stream.stream.sinks.series import Rotation
from xpose_stream.stream.sinks.sink import HIGHEST_PORT, SinkError, reach
from xpose_stream.stream.sources import Options
from xpose_stream.stream.sources.address import camera_name, scheme
from xpose_stream.stream.sources.place import is_device, is_pipe
from xpose_stream.trackers import TrackerConfig

_Tracker = pydantic.dataclasses.dataclass(TrackerConfig, config=ConfigDict(extra="forbid"), frozen=True)


PAGE = "127.0.0.1:8800"
_TOLD = 5  # mistakes of a site


def _given(value: Any, check: Callable[[Any], Any]) -> dict[str, Any]:
    """The settings of a tracker that were given, and no others: what they are else depends on the weights."""
    try:
        settings = tracker_settings(value) if isinstance(value, str) else value
    except TuningError as error:
        raise ValueError(str(error)) from None
    refuse_sigmas(settings)
    config = check(settings)
    return {name: getattr(config, name) for name in settings}


def _served(endpoint: str) -> str:
    """Raises ValueError for what is no HOST:PORT."""
    whole = re.fullmatch(r"(?:\[[0-9a-fA-F:.%\w]+\]|[^:\[\]/]*):([0-9]{1,5})", endpoint)
    if not whole or int(whole[1]) > HIGHEST_PORT:
        raise ValueError("write a host and a port, such as 127.0.0.1:9464 or [::1]:9464")
    return endpoint


def _words(value: Any) -> Any:
    """What is looked for, also as a list."""
    texts = isinstance(value, list) and all(isinstance(each, str) for each in value)
    return ", ".join(value) if texts else value


def _part_of_a_name(name: str) -> str:
    if not name.strip() or any(unicodedata.category(sign) == "Cc" for sign in name):
        raise ValueError("must be a name in one line")
    if "/" in name or "\0" in name:
        raise ValueError("must not contain a slash: it becomes a part of topics and of files' names")
    return name


def _size(value: Any) -> str | None:
    if value is None:
        return None
    if not re.fullmatch(r"\d+x\d+", str(value)):
        raise ValueError("write a size like 640x480")
    return str(value)


def _input_size(value: Any) -> str | None:
    if value in (None, "auto"):
        return value
    if not re.fullmatch(r"\d{2,4}x\d{2,4}", str(value)):
        raise ValueError("write auto, or a size like 192x144")
    return str(value)


def _folder(path: Path | None) -> Path | None:
    """A folder in which files can be written, made where it is missing. Raises ValueError."""
    if path is None:
        return None
    path = path.expanduser()
    if "{" in str(path):
        raise ValueError("write the folder as it is called; {camera} and {time} are in the names of the recordings")
    try:
        if not path.is_symlink():
            path.mkdir(exist_ok=True)
        reach(path / "recording.parquet")
    except OSError as error:
        raise ValueError(f"the folder {path} cannot be used: {error.strerror}") from None
    except SinkError as error:
        raise ValueError(str(error)) from None
    return path


def _rotation(value: Any) -> Rotation | None:
    return None if value is None else Rotation.of(str(value))


class SiteError(UserError):
    """A site file is missing or wrong; one sentence that names the line, the place in it and what may stand there."""


class Part(BaseModel):
    """A part of a site; what it does not know is a mistake."""

    model_config = ConfigDict(extra="forbid", frozen=True)


def _text(value: Any) -> str:
    """A path or address as it is: pydantic refuses names of files that are not UTF-8."""
    if isinstance(value, bool) or not isinstance(value, int | str | Path) or str(value) == "":
        raise ValueError("input should be a path or an address")
    return str(value)


def _file(*endings: str) -> Any:
    def check(value: Any) -> str | None:
        if value is None:
            return None
        path = os.path.expanduser(_text(value))
        if unknown := set(re.findall(r"\{\w*\}", path)) - {"{camera}", "{time}"}:
            raise ValueError(f"{', '.join(sorted(unknown))} is not known; there are {{camera}} and {{time}}")
        if not path.lower().endswith(endings):
            raise ValueError(f"must end in {' or '.join(endings)}, which is what is written")
        return path

    return PlainValidator(check)


class CameraSite(Part):
    """One camera. size, fps, format: of a device, such as 1280x720, 30, mjpeg. realtime: play a file at its speed.

    stream: which of several videos in it, counted from 0. live: a pipe or HTTP is a camera, whose newest frame wins.
    run: how many runs it had before; their identities and epochs are not given again.
    """

    source: Annotated[str, PlainValidator(_text)]
    name: Annotated[str, AfterValidator(_part_of_a_name)] = ""
    transport: Literal["tcp", "udp"] = "tcp"
    hwaccel: Literal["auto", "none"] = "auto"
    size: Annotated[str | None, PlainValidator(_size)] = None
    fps: Annotated[float, Field(gt=0)] | None = None
    format: str | None = None
    realtime: bool = False
    stream: Annotated[int, Field(ge=0)] | None = None
    live: bool = False
    run: Annotated[int, Field(ge=0, lt=2**22)] = 0

    @model_validator(mode="before")
    @classmethod
    def _name(cls, values: Any) -> Any:
        if isinstance(values, dict) and isinstance(source := values.get("source"), str | int | Path):
            return {**values, "name": camera_name(str(source)) if (name := values.get("name")) in (None, "") else name}
        return values

    @model_validator(mode="after")
    def _device(self) -> CameraSite:
        if not is_device(self.source) and (self.size or self.fps or self.format):
            raise ValueError("size, fps and format are for devices such as /dev/video0 only")
        if self.live and not (is_pipe(self.source) or scheme(self.source) in ("http", "https")):
            raise ValueError("live is for pipes and http(s) addresses; a camera is live, a file can be given realtime")
        return self

    @property
    def options(self) -> Options:
        """How to open it."""
        return Options(self.transport, self.hwaccel, self.size, self.fps, self.format, self.stream, self.live)


class EngineSite(Part):
    """Which weights run how (docs/engines.md), and how many cameras' frames at once (null: 8 on a GPU, else 1).

    input_size: what the model sees at most, such as 192x144, or auto: the largest at which it keeps the cameras' rates.
    """

    weights: Path = DEFAULT
    clip: Path | None = None
    backend: str = "auto"
    precision: str = "auto"
    input_size: Annotated[str | None, PlainValidator(_input_size)] = None
    batch: Annotated[int, Field(ge=1, le=64)] | None = None
    batch_wait_ms: Annotated[float, Field(ge=0, le=1000)] = 5.0

    def most(self, device: str, cameras: int) -> int:
        """Frames at once on a device of that type."""
        return self.batch or (1 if device == "cpu" else min(8, max(cameras, 1)))


class PageSite(Part):
    """The live page. token: what a browser must know to see it. recordings: folder of those that it makes and shows."""

    address: Annotated[str, AfterValidator(_served)] = PAGE
    token: str | None = None
    recordings: Annotated[Path | None, AfterValidator(_folder)] = None


def _page(value: Any) -> Any:
    """An address alone, or false for no page."""
    if value is False:
        return None
    return {"address": value} if isinstance(value, str) else value


class OutputSite(Part):
    """Where results go. `{camera}` in a file's name becomes the camera's, `{time}` the time when the file begins.

    rotate: a recording or overlay goes on in another file after so long (1h) or when it has so many bytes (1GB).
    when_full: of a disk that is written to. pause: tracks go on, and what is written when there is room; stop: the
    camera ends.
    predict: with each track, where it will be: "now", which is when it is published, or seconds after its capture.
    format: of what is published. keys: a folder that says who may use publish and control, and encrypts them; open:
    they may be bound beyond this machine without, because everybody on that network may use them. record_detections:
    recordings also hold what the tracker was given, for `retrack`. mcap_profile: ros2 for ROS's messages in place of
    Foxglove's. video: the pictures too, in MCAP and for Foxglove. osc, rerun, foxglove: HOST:PORT. lsl: how many tracks
    of each category.
    """

    publish: str | None = None
    format: Format = "msgpack"
    keys: Path | None = None
    open: bool = False
    predict: Annotated[Horizon | None, PlainValidator(horizon_of)] = None
    record: Annotated[str | None, _file(".parquet", ".mcap")] = None
    record_detections: bool = False
    mcap_profile: Literal["", "ros2"] = ""
    video: bool = False
    osc: str | None = None
    lsl: Annotated[int, Field(ge=1, le=64)] | None = None
    rerun: str | None = None
    foxglove: str | None = None
    overlay: Annotated[str | None, _file(".mp4")] = None
    rotate: Annotated[Rotation | None, PlainValidator(_rotation)] = None
    when_full: Literal["pause", "stop"] = "pause"
    metrics: Annotated[str, AfterValidator(_served)] | None = None
    control: str | None = None
    page: Annotated[PageSite | None, BeforeValidator(_page)] = None

    def with_page(self) -> OutputSite:
        """The same with a page where nothing is said of it."""
        return self if "page" in self.model_fields_set else self.model_copy(update={"page": PageSite()})


class LimitSite(Part):
    """staleness_ms: a live frame that has waited longer is dropped."""

    staleness_ms: Annotated[float, Field(gt=0)] = 500.0


class Site(Part):
    """Everything that one process does. tracker: a preset, a file of `tune`, or single settings of TrackerConfig."""

    cameras: Annotated[list[CameraSite], Field(min_length=1)]
    prompt: Annotated[str, BeforeValidator(_words)] = "person"
    engine: EngineSite = EngineSite()
    tracker: Annotated[_Tracker, WrapValidator(_given)] = {}  # type: ignore[valid-type]
    outputs: OutputSite = OutputSite()
    limits: LimitSite = LimitSite()

    @model_validator(mode="before")
    @classmethod
    def _without_empty_parts(cls, values: Any) -> Any:
        """A heading under which all is commented out."""
        if not isinstance(values, dict):
            return values
        return {name: value for name, value in values.items() if value is not None}

    @model_validator(mode="after")
    def _consistent(self) -> Site:
        names = [camera.name for camera in self.cameras]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"cameras need different names, but there are several called {', '.join(twice)}")
        for kind in ("record", "overlay"):
            path = getattr(self.outputs, kind)
            if path and len(names) > 1 and "{camera}" not in path:
                raise ValueError(f"outputs.{kind} needs {{camera}} in its name: each camera has a file of its own")
        return self

    @classmethod
    def of(cls, source: str, **settings: Any) -> Site:
        """A site of one camera. `settings` are fields of any part; None means the default. Raises SiteError."""
        parts: dict[str, Any] = {"outputs": OutputSite, "camera": CameraSite, "engine": EngineSite, "limits": LimitSite}
        values: dict[str, dict[str, Any]] = {part: {} for part in parts}
        values["camera"]["source"] = source
        rest: dict[str, Any] = {}
        for name, value in settings.items():
            if value is not None:
                part = next((part for part, model in parts.items() if name in model.model_fields), None)
                (values[part] if part else rest)[name] = value
        try:
            return cls(cameras=[values.pop("camera")], **values, **rest)  # type: ignore[arg-type,list-item]
        except pydantic.ValidationError as error:
            raise SiteError(_told(error, None, cls)) from None

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a site file. Raises SiteError."""
        try:
            text = Path(path).read_text()
            values = parse(text)
            tree = yaml.compose(text)
        except OSError as error:
            raise SiteError(f"cannot read {path}: {error.strerror}") from None
        except UnicodeDecodeError:
            raise SiteError(f"{path} is not a text file") from None
        except GivenTwiceError as error:
            raise SiteError(f"{path} {why(error)}; leave one of them out") from None
        except yaml.YAMLError as error:
            raise SiteError(f"{path} is not YAML: {why(error)}") from None
        try:
            return cls.model_validate(values)
        except pydantic.ValidationError as error:
            raise SiteError(f"{path}: {_told(error, tree, cls)}") from None


def _told(error: pydantic.ValidationError, tree: yaml.Node | None, site: type[Part]) -> str:
    """What is wrong, in one sentence, without any value that was given: it may hold a password."""
    problems = [_one(problem, tree, site) for problem in error.errors(include_url=False, include_input=False)]
    more = [f"and {len(problems) - _TOLD} mistakes more"] if len(problems) > _TOLD else []
    return "; ".join(problems[:_TOLD] + more)


def _one(problem: Any, tree: yaml.Node | None, site: type[Part]) -> str:
    place = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in problem["loc"]).lstrip(".")
    line = _line(tree, problem["loc"])
    said = problem["msg"].removeprefix("Value error, ")
    said = said[:1].lower() + said[1:]
    if problem["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        said = f"is not known; there are: {', '.join(_names(site, problem['loc'][:-1]))}"
    elif problem["type"] == "string_type":
        said = "must be text; put it in quotes"
    elif problem["type"] == "list_type":
        said = "must be a list: write - before each"
    elif problem["type"] == "path_type":
        said = "must be a path"
    elif problem["type"] == "model_type":
        said = f"must be a mapping with {_names(site, problem['loc'])[0]} and so on"
    where = " ".join(part for part in (f"line {line}," if line else "", f"{place}:" if place else "") if part)
    return f"{where} {said}".strip()


def _line(node: yaml.Node | None, location: tuple[str | int, ...]) -> int | None:
    """The line, from 1, in which the thing at `location` stands, or the innermost one around it that does."""
    line = None
    for key in location:
        found = None
        if isinstance(node, yaml.MappingNode):
            found = next(((name, value) for name, value in node.value if name.value == key), None)
        elif isinstance(node, yaml.SequenceNode) and isinstance(key, int) and key < len(node.value):
            found = (node.value[key], node.value[key])
        if found is None:
            break
        line, node = found[0].start_mark.line + 1, found[1]
    return line


def _names(part: type[BaseModel], location: tuple[str | int, ...]) -> list[str]:
    """The fields that the part at `location` has."""
    if location[:1] == ("tracker",):
        return [name for name in TrackerConfig.__dataclass_fields__ if name != "sigmas"]
    for key in location:
        if isinstance(key, str):
            kind = part.model_fields[key].annotation
            part = next(one for one in (kind, *get_args(kind)) if isinstance(one, type) and issubclass(one, BaseModel))
    return list(part.model_fields)
