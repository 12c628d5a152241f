"""Where shards run: the processes of this machine, or the machines of a Ray cluster."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from xpose_stream.stream.fleet.keeper import Keeper
from xpose_stream.stream.fleet.site import Shard
from xpose_stream.stream.fleet.status import ShardStatus

_FAREWELL = 30.0  # s for all shards together to stop


class Backend(Protocol):
    """Starts, stops and tells of shards; no call waits for what it asks for."""

    def machines(self, named: set[str]) -> set[str]:
        """Those of the site's machines that are there now."""

    def start(self, shard: Shard) -> None:
        """Have this shard run as it is described; one of its name that runs goes over to it."""

    def stop(self, name: str) -> None:
        """Have a shard stop in order."""

    def status(self) -> dict[str, ShardStatus]:
        """How the shards are that were started and those that are found running, by name."""

    def close(self, stop: bool) -> None:
        """Wait until all have stopped, or leave them running."""


class LocalProcesses:
    """Processes of this machine, which plays all machines of the site; they go on when this process is killed, and the
    next one that has their folder finds them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        shards = folder / "shards"
        self._keepers = {path.name: Keeper(folder, path.name) for path in shards.iterdir()} if shards.is_dir() else {}

    def machines(self, named: set[str]) -> set[str]:
        """See Backend."""
        return named

    def start(self, shard: Shard) -> None:
        """See Backend."""
        if shard.name not in self._keepers:
            self._keepers[shard.name] = Keeper(self._folder, shard.name)
        self._keepers[shard.name].start(shard)

    def stop(self, name: str) -> None:
        """See Backend."""
        self._keepers[name].stop()

    def status(self) -> dict[str, ShardStatus]:
        """See Backend."""
        return {name: keeper.status for name, keeper in self._keepers.items()}

    def close(self, stop: bool) -> None:
        """See Backend."""
        if stop:
            for keeper in self._keepers.values():
                keeper.stop()
            for keeper in self._keepers.values():
                keeper.stop(_FAREWELL)
        for keeper in self._keepers.values():
            keeper.close()
