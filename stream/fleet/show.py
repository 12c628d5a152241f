"""What a person is shown of a fleet."""

from __future__ import annotations

from collections.abc import Mapping

from rich.box import SIMPLE_HEAD
from rich.console import Group
from rich.table import Table
from rich.text import Text

from xpose_stream.stream.fleet.fleet import FleetStatus
from xpose_stream.stream.fleet.plan import Plan


def plan_table(plan: Plan, before: Mapping[str, str]) -> Table:
    """A row for each camera: where it goes, and from where."""
    table = _table("camera", "shard", "")
    for camera, shard in plan.placed.items():
        had = before.get(camera)
        table.add_row(Text(camera), shard, "new" if had is None else f"from {had}" if had != shard else "")
    for camera, why in plan.waiting.items():
        table.add_row(Text(camera), "waits", Text(why))
    return table


def status_table(status: FleetStatus) -> Group:
    """A row for each shard, and what there is to say beside."""
    table = _table("shard", "machine", "state", "cameras", "frames/s", "p95 ms", "restarts")
    notes = []
    for shard in status.shards:
        up = sum(camera.up for camera in shard.cameras.values())
        rate = sum(camera.fps for camera in shard.cameras.values())
        p95 = "" if shard.p95_ms is None else f"{shard.p95_ms:.0f}"
        row = [shard.state, f"{up} of {len(shard.cameras)} up", f"{rate:.1f}", p95, str(shard.restarts)]
        table.add_row(shard.shard, Text(shard.machine), *row)
        notes += [Text(f"{shard.shard}: {shard.error}")] if shard.error and shard.state != "running" else []
    notes += [Text(f"the machine {name} is gone") for name, there in status.machines.items() if not there]
    notes += [Text(f"{camera} waits: {why}") for camera, why in status.waiting.items()]
    notes += [Text(f"changing: {status.rolling}")] if status.rolling else []
    return Group(table, *notes)


def _table(*names: str) -> Table:
    table = Table(box=SIMPLE_HEAD, padding=(0, 1), pad_edge=False, show_edge=False)
    for name in names:
        table.add_column(name)
    return table
