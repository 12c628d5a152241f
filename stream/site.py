"""A site: which cameras, prompts and outputs one process has, written as YAML. docs/streaming.md shows one."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

import pydantic
import yaml
from pydantic import BaseModel, ConfigDict, Field, PlainValidator, WrapValidator, model_validator

from engines import NANO
from stream.horizon import Horizon, horizon_of
from stream.sources import Options
from stream.sources.address import camera_name
from stream.sources.media import is_device
from stream.tune import TuningError, refuse_sigmas, tracker_settings
from trackers import TrackerConfig

_Tracker = pydantic.dataclasses.dataclass(TrackerConfig, config=ConfigDict(extra="forbid"), frozen=True)


def _given(value: Any, check: Callable[[Any], Any]) -> dict[str, Any]:
    """The settings of a tracker that were given, and no others: what they are else depends on the weights."""
    try:
        settings = tracker_settings(value) if isinstance(value, str) else value
    except TuningError as error:
        raise ValueError(str(error)) from None
    refuse_sigmas(settings)
    config = check(settings)
    return {name: getattr(config, name) for name in settings}


class SiteError(Exception):
    """A site file is missing or wrong; one sentence that names the line, the place in it and what may stand there."""


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class CameraSite(_Part):
    """One camera. size, fps, format: of a device, such as 1280x720, 30, mjpeg. realtime: play a file at its speed."""

    source: Annotated[str, Field(min_length=1)]
    name: Annotated[str, Field(pattern=r"^[^/\x00]+$")] = ""
    transport: Literal["tcp", "udp"] = "tcp"
    hwaccel: Literal["auto", "none"] = "auto"
    size: Annotated[str, Field(pattern=r"^\d+x\d+$")] | None = None
    fps: Annotated[float, Field(gt=0)] | None = None
    format: str | None = None
    realtime: bool = False

    @model_validator(mode="before")
    @classmethod
    def _name(cls, values: Any) -> Any:
        if isinstance(values, dict) and isinstance(source := values.get("source"), str):
            return {**values, "name": values.get("name") or camera_name(source)}
        return values

    @model_validator(mode="after")
    def _device(self) -> CameraSite:
        if not is_device(self.source) and (self.size or self.fps or self.format):
            raise ValueError("size, fps and format are for devices such as /dev/video0 only")
        return self

    @property
    def options(self) -> Options:
        """How to open it."""
        return Options(self.transport, self.hwaccel, self.size, self.fps, self.format)


class EngineSite(_Part):
    """Which weights run how (docs/engines.md), and how many cameras' frames at once (null: 8 on a GPU, else 1)."""

    weights: Path = NANO
    clip: Path | None = None
    backend: str = "auto"
    precision: str = "auto"
    batch: Annotated[int, Field(ge=1, le=64)] | None = None
    batch_wait_ms: Annotated[float, Field(ge=0, le=1000)] = 5.0

    def most(self, device: str, cameras: int) -> int:
        """Frames at once on a device of that type."""
        return self.batch or (1 if device == "cpu" else min(8, max(cameras, 1)))


class OutputSite(_Part):
    """Where results go. With several cameras `{camera}` in a file's name becomes the camera's.

    predict: with each track, where it will be: "now", which is when it is published, or seconds after its capture.
    """

    publish: str | None = None
    predict: Annotated[Horizon | None, PlainValidator(horizon_of)] = None
    record: str | None = None
    overlay: str | None = None
    metrics: Annotated[str, Field(pattern=r"^[^:]*:\d+$")] | None = None
    control: str | None = None


class LimitSite(_Part):
    """staleness_ms: a live frame that has waited longer is dropped."""

    staleness_ms: Annotated[float, Field(gt=0)] = 500.0


class Site(_Part):
    """Everything that one process does. tracker: a preset, a file of `tune`, or single settings of TrackerConfig."""

    cameras: Annotated[list[CameraSite], Field(min_length=1)]
    prompt: str = "person"
    engine: EngineSite = EngineSite()
    tracker: Annotated[_Tracker, WrapValidator(_given)] = {}  # type: ignore[valid-type]
    outputs: OutputSite = OutputSite()
    limits: LimitSite = LimitSite()

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
        parts: dict[str, Any] = {"camera": CameraSite, "engine": EngineSite, "outputs": OutputSite, "limits": LimitSite}
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
            raise SiteError(_told(error, None)) from None

    @classmethod
    def load(cls, path: str | Path) -> Site:
        """Read a site file. Raises SiteError."""
        try:
            text = Path(path).read_text()
            tree = yaml.compose(text)
            values = yaml.safe_load(text)
        except OSError as error:
            raise SiteError(f"cannot read {path}: {error.strerror}") from None
        except UnicodeDecodeError:
            raise SiteError(f"{path} is not a text file") from None
        except (ValueError, yaml.YAMLError) as error:  # its own text quotes the line, which may hold a password
            mark = getattr(error, "problem_mark", None)
            where = f" line {mark.line + 1}" if mark else ""
            raise SiteError(f"{path}{where} is not YAML: {getattr(error, 'problem', None) or 'damaged'}") from None
        try:
            return cls.model_validate(values)
        except pydantic.ValidationError as error:
            raise SiteError(f"{path}: {_told(error, tree)}") from None


def _told(error: pydantic.ValidationError, tree: yaml.Node | None) -> str:
    """All that is wrong, in one sentence, without any value that was given: it may hold a password."""
    return "; ".join(_one(problem, tree) for problem in error.errors(include_url=False, include_input=False))


def _one(problem: Any, tree: yaml.Node | None) -> str:
    place = "".join(f"[{key}]" if isinstance(key, int) else f".{key}" for key in problem["loc"]).lstrip(".")
    line = _line(tree, problem["loc"])
    said = problem["msg"].removeprefix("Value error, ")
    said = said[:1].lower() + said[1:]
    if problem["type"] in ("extra_forbidden", "unexpected_keyword_argument"):
        said = f"is not known; there are: {', '.join(_names(problem['loc'][:-1]))}"
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


def _names(location: tuple[str | int, ...]) -> list[str]:
    """The fields that the part at `location` has."""
    parts: dict[str, Any] = {"cameras": CameraSite, "engine": EngineSite, "outputs": OutputSite, "limits": LimitSite}
    if location and location[0] == "tracker":
        return [name for name in TrackerConfig.__dataclass_fields__ if name != "sigmas"]
    model = parts[str(location[0])] if location else Site
    return list(model.model_fields)
