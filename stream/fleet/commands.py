"""Commands about a fleet."""

from __future__ import annotations

import logging
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated

import typer

from xpose_stream.error import UserError

app = typer.Typer()
fleet_app = typer.Typer(help="Many cameras on many machines: docs/fleet.md.", no_args_is_help=True)
app.add_typer(fleet_app, name="fleet")

SiteFile = Annotated[Path, typer.Argument(help="A site's file, with a part `fleet`.")]
Folder = Annotated[Path, typer.Option(help="Where the fleet keeps what it knows; the same for all of these commands.")]
_FOLDER = Path("fleet")
_STEP = 0.2  # s


@fleet_app.command()
def plan(site: SiteFile, folder: Folder = _FOLDER) -> None:
    """Say where each camera would be served; changes nothing."""
    from rich.console import Console

    from xpose_stream.stream.fleet.fleet import placed_in
    from xpose_stream.stream.fleet.plan import plan
    from xpose_stream.stream.fleet.show import plan_table
    from xpose_stream.stream.fleet.site import FleetSite

    wanted, before = FleetSite.load(site), placed_in(folder)
    made = plan(wanted.needs, wanted.rooms(), before)
    Console().print(plan_table(made, before))
    if made.waiting:
        raise UserError(f"{len(made.waiting)} of {len(wanted.cameras)} cameras have no place: see above why")


@fleet_app.command()
def up(
    site: SiteFile,
    folder: Folder = _FOLDER,
    ray: Annotated[str | None, typer.Option(help="Address of a Ray cluster, such as 10.0.0.5:6379, or auto.")] = None,
) -> None:
    """Serve all cameras until Ctrl-C, SIGTERM or `fleet down`; goes on where a fleet in this folder left off."""
    from xpose_stream.stream.fleet.backend import Backend, LocalProcesses
    from xpose_stream.stream.fleet.door import Door
    from xpose_stream.stream.fleet.fleet import Fleet, FleetError
    from xpose_stream.stream.fleet.front import Front
    from xpose_stream.stream.fleet.leases import Life
    from xpose_stream.stream.fleet.site import FleetSite
    from xpose_stream.stream.sinks.directory import Directory
    from xpose_stream.stream.sinks.keys import Keys
    from xpose_stream.stream.stop import Stop
    from xpose_stream.stream.watch.health import Service

    logging.basicConfig(level=logging.INFO, format="%(levelname)s %(message)s")
    wanted = FleetSite.load(site)
    if ray is None and (away := [one.name for one in wanted.fleet.machines if not one.here]):
        raise FleetError(f"{', '.join(away)} {'is' if len(away) == 1 else 'are'} not this machine: give --ray ADDRESS")
    folder = folder.absolute()
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    keys = Keys(wanted.outputs.keys) if wanted.outputs.keys else None
    with ExitStack() as opened:
        if opened.enter_context(Life(folder / "life").taken()) is None:
            raise FleetError(f"a fleet runs in {folder} already; stop it with `fleet down` or choose another --folder")
        directory = opened.enter_context(Directory(wanted.fleet.directory, keys=keys, trusted=wanted.outputs.open))
        front = opened.enter_context(Front(wanted.outputs.page)) if wanted.outputs.page else None
        backend: Backend
        if ray is None:
            backend = LocalProcesses(folder)
        else:
            from xpose_stream.stream.fleet.ray import RayActors

            backend = RayActors(ray, folder)
        stop = opened.enter_context(Stop())  # after Ray, which listens to the same signals
        fleet = Fleet(wanted, backend, folder)
        door, service = opened.enter_context(Door(folder, fleet)), Service()
        print(f"the directory is {directory.endpoint}", file=sys.stderr, flush=True)
        try:
            while not (stop.requested or door.down):
                fleet.tend()
                entries = fleet.entries(keys.public if keys else "")
                directory.tell(entries)
                if front:
                    front.tell(entries)
                service.alive()
                door.serve(_STEP)
        finally:
            service.stopping()
            backend.close(stop=True)


@fleet_app.command()
def status(
    folder: Folder = _FOLDER,
    json: Annotated[bool, typer.Option("--json", help="For programs.")] = False,
) -> None:
    """Show the shards and the cameras that wait."""
    import msgspec
    from rich.console import Console

    from xpose_stream.stream.fleet.door import Wish, knock
    from xpose_stream.stream.fleet.show import status_table

    told = knock(folder, Wish("status")).status
    assert told
    if json:
        print(msgspec.json.encode(told).decode())
    else:
        Console().print(status_table(told))


@fleet_app.command()
def apply(site: SiteFile, folder: Folder = _FOLDER) -> None:
    """Go over to a changed site: what is the same goes on; what fails is taken back."""
    from xpose_stream.stream.fleet.door import Wish, knock
    from xpose_stream.stream.fleet.fleet import FleetError

    number = knock(folder, Wish("apply", str(site.absolute()))).number
    step = ""
    while (told := knock(folder, Wish("status")).status) and told.applied < number:
        if told.rolling != step:
            step = told.rolling
            print(step, file=sys.stderr, flush=True)
        time.sleep(_STEP)
    assert told
    if told.failed:
        raise FleetError(told.said)
    print(told.said)


@fleet_app.command()
def down(folder: Folder = _FOLDER) -> None:
    """Stop all shards in order, and the fleet."""
    from xpose_stream.stream.fleet.door import Wish, knock
    from xpose_stream.stream.fleet.leases import Life

    knock(folder, Wish("down"))
    while Life(folder / "life").lived:
        time.sleep(_STEP)
