"""Keeps one shard: starts its process, follows changes, starts it anew when it has died, stops it in order."""

from __future__ import annotations

import logging
import signal
import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from xpose_stream.error import UserError
from xpose_stream.stream.control import ask
from xpose_stream.stream.fleet.leases import Leases
from xpose_stream.stream.fleet.process import Process
from xpose_stream.stream.fleet.site import Shard
from xpose_stream.stream.fleet.status import CameraStatus, ShardStatus, Sight, State

_STEP, _LOOK = 0.1, 1.0  # s between two steps, and between two looks at the process
_FAREWELL = 20.0  # s in which a process that was asked to stop does; then it is killed
_DEAF = 30.0  # s without an answer after which a process that has answered is ended
_BEGINNING = 300.0  # s for a process to answer for the first time: it may have to build an engine
_STEADY = 60.0  # s without a death after which a shard is trusted again
_SETTLED = 5.0  # s at work after which another process is made ready to take over
_PAUSES = (0.0, 1.0, 2.0, 5.0, 10.0, 30.0)  # s before it is started again, by deaths in a row

log = logging.getLogger(__name__)


@dataclass
class _Times:
    """s on time.monotonic()."""

    begun: float = 0.0
    answered: float = 0.0
    ready: float = 0.0
    looked: float = 0.0
    next: float = 0.0
    stopping: float | None = None


class Keeper:
    """Keeps the shard called `name` in a folder, in a thread of its own; the folder has the leases of all shards.

    A process that is there already, since whoever kept it has died, is kept on. bound: the process does not outlive
    this one.
    """

    def __init__(self, folder: Path, name: str, *, bound: bool = False) -> None:
        self.name = name
        self._process = Process(folder / "shards" / name, bound)
        self._leases = Leases(folder / "leases")
        self._asked = False  # until then, what runs is left as it is
        self._wanted: Shard | None = None
        self._current: Shard | None = None  # what the process was told
        self._sight: Sight | None = None
        self._told: list[str] = []  # the cameras that it has
        self._refused, self._error = 0, ""
        self._state: State = "stopped"
        self._deaths = self._restarts = 0
        self._times = _Times()
        self._over, self._wake, self._quiet = threading.Event(), threading.Event(), threading.Event()
        self._thread = threading.Thread(target=self._run, name=f"keeper of {name}", daemon=True)
        self._thread.start()

    def start(self, shard: Shard) -> None:
        """Run this, or go over to it."""
        self._quiet.clear()
        self._deaths, self._times.next = 0, 0.0
        self._wanted, self._asked = shard, True
        self._wake.set()

    def stop(self, patience: float | None = None) -> None:
        """Stop in order; waits for that if there is patience (s)."""
        self._wanted, self._asked = None, True
        self._quiet.clear()
        self._wake.set()
        if patience is not None:
            self._quiet.wait(patience)

    def close(self) -> None:
        """Keep it no longer; the process goes on."""
        self._over.set()
        self._wake.set()
        self._thread.join()
        self._process.relax()

    @property
    def status(self) -> ShardStatus:
        """How it is; returns at once."""
        shard, sight = self._current or self._wanted, self._sight
        seen: Mapping[str, CameraStatus] = sight.cameras if sight else {}
        runs = {camera: self._leases.run(camera, self._process.life) for camera in self._told}
        cameras = {name: seen.get(name) or CameraStatus(run) for name, run in runs.items() if run is not None}
        return ShardStatus(
            shard=self.name,
            machine=shard.machine if shard else "",
            state=self._state,
            version=self._current.version if self._current else 0,
            refused=self._refused,
            cameras=cameras,
            endpoint=str(shard.rest["outputs"]["publish"]) if shard else "",
            pid=self._process.life.pid,
            restarts=self._restarts,
            p95_ms=sight.p95_ms if sight else None,
            error=self._error,
        )

    def _run(self) -> None:
        while not self._over.is_set():
            try:
                if self._asked:
                    self._step()
            except Exception as error:  # whatever it is, the shard is kept
                log.exception("%s: %s", self.name, error)
            self._wake.wait(_STEP)
            self._wake.clear()

    def _step(self) -> None:
        wanted, alive, now = self._wanted, self._process.alive, time.monotonic()
        if alive:
            self._look(now)
        elif self._state not in ("stopped", "failed", "waiting"):
            self._bury(now, asked=wanted is None or self._times.stopping is not None)
        if wanted is None:
            self._end(alive, now)
        elif not alive and now >= self._times.next:
            self._launch(wanted, now)
        elif alive and self._current is None:
            self._adopt(wanted)
        elif alive and self._sight and self._sight.ready and self._times.stopping is None:
            self._follow(wanted)
            if wanted.spare and now - self._times.ready > _SETTLED:
                self._process.prepare(wanted.gpu, wanted.beside)
        elif alive and (self._times.stopping or (self._current and not wanted.same_but_prompt(self._current))):
            self._ask_to_stop(now)  # it need not be waited for to begin with what is not wanted

    def _launch(self, wanted: Shard, now: float) -> None:
        with self._process.life.taken() as descriptor:
            if descriptor is None:
                return
            taken = {camera: self._take(camera, wanted) for camera in wanted.cameras}
            runs = {camera: run for camera, run in taken.items() if run is not None}
            self._current, self._told = wanted, list(runs)
            self._times = _Times(begun=now)
            self._sight = None
            if not runs:
                self._state, self._times.next = "waiting", now + _STEP
                return
            self._process.tell(wanted.site(runs))
            self._process.start(descriptor, wanted.gpu, wanted.beside)
        self._state, self._sight = "starting", Sight(str(wanted.rest["outputs"]["metrics"]))

    def _adopt(self, wanted: Shard) -> None:
        """Keep on what runs; what it was told is in its file, and what is wanted comes next."""
        told = self._process.site or {}
        had = {camera["name"]: camera for camera in told.pop("cameras", [])}
        cameras = {name: {key: camera[key] for key in camera if key != "run"} for name, camera in had.items()}
        self._told = list(cameras)
        self._current = Shard(self.name, wanted.machine, cameras, told or wanted.rest, wanted.gpu)
        self._sight = Sight(str(self._current.rest["outputs"]["metrics"]))
        self._state, self._times = "starting", _Times(begun=time.monotonic())

    def _look(self, now: float) -> None:
        times = self._times
        if self._sight and now - times.looked >= (_LOOK if self._sight.ready else 3 * _STEP):
            times.looked = now
            if self._sight.look():
                times.answered = time.monotonic()
            if self._sight.ready and self._state == "starting":
                self._state, self._error = "running", ""
                times.ready = now
            since = now - (times.answered or times.begun)
            if since > (_DEAF if times.answered else _BEGINNING) and times.stopping is None:
                log.error("%s has not answered for %.0f s and is started anew", self.name, since)
                self._ask_to_stop(now)
            self._process.shorten_log()
        if times.stopping is not None and now - times.stopping > _FAREWELL:
            log.error("%s did not stop and is killed", self.name)
            self._process.signal(signal.SIGKILL)
            times.stopping = now

    def _bury(self, now: float, asked: bool) -> None:
        """What is to be done when its process has ended."""
        if now - self._times.begun > _STEADY:
            self._deaths = 0
        if not asked:
            self._error = self._process.last_words
            self._times.next = now + _PAUSES[min(self._deaths, len(_PAUSES) - 1)]
            log.warning("%s: %s", self.name, self._error)
            self._deaths += 1
            self._restarts += 1
        self._state = "stopped" if asked else "failed"
        self._sight, self._times.stopping = None, None

    def _end(self, alive: bool, now: float) -> None:
        self._process.relax()
        if alive:
            self._ask_to_stop(now)
        else:
            for camera in self._told:
                self._leases.release(camera, self._process.life)
            self._told, self._current, self._state = [], None, "stopped"
            self._quiet.set()

    def _ask_to_stop(self, now: float) -> None:
        if self._times.stopping is None:
            self._times.stopping, self._state = now, "stopping"
            self._process.signal(signal.SIGTERM)

    def _follow(self, wanted: Shard) -> None:
        """Bring a process that works to what is wanted, without a pause where that can be."""
        current = self._current
        assert current
        if wanted.version == self._refused or (wanted is current and len(self._told) == len(wanted.cameras)):
            return
        if not wanted.same_but_cameras(current):
            guarded = bool(wanted.rest["outputs"].get("keys")) and not wanted.key
            if not wanted.same_but_prompt(current) or guarded:
                return self._ask_to_stop(time.monotonic())
            try:
                ask(str(current.rest["outputs"]["control"]), wanted.prompt, key=wanted.key)
            except UserError as error:
                self._refused, self._error = wanted.version, str(error)
                return
        runs: dict[str, int] = {}
        for camera, told in wanted.cameras.items():
            same = camera in self._told and told == current.cameras.get(camera)
            run = self._leases.run(camera, self._process.life) if same else self._take(camera, wanted)
            if run is not None:
                runs[camera] = run
        gone = [camera for camera in self._told if camera not in wanted.cameras]
        if wanted.cameras != current.cameras or list(runs) != self._told or wanted.rest != current.rest:
            self._process.tell(wanted.site(runs))
            self._process.signal(signal.SIGHUP)
            self._await(set(runs))
        for camera in gone:
            self._leases.release(camera, self._process.life)
        self._current, self._told = wanted, list(runs)

    def _await(self, cameras: set[str]) -> None:
        """Wait until the process has just these."""
        end = time.monotonic() + _FAREWELL
        while self._sight and time.monotonic() < end and self._process.alive:
            if self._sight.look() and set(self._sight.cameras) == cameras:
                return
            self._over.wait(_STEP)
        log.error("%s has not gone over to its new cameras within %.0f s", self.name, _FAREWELL)

    def _take(self, camera: str, wanted: Shard) -> int | None:
        return self._leases.take(camera, self._process.life, wanted.floors.get(camera, 0))
