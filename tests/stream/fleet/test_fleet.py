"""What a fleet decides, in simulated time: who moves when a machine dies, comes back or a site changes."""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks.fleet import STEP, Simulated, run, site_of
from xpose_stream.stream.fleet.fleet import Fleet, placed_in
from xpose_stream.stream.fleet.site import FleetSite

CAMERAS, WORKERS = 40, 6


def fleet_of(folder: Path, rate: float = 150.0) -> tuple[Fleet, Simulated]:
    site = site_of(folder, CAMERAS, WORKERS, rate)
    backend = Simulated({machine.name for machine in site.fleet.machines}, 3.0, 1.0)
    return Fleet(site, backend, folder, lambda: backend.now), backend


def pass_time(fleet: Fleet, backend: Simulated, seconds: float) -> dict[str, str]:
    """Where cameras are served after so long."""
    for _ in range(round(seconds / STEP)):
        backend.now += STEP
        fleet.tend()
    return {entry.camera: entry.shard for entry in fleet.entries() if entry.state == "serving"}


def test_cameras_of_a_dead_machine_and_no_others_have_another_place_in_five_seconds() -> None:
    told = run(CAMERAS, WORKERS, 150.0, start=3.0, missed=2.0)
    assert told["cameras that moved"] == told["cameras of the machine that died"] > 0
    assert told["they have a place after, simulated s"] <= 5
    assert told["words of the directory for it"] <= 4 * told["cameras that moved"]


def test_where_there_is_no_room_cameras_wait_and_it_is_told_which(tmp_path: Path) -> None:
    fleet, backend = fleet_of(tmp_path, rate=75.0)  # 450 frames/s for 400 or so
    before = pass_time(fleet, backend, 5)
    assert len(before) == CAMERAS and not fleet.status.waiting
    for machine in ("m0", "m1"):
        backend.kill(machine)
    after = pass_time(fleet, backend, 10)
    waiting = fleet.status.waiting
    assert waiting and set(after) | set(waiting) == set(before) and not set(after) & set(waiting)
    assert fleet.status.machines["m0"] is False and fleet.status.machines["m2"] is True
    stayed = {camera: shard for camera, shard in before.items() if shard[:2] not in ("m0", "m1")}
    assert {camera: after[camera] for camera in stayed} == stayed
    told = {entry.camera: entry.why for entry in fleet.entries() if entry.state == "waiting"}
    assert told == waiting and all("full" in why or "network" in why for why in told.values())


def test_what_was_kept_is_where_the_next_one_begins_and_a_new_run_is_beyond_all_before(tmp_path: Path) -> None:
    fleet, backend = fleet_of(tmp_path)
    before = pass_time(fleet, backend, 5)
    assert placed_in(tmp_path) == before
    again, other = fleet_of(tmp_path)
    assert pass_time(again, other, 5) == before
    targets = json.loads((tmp_path / "prometheus.json").read_text())
    assert {target["labels"]["shard"] for target in targets} == set(before.values())
    dead = before["camera0"].partition(".")[0]
    other.kill(dead)
    after = pass_time(again, other, 5)
    moved = [camera for camera in before if after[camera] != before[camera]]
    floors = {camera: again.shard(after[camera]).floors[camera] for camera in moved}
    assert "camera0" in moved and min(floors.values()) > 1000  # it may have had runs that nobody heard of


def test_a_site_with_other_settings_goes_through_shard_by_shard(tmp_path: Path) -> None:
    fleet, backend = fleet_of(tmp_path)
    before = pass_time(fleet, backend, 5)
    told = json.loads((tmp_path / "site.yaml").read_text())
    told["prompt"] = "dog"
    del told["cameras"][0]
    (tmp_path / "site.yaml").write_text(json.dumps(told))
    number, steps = fleet.apply(FleetSite.load(tmp_path / "site.yaml")), []
    while fleet.status.applied < number:
        pass_time(fleet, backend, STEP)
        steps.append(sum(fleet.shard(name).prompt == "dog" for name in set(before.values())))
    assert sorted(set(steps)) == list(range(min(steps), WORKERS + 1)) and min(steps) <= 1
    assert "1 removed, 0 moved, 0 wait; shards with other settings: 6" in fleet.status.said
    after = pass_time(fleet, backend, 1)
    assert after == {camera: shard for camera, shard in before.items() if camera != "camera0"}
