"""A site of many machines: a site's file with what `fleet` says of them, and the shards that it is cut into."""

from __future__ import annotations

import socket
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, PrivateAttr, model_validator

from xpose_stream.settings import parse
from xpose_stream.stream.fleet.plan import Need, Room
from xpose_stream.stream.sinks.publisher import is_local
from xpose_stream.stream.site import CameraSite, Part, Site

_OWN = ("publish", "metrics", "control", "foxglove", "osc", "rerun", "lsl")  # a shard's, or of one process
_PORTS = 4  # of each shard: publish, metrics, control, page
_RATE = 30.0  # frames/s of a camera of which nothing is said


class FleetCamera(CameraSite):
    """rate: frames/s that it sends (30). network: only machines that are in it reach the camera; "": all do."""

    rate: Annotated[float, Field(gt=0)] | None = None
    network: str = ""


class MachineSite(Part):
    """One machine. shards: processes on it, else one for each of its `gpus`, or one.

    rate: frames/s that one shard works on, as `engine bench` tells; memory_mb: for the cameras of one shard, what its
    model leaves of its GPU (or share of the memory). address: where others reach it. ports: the first of four for
    each shard.
    """

    name: Annotated[str, Field(pattern=r"^[A-Za-z0-9_-]+$")]
    address: str = "127.0.0.1"
    networks: tuple[str, ...] = ()
    gpus: Annotated[int, Field(ge=0)] = 0
    shards: Annotated[int, Field(ge=1)] | None = None
    rate: Annotated[float, Field(gt=0)] = float("inf")
    memory_mb: Annotated[float, Field(gt=0)] = float("inf")
    ports: Annotated[int, Field(ge=1, lt=65536)] = 5600

    @property
    def here(self) -> bool:
        """Whether its address is one of this machine."""
        try:
            with socket.create_server((self.address, 0)):
                return True
        except OSError:
            return False

    @property
    def count(self) -> int:
        """Of its shards."""
        return self.shards or max(self.gpus, 1)

    @model_validator(mode="after")
    def _has_ports(self) -> MachineSite:
        if self.ports + _PORTS * self.count > 65536:
            raise ValueError(f"ports: {self.count} shards need {_PORTS * self.count} ports from {self.ports} on")
        return self


class FleetPart(Part):
    """directory: where it is told who serves which camera. memory_mb: what one camera takes.

    key: NAME.key_secret, allowed in outputs.keys, by which shards are asked for another prompt; without it they are
    restarted for one where they have keys. spare: for each shard a process waits that has imported all that it needs.
    """

    machines: Annotated[tuple[MachineSite, ...], Field(min_length=1)] = (MachineSite(name="here"),)
    directory: str = "tcp://127.0.0.1:5550"
    memory_mb: Annotated[float, Field(ge=0)] = 100.0
    key: Path | None = None
    spare: bool = True

    @model_validator(mode="after")
    def _consistent(self) -> FleetPart:
        names = [machine.name for machine in self.machines]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"machines need different names, but there are several called {', '.join(twice)}")
        taken: dict[tuple[str, int], str] = {}
        for machine in self.machines:
            for port in range(machine.ports, machine.ports + _PORTS * machine.count):
                other = taken.setdefault((machine.address, port), machine.name)
                if other != machine.name:
                    raise ValueError(f"{other} and {machine.name} have one address and both port {port}; set `ports`")
        return self


class FleetSite(Site):
    """A site with a part `fleet`."""

    cameras: Annotated[list[FleetCamera], Field(min_length=1)]  # type: ignore[assignment]
    fleet: FleetPart = FleetPart()
    _values: dict[str, Any] = PrivateAttr({})

    @model_validator(mode="after")
    def _shared(self) -> FleetSite:
        for name in _OWN:
            if getattr(self.outputs, name):
                raise ValueError(f"outputs.{name} is of one process, and a fleet has several: leave it out")
        for kind in ("record", "overlay"):
            path = getattr(self.outputs, kind)
            if path and "{camera}" not in path:
                raise ValueError(f"outputs.{kind} needs {{camera}} in its name: each camera has a file of its own")
        if (page := self.outputs.page) and not page.token:
            hosts = [
                page.address.rpartition(":")[0] or "0.0.0.0",
                *(machine.address for machine in self.fleet.machines),
            ]
            if far := [host for host in hosts if not is_local(f"tcp://{host}:1")]:
                raise ValueError(
                    f"outputs.page needs a token, as others reach {far[0]}: page: {{address: …, token: …}}"
                )
        return self

    @classmethod
    def load(cls, path: str | Path) -> FleetSite:
        """See Site."""
        site = super().load(path)
        values = {key: value for key, value in parse(Path(path).read_text()).items() if value is not None}
        site._values = values | ({"prompt": site.prompt} if "prompt" in values else {})
        return site

    @property
    def needs(self) -> list[Need]:
        """What its cameras ask for."""
        return [
            Need(camera.name, camera.rate or camera.fps or _RATE, self.fleet.memory_mb, camera.network)
            for camera in self.cameras
        ]

    def rooms(self, there: set[str] | None = None) -> list[Room]:
        """The shards that there can be, on those machines that are there; None: all."""
        machines = [machine for machine in self.fleet.machines if there is None or machine.name in there]
        return [
            Room(f"{machine.name}.{number}", machine.name, machine.rate, machine.memory_mb, frozenset(machine.networks))
            for machine in machines
            for number in range(machine.count)
        ]

    def shards(self, placed: Mapping[str, str]) -> dict[str, Shard]:
        """The shards that have cameras, by name."""
        return {
            f"{machine.name}.{number}": shard
            for machine in self.fleet.machines
            for number in range(machine.count)
            if (shard := self._shard(machine, number, placed)).cameras
        }

    def _shard(self, machine: MachineSite, number: int, placed: Mapping[str, str]) -> Shard:
        name, port = f"{machine.name}.{number}", machine.ports + _PORTS * number
        given = zip(self.cameras, self._values["cameras"], strict=True)
        cameras = {
            camera.name: {key: told[key] for key in told if key not in ("rate", "network")} | {"name": camera.name}
            for camera, told in given
            if placed.get(camera.name) == name
        }
        outputs = {**self._values.get("outputs", {}), "page": False}
        if page := self.outputs.page:
            told = page.model_dump(mode="json", include={"token", "recordings"}, exclude_none=True)
            outputs["page"] = told | {"address": f"{machine.address}:{port + 3}"}
        outputs |= {"publish": f"tcp://{machine.address}:{port}", "metrics": f"{machine.address}:{port + 1}"}
        outputs["control"] = f"tcp://127.0.0.1:{port + 2}"
        rest = {key: value for key, value in self._values.items() if key not in ("cameras", "fleet", "outputs")}
        gpu = number % machine.gpus if machine.gpus else None
        alone, rest = 0 < machine.count <= machine.gpus, {**rest, "outputs": outputs}
        return Shard(name, machine.name, cameras, rest, gpu, alone, machine.count, self.fleet.key, self.fleet.spare)


@dataclass(frozen=True)
class Shard:
    """What one process does: the cameras, by name, and the rest of its site's file, as plain values.

    gpu: which of its machine; alone: no other shard has that. beside: how many shards the machine has. key, spare: see
    FleetPart. floors: by camera, the least number that its next run may have. version: grows with every change that is
    asked of the shard.
    """

    name: str
    machine: str
    cameras: Mapping[str, Mapping[str, Any]]
    rest: Mapping[str, Any]
    gpu: int | None = None
    alone: bool = False
    beside: int = 1
    key: Path | None = None
    spare: bool = True
    floors: Mapping[str, int] = field(default_factory=dict)
    version: int = 0

    def site(self, runs: Mapping[str, int]) -> dict[str, Any]:
        """The site's file, with those cameras that have the number of a run."""
        cameras = [{**told, "run": runs[name]} for name, told in self.cameras.items() if name in runs]
        return {"cameras": cameras, **self.rest}

    def same_but_cameras(self, other: Shard) -> bool:
        """Whether a running process need not be told more than its cameras."""
        return self.rest == other.rest and self.gpu == other.gpu

    def same_but_prompt(self, other: Shard) -> bool:
        """Whether a running process need not be told more than its cameras and its prompt."""
        return self._without_prompt == other._without_prompt and self.gpu == other.gpu

    @property
    def _without_prompt(self) -> dict[str, Any]:
        return {key: value for key, value in self.rest.items() if key != "prompt"}

    @property
    def prompt(self) -> str:
        """What it looks for."""
        return str(self.rest.get("prompt", "person"))
