"""Shards on the machines of a Ray cluster: an actor for each keeps its process. Frames never pass through Ray."""

from __future__ import annotations

import contextlib
import ipaddress
import logging
import os
import pickle
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec

from xpose_stream.error import UserError
from xpose_stream.stream.fleet.keeper import Keeper
from xpose_stream.stream.fleet.process import package_root
from xpose_stream.stream.fleet.site import Shard
from xpose_stream.stream.fleet.status import ShardStatus

_NAMESPACE = "xpose-fleet"
_LABEL = "xpose-machine"  # of a node: ray start --labels xpose-machine=NAME; else its address says which it is
_STEP = 0.3  # s between two looks
_LATE = 5.0  # s without an answer after which a shard is told as unreachable
_REACH = 5.0  # s for a cluster to let itself be reached
_FAREWELL = 30.0  # s for a shard to stop

log = logging.getLogger(__name__)


class RayError(UserError):
    """The cluster cannot be used; the message is one sentence."""


class Kept:
    """The actor: a Keeper on the machine where it runs. Restarted by Ray, it goes on with what it was told last."""

    def __init__(self, shard: Shard, folder: str) -> None:
        import ray

        self._file = Path(folder) / "shards" / shard.name / "wanted"
        self._keeper = Keeper(Path(folder), shard.name, bound=True)
        if ray.get_runtime_context().was_current_actor_reconstructed:
            with contextlib.suppress(OSError, pickle.UnpicklingError, EOFError):
                shard = pickle.loads(self._file.read_bytes())
        self.start(shard)

    def start(self, shard: Shard) -> None:
        """See Keeper."""
        new = self._file.with_suffix(".new")
        with open(os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file:
            pickle.dump(shard, file)
        new.replace(self._file)
        self._keeper.start(shard)

    def stop(self, patience: float) -> None:
        """See Keeper."""
        self._keeper.stop(patience)

    def status(self) -> tuple[ShardStatus, int]:
        """And the number of this actor's process."""
        return self._keeper.status, os.getpid()


class RayActors:
    """Named, detached actors, each bound to one machine; they go on when this process, or Ray's head, is gone.

    `folder` is that of each machine. All of Ray is done in a thread, so that nobody waits for a cluster that hangs.
    """

    def __init__(self, address: str, folder: Path) -> None:
        try:
            import ray
        except ImportError:
            raise RayError("--ray needs the package ray: pip install 'xpose-stream[fleet]'") from None
        self._ray, self._folder = ray, folder
        host, _, port = address.rpartition(":")
        try:
            if host and port.isdecimal():  # Ray itself goes on for minutes where nobody is
                socket.create_connection((host.strip("[]"), int(port)), _REACH).close()
            ray.init(address=address, namespace=_NAMESPACE, log_to_driver=False, logging_level=logging.ERROR)
        except (OSError, ValueError, RuntimeError) as error:
            raise RayError(f"no Ray cluster answers at {address}: {str(error).splitlines()[0]}") from None
        self._wanted: dict[str, Shard] = {}
        self._told: dict[str, Shard] = {}
        self._actors: dict[str, Any] = {}
        self._asked: dict[str, tuple[Any, float]] = {}
        self._status: dict[str, ShardStatus] = {}
        self._leaving: set[str] = set()
        self._nodes: dict[str, str] = {}
        self._lock, self._over = threading.Lock(), threading.Event()
        self._look()
        self._refuse_open()
        for one in ray.util.list_named_actors():
            with contextlib.suppress(ValueError):
                self._actors[one] = ray.get_actor(one)
        self._collect(_LATE)
        self._thread = threading.Thread(target=self._run, name="ray", daemon=True)
        self._thread.start()

    def machines(self, named: set[str]) -> set[str]:
        """See Backend."""
        return named & self._nodes.keys()

    def start(self, shard: Shard) -> None:
        """See Backend."""
        with self._lock:
            self._wanted[shard.name] = shard
            self._leaving.discard(shard.name)

    def stop(self, name: str) -> None:
        """See Backend."""
        with self._lock:
            self._wanted.pop(name, None)
            self._leaving.add(name)

    def status(self) -> dict[str, ShardStatus]:
        """See Backend."""
        return dict(self._status)

    def close(self, stop: bool) -> None:
        """See Backend."""
        if stop:
            self._stop_all()
        self._over.set()
        self._thread.join(_FAREWELL)
        self._ray.shutdown()

    def _stop_all(self) -> None:
        """Actors are told directly, which needs no head; to end those takes one, which is not waited for long."""
        told = [actor.stop.remote(_FAREWELL) for actor in list(self._actors.values())]
        if told:
            self._ray.wait(told, num_returns=len(told), timeout=_FAREWELL)
        for name in list(self._actors):
            self.stop(name)
        end = time.monotonic() + _REACH
        while self._actors and time.monotonic() < end:
            time.sleep(_STEP)

    def _run(self) -> None:
        leaving: dict[str, Any] = {}
        while not self._over.wait(_STEP):
            try:
                self._look()
                self._collect(_STEP)
                self._follow()
                self._let_go(leaving)
            except Exception as error:  # the head may be away; shards go on, and so does this
                log.warning("Ray: %s", str(error).splitlines()[0] if str(error) else type(error).__name__)

    def _look(self) -> None:
        """Which machines are there: by the label of a node, else by its address."""
        living = [node for node in self._ray.nodes() if node["Alive"]]
        self._nodes = {_machine(node): node["NodeID"] for node in living}
        self._addresses = {node["NodeManagerAddress"] for node in living}

    def _refuse_open(self) -> None:
        """A Ray cluster that others reach runs the code of whoever reaches it."""
        far = sorted(one for one in self._addresses if not ipaddress.ip_address(one).is_loopback)
        if far and os.environ.get("RAY_AUTH_MODE") != "token":
            raise RayError(
                f"everybody who reaches {far[0]} can run programs on this Ray cluster: start it, and this, with "
                "RAY_AUTH_MODE=token (docs/fleet.md)"
            )

    def _collect(self, patience: float) -> None:
        """Ask all actors how their shards are, and take the answers that come."""
        now = time.monotonic()
        for name, actor in self._actors.items():
            if name not in self._asked:
                self._asked[name] = actor.status.remote(), now
        refs = [ref for ref, _ in self._asked.values()]
        ready = set(self._ray.wait(refs, num_returns=len(refs), timeout=patience)[0]) if refs else set()
        for name, (ref, since) in list(self._asked.items()):
            if ref in ready:
                del self._asked[name]
                try:
                    self._status[name] = self._ray.get(ref)[0]
                except self._ray.exceptions.ActorUnavailableError:
                    self._unreachable(name, "its actor is being restarted")
                except self._ray.exceptions.RayError as error:
                    self._unreachable(name, f"its actor is gone ({type(error).__name__})")
                    self._actors.pop(name)
                    self._told.pop(name, None)
            elif now - since > _LATE:
                self._unreachable(name, "its actor does not answer")

    def _unreachable(self, name: str, why: str) -> None:
        had = self._status.get(name) or ShardStatus(name, name.rpartition(".")[0], "unreachable")
        self._status[name] = msgspec.structs.replace(had, state="unreachable", error=why)

    def _follow(self) -> None:
        """Tell actors what is wanted of them, and make those that are missing."""
        with self._lock:
            todo = {name: shard for name, shard in self._wanted.items() if self._told.get(name) != shard}
        for name, shard in todo.items():
            if actor := self._found(name):
                self._actors[name] = actor
                actor.start.remote(shard)
            elif shard.machine in self._nodes:
                self._actors[name] = self._make(shard)
            else:
                continue
            self._told[name] = shard

    def _found(self, name: str) -> Any:
        """The actor of a shard, if it has one that is not dead for good."""
        with contextlib.suppress(ValueError):
            return self._actors.get(name) or self._ray.get_actor(name)
        return None

    def _make(self, shard: Shard) -> Any:
        strategy = self._ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy
        environment = {"PYTHONPATH": package_root(), "RAY_kill_child_processes_on_worker_exit": "0"}
        how: dict[str, Any] = {"num_cpus": 0, "num_gpus": int(shard.alone)}
        return (
            self._ray.remote(Kept)
            .options(
                name=shard.name,
                lifetime="detached",
                max_restarts=-1,
                max_task_retries=0,
                max_concurrency=8,
                scheduling_strategy=strategy(node_id=self._nodes[shard.machine], soft=False),
                runtime_env={"env_vars": environment},
                **how,
            )
            .remote(replace(shard, gpu=None) if shard.alone else shard, str(self._folder))
        )

    def _let_go(self, leaving: dict[str, Any]) -> None:
        """Stop in order what is not wanted; only then its actor is ended."""
        with self._lock:
            for name in self._leaving & self._actors.keys() - leaving.keys():
                leaving[name] = self._actors[name].stop.remote(_FAREWELL)
            stopping = [name for name in leaving if name in self._leaving]
        for name in stopping:
            if self._ray.wait([leaving[name]], timeout=0)[0]:
                self._forget(name, lambda name=name: self._ray.kill(self._actors[name], no_restart=True))  # type: ignore[misc]
        for name in self._leaving - self._actors.keys():
            self._forget(name, lambda: None)
        for name in [name for name in leaving if name not in self._actors or name not in self._leaving]:
            del leaving[name]

    def _forget(self, name: str, kill: Callable[[], object]) -> None:
        with contextlib.suppress(self._ray.exceptions.RayError):
            kill()
        for told in (self._actors, self._told, self._asked, self._status):
            told.pop(name, None)
        self._leaving.discard(name)


def _machine(node: dict[str, Any]) -> str:
    return str(node.get("Labels", {}).get(_LABEL) or node["NodeManagerAddress"])
