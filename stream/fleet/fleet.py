"""Keeps a site on its machines: places cameras, follows changes, and gives what a dead machine had to others."""

from __future__ import annotations

import json
import logging
import os
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

from xpose_stream.error import UserError
from xpose_stream.stream.fleet.backend import Backend
from xpose_stream.stream.fleet.plan import Plan, plan
from xpose_stream.stream.fleet.site import FleetSite, Shard
from xpose_stream.stream.fleet.status import ShardStatus
from xpose_stream.stream.sinks.directory import Entry

_PATIENCE = 300.0  # s for a shard to work with what is new to it: it may have to build an engine
_SOON = 30.0  # s for shards to go over to other cameras; one that takes longer is not waited for
_UNSEEN = 1000  # runs that a camera may have had on a machine that is gone since that was last heard of

log = logging.getLogger(__name__)


class FleetError(UserError):
    """A fleet cannot do what it is asked; the message is one sentence."""


class FleetStatus(msgspec.Struct, frozen=True):
    """All of it: shards, machines and whether they are there, cameras that wait and why, what is being changed.

    applied: how many changes have been brought to an end; said: what came of the latest; failed: it was taken back.
    """

    shards: list[ShardStatus]
    machines: dict[str, bool]
    waiting: dict[str, str]
    rolling: str = ""
    applied: int = 0
    said: str = ""
    failed: bool = False


class Fleet:
    """The shards of `site` on `backend`; where cameras are is kept in `folder`, for the next one that has it.

    Everything is done in `tend`, which is to be called again and again and waits for nothing. In the folder is also
    where Prometheus finds the shards.
    """

    def __init__(
        self, site: FleetSite, backend: Backend, folder: Path, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self.site = site
        self._backend, self._file, self._clock = backend, folder / "fleet.json", clock
        kept = _read(self._file)
        self._plan = Plan(kept.get("placed", {}))
        self._runs: dict[str, int] = kept.get("runs", {})
        self._there: set[str] | None = None
        self._shards: dict[str, Shard] = {}
        self._rest: dict[str, Mapping[str, Any]] = {}  # what each shard shall do, but for its cameras
        self._version = 0
        self._rolling: Iterator[str] | None = None
        self._step = self._said = ""
        self._asked = self._applied = 0
        self._failed = False
        self._status: dict[str, ShardStatus] = {}

    def tend(self) -> None:
        """Look at what is there and do what follows."""
        self._status = self._backend.status()
        self._note_runs()
        there = self._backend.machines({machine.name for machine in self.site.fleet.machines})
        if there != self._there:
            if self._there is not None:
                for name in sorted(self._there - there):
                    log.error("the machine %s is gone", name)
            self._there = there
            self._place()
        if self._rolling:
            self._step = next(self._rolling, "")
            if not self._step:
                self._rolling = None
                self._applied += 1

    def apply(self, site: FleetSite) -> int:
        """Go over to another site, a shard at a time, or back when one fails with it; the number of this change.

        Raises FleetError while another one is under way.
        """
        if self._rolling:
            raise FleetError("another change is under way; wait until it is done (fleet status)")
        self._rolling, self._step = self._roll(self.site, site), "begins"
        self._asked += 1
        return self._asked

    @property
    def status(self) -> FleetStatus:
        """As `tend` last saw it."""
        return FleetStatus(
            [self._status[name] for name in sorted(self._status) if self._status[name].state != "stopped"],
            {machine.name: machine.name in (self._there or ()) for machine in self.site.fleet.machines},
            dict(self._plan.waiting),
            self._step if self._rolling else "",
            self._applied,
            self._said,
            self._failed,
        )

    def shard(self, name: str) -> Shard:
        """What a shard was told last."""
        return self._shards[name]

    def entries(self, key: str = "") -> list[Entry]:
        """What the directory is to tell; `key` is the streams' public one."""
        entries = [Entry(camera, "waiting", why=why) for camera, why in self._plan.waiting.items()]
        for camera, name in self._plan.placed.items():
            shard, seen = self._shards.get(name), self._status.get(name)
            if shard:
                had = seen.cameras.get(camera) if seen else None
                serving = bool(seen and had and seen.state == "running")
                run = had.run if had else self._runs.get(camera, 0)
                outputs = shard.rest["outputs"]
                page = f"http://{outputs['page']['address']}/" if outputs["page"] else ""
                state: Any = "serving" if serving else "starting"
                entries.append(Entry(camera, state, outputs["publish"], key, run, name, shard.machine, page=page))
        return entries

    def _place(self) -> None:
        """Plan anew for the machines that are there, and have shards follow."""
        before = dict(self._plan.placed)
        self._plan = plan(self.site.needs, self.site.rooms(self._there), before)
        for camera, why in self._plan.waiting.items():
            log.error("%s waits: %s", camera, why)
        wanted = self.site.shards(self._plan.placed)
        for name in {*self._shards, *self._status} - wanted.keys():
            self._rest.pop(name, None)
            self._shards.pop(name, None)
            self._backend.stop(name)
        for name, shard in wanted.items():
            rest = self._rest.setdefault(name, shard.rest)
            floors = {camera: self._floor(camera, before.get(camera), name) for camera in shard.cameras}
            self._start(replace(shard, rest=rest, floors=floors))
        self._keep()

    def _floor(self, camera: str, before: str | None, now: str) -> int:
        gone = before not in (None, now) and str(before).rpartition(".")[0] not in (self._there or ())
        return self._runs.get(camera, 0) + (_UNSEEN if gone else 1)

    def _start(self, shard: Shard) -> None:
        """Have a shard run as it is described, if it does not."""
        had = self._shards.get(shard.name)
        if had and had == replace(shard, floors=had.floors, version=had.version):
            return
        self._version += 1
        self._shards[shard.name] = replace(shard, version=self._version)
        self._backend.start(self._shards[shard.name])

    def _roll(self, before: FleetSite, site: FleetSite) -> Iterator[str]:
        """Yields what it is at until it is done: first the cameras, which nobody else notices, then shard by shard."""
        old = dict(self._rest)
        up = {camera for one in self._status.values() for camera, seen in one.cameras.items() if seen.up}
        placed = dict(self._plan.placed)
        self.site = site
        self._place()
        end = self._clock() + _SOON
        while any(self._lags(name) for name in self._shards) and self._clock() < end:
            yield "cameras"
        new = {name: shard.rest for name, shard in site.shards(self._plan.placed).items()}
        todo = [name for name in self._shards if self._rest[name] != new[name]]
        for number, name in enumerate(todo):
            self._rest[name] = new[name]
            self._start(replace(self._shards[name], rest=new[name]))
            wanted = {camera for camera in self._shards[name].cameras if camera in up}
            for trouble in self._until_well(name, wanted):
                if trouble:
                    self._rest = {name: old.get(name, rest) for name, rest in self._rest.items()}
                    self.site = before
                    self._place()
                    self._failed = True
                    self._said = f"{name} failed with it, and all is as before: {trouble}"
                    log.error("%s", self._said)
                    return
                yield f"{name}, {number + 1} of {len(todo)} shards"
        self._failed = False
        now = self._plan.placed
        counts = {"added": now.keys() - placed, "removed": placed.keys() - now, "moved": self._plan.moved(placed)}
        told = ", ".join(f"{len(cameras)} {what}" for what, cameras in counts.items())
        self._said = f"cameras: {told}, {len(self._plan.waiting)} wait; shards with other settings: {len(todo)}"

    def _lags(self, name: str) -> bool:
        """Whether a shard has not done yet what it was told last."""
        seen = self._status.get(name)
        return seen is None or seen.version < self._shards[name].version

    def _until_well(self, name: str, wanted: set[str]) -> Iterator[str]:
        """Yields "" until the shard does what it was told last with these cameras, or yields what is wrong."""
        version, end = self._shards[name].version, self._clock() + _PATIENCE
        while name in self._shards:
            seen = self._status.get(name)
            if seen and seen.refused == version:
                yield seen.error
            if seen and seen.version == version and seen.state == "failed":
                yield seen.error
            up = {camera for camera, told in seen.cameras.items() if told.up} if seen else set()
            if seen and seen.version == version and seen.state == "running" and wanted <= up:
                return
            if self._clock() > end:
                yield f"it was not ready, with {', '.join(sorted(wanted - up)) or 'its cameras'}, in {_PATIENCE:.0f} s"
            yield ""

    def _note_runs(self) -> None:
        seen = {camera: told.run for one in self._status.values() for camera, told in one.cameras.items()}
        newer = {camera: run for camera, run in seen.items() if run > self._runs.get(camera, 0)}
        if newer:
            self._runs |= newer
            self._keep()

    def _keep(self) -> None:
        _write(self._file, {"placed": dict(self._plan.placed), "runs": self._runs})
        told = [
            {"targets": [shard.rest["outputs"]["metrics"]], "labels": {"shard": shard.name, "machine": shard.machine}}
            for shard in self._shards.values()
        ]
        _write(self._file.with_name("prometheus.json"), told)


def _write(path: Path, told: object) -> None:
    new = path.with_suffix(".new")
    new.write_text(json.dumps(told))
    os.replace(new, path)


def placed_in(folder: Path) -> dict[str, str]:
    """By camera, the shard that the fleet of this folder has put it on."""
    placed: dict[str, str] = _read(folder / "fleet.json").get("placed", {})
    return placed


def _read(path: Path) -> dict[str, Any]:
    """What was kept; nothing when there is none or it is damaged: then cameras are placed anew."""
    try:
        kept: dict[str, Any] = json.loads(path.read_text())
        return kept
    except (OSError, ValueError):
        return {}
