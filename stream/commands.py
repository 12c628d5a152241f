"""Commands about streams."""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path
from typing import Annotated, Any

import typer

from xpose_stream.error import UserError
from xpose_stream.options import MODEL, Clip, Weights, finite, given
from xpose_stream.stream.sinks.sink import reach

app = typer.Typer()

ClientKey = Annotated[
    Path | None, typer.Option(help="NAME.key_secret, for a stream with --keys; beside it the stream's server.key.")
]
_INPUT, _OUTPUT = "What to look at", "Where it goes"


@app.command()
def run(
    context: typer.Context,
    source: Annotated[
        list[str] | None,
        typer.Argument(
            help='rtsp://… or http://… URL, /dev/video0 or 0, video file, image folder, "a/*.jpg", - for a pipe; '
            "several files are run one after the other.",
        ),
    ] = None,
    named: Annotated[str | None, typer.Option("--source", help="The same, by name.", rich_help_panel=_INPUT)] = None,
    site: Annotated[
        Path | None,
        typer.Option(help="YAML file of many cameras, instead of all other options.", rich_help_panel=_INPUT),
    ] = None,
    camera: Annotated[
        str | None, typer.Option(help="Name of the camera in topics and rows.", rich_help_panel=_INPUT)
    ] = None,
    transport: Annotated[str, typer.Option(help="Of RTSP: tcp or udp.", rich_help_panel=_INPUT)] = "tcp",
    hwaccel: Annotated[
        str, typer.Option(help="auto: decode on the GPU where there is one; none.", rich_help_panel=_INPUT)
    ] = "auto",
    realtime: Annotated[
        bool,
        typer.Option(help="Play a file at its own speed, dropping what comes too late.", rich_help_panel=_INPUT),
    ] = False,
    live: Annotated[
        bool,
        typer.Option("--live", help="A pipe or http:// is a camera: drop what comes too late.", rich_help_panel=_INPUT),
    ] = False,
    video: Annotated[
        int | None,
        typer.Option("--stream", min=0, help="Which of several videos in it, from 0.", rich_help_panel=_INPUT),
    ] = None,
    prompt: Annotated[
        str, typer.Option(help="Categories in words ('person, dog') or a prompt bank file.", rich_help_panel=MODEL)
    ] = "person",
    weights: Weights = None,
    engine: Annotated[
        str, typer.Option(help="auto, eager, openvino, inductor or tensorrt.", rich_help_panel=MODEL)
    ] = "auto",
    precision: Annotated[str, typer.Option(help="auto, float32 or float16.", rich_help_panel=MODEL)] = "auto",
    input_size: Annotated[
        str | None,
        typer.Option(
            "--input-size",
            "--size",
            help="What the model sees at most: 192x144, or auto, the largest that keeps the rate.",
            show_default="the weights' own",
            rich_help_panel=MODEL,
        ),
    ] = None,
    clip: Clip = None,
    tracker: Annotated[
        str | None,
        typer.Option(
            help="robot: least lag; mocap: least jitter; raw: identities; reference: filterpy; or a file of `tune`.",
            rich_help_panel=MODEL,
        ),
    ] = None,
    publish: Annotated[
        str | None, typer.Option(help="ZeroMQ endpoint, such as tcp://127.0.0.1:5555.", rich_help_panel=_OUTPUT)
    ] = None,
    format: Annotated[
        str, typer.Option(help="Of what is published: msgpack or json.", rich_help_panel=_OUTPUT)
    ] = "msgpack",
    keys: Annotated[
        Path | None,
        typer.Option(
            help="Folder of `keys new`: encrypt --publish and --control, let in whom it allows.",
            rich_help_panel=_OUTPUT,
        ),
    ] = None,
    open_: Annotated[
        bool,
        typer.Option(
            "--open",
            help="Without keys, also beyond this machine: everybody there may listen and ask.",
            rich_help_panel=_OUTPUT,
        ),
    ] = False,
    predict: Annotated[
        str | None,
        typer.Option(
            help="Tell with each track where it is now, or so many seconds after its capture.", rich_help_panel=_OUTPUT
        ),
    ] = None,
    record: Annotated[
        str | None,
        typer.Option(
            help="Parquet (or .mcap) file to write; with {time} in its name one for each run.", rich_help_panel=_OUTPUT
        ),
    ] = None,
    rotate: Annotated[
        str | None, typer.Option(help="Record and draw on in another file each 1h, or 1GB.", rich_help_panel=_OUTPUT)
    ] = None,
    record_detections: Annotated[
        bool,
        typer.Option(
            "--record-detections", help="Record also all that the tracker was given.", rich_help_panel=_OUTPUT
        ),
    ] = False,
    mcap_profile: Annotated[
        str, typer.Option(help="Of a .mcap: ros2 for ROS's messages.", rich_help_panel=_OUTPUT)
    ] = "",
    pictures: Annotated[
        bool, typer.Option("--video", help="The pictures too, in a .mcap and for --foxglove.", rich_help_panel=_OUTPUT)
    ] = False,
    osc: Annotated[str | None, typer.Option(help="Send OSC to HOST:PORT.", rich_help_panel=_OUTPUT)] = None,
    lsl: Annotated[
        int | None,
        typer.Option(min=1, max=64, help="LSL streams with so many tracks of each category.", rich_help_panel=_OUTPUT),
    ] = None,
    rerun: Annotated[
        str | None, typer.Option(help="Send to Rerun's viewer at HOST:PORT.", rich_help_panel=_OUTPUT)
    ] = None,
    foxglove: Annotated[
        str | None, typer.Option(help="Serve Foxglove at HOST:PORT, such as 127.0.0.1:8765.", rich_help_panel=_OUTPUT)
    ] = None,
    overlay: Annotated[str | None, typer.Option(help="MP4 file to write.", rich_help_panel=_OUTPUT)] = None,
    metrics: Annotated[
        str | None, typer.Option(help="Where Prometheus may ask, such as 127.0.0.1:9464.", rich_help_panel=_OUTPUT)
    ] = None,
    control: Annotated[
        str | None, typer.Option(help="Where `ask` changes the prompt: tcp://127.0.0.1:5556.", rich_help_panel=_OUTPUT)
    ] = None,
    page: Annotated[
        str | None,
        typer.Option(help="HOST:PORT of the live page.", show_default="127.0.0.1:8800", rich_help_panel=_OUTPUT),
    ] = None,
    page_token: Annotated[
        str | None,
        typer.Option(help="What a browser must know to see it, in place of one made up.", rich_help_panel=_OUTPUT),
    ] = None,
    recordings: Annotated[
        Path | None,
        typer.Option(help="Folder of the recordings that the page makes and shows.", rich_help_panel=_OUTPUT),
    ] = None,
    no_page: Annotated[bool, typer.Option("--no-page", help="No live page.", rich_help_panel=_OUTPUT)] = False,
) -> None:
    """Find the prompted keypoints in SOURCE, or in all cameras of a SITE file, until they end or Ctrl-C."""
    sources = _sources(source or [], named, site)
    for path in (record, overlay):  # before anything slow is imported; once more when the camera's name is known
        if path is not None and "{" not in path:
            reach(Path(path).expanduser())
    from rich.console import Console

    from xpose_stream.engines import load
    from xpose_stream.stream.heap import share_arenas
    from xpose_stream.stream.session import Session, engine_of
    from xpose_stream.stream.site import Site
    from xpose_stream.stream.sources import SourceError
    from xpose_stream.stream.stop import Stop
    from xpose_stream.stream.watch.report import JsonLines, LiveTable, table_of

    share_arenas()
    if sources:
        outputs: dict[str, Any] = {"publish": publish, "predict": predict, "record": record, "overlay": overlay}
        outputs |= {"page": _page(page, page_token, recordings, no_page)}
        outputs |= {"metrics": metrics, "control": control, "format": format, "keys": keys, "open": open_}
        outputs |= {"record_detections": record_detections, "rotate": rotate}
        outputs |= {"mcap_profile": mcap_profile, "video": pictures, "osc": osc, "lsl": lsl, "rerun": rerun}
        outputs |= {"foxglove": foxglove}
        mcap = record is not None and record.lower().endswith(".mcap")
        if (mcap_profile and not mcap) or (pictures and not (mcap or foxglove)):
            told = "--mcap-profile" if mcap_profile else "--video"
            raise UserError(
                f"{told} has no effect without a .mcap to --record{'' if mcap_profile else ' or --foxglove'}"
            )
        if rotate and not (record or overlay):
            raise UserError("--rotate has no effect without --record or --overlay")
        if record_detections and not record:
            raise UserError("--record-detections has no effect without --record")
        if (keys or open_) and not (publish or control or (foxglove and open_)):
            raise UserError(f"{'--keys' if keys else '--open'} has no effect without --publish or --control")
        how: dict[str, Any] = {"name": camera, "transport": transport, "hwaccel": hwaccel, "realtime": realtime}
        how |= {"live": live, "stream": video}
        model = {"weights": weights, "clip": clip, "backend": engine, "precision": precision, "input_size": input_size}
        sites = [Site.of(each, prompt=prompt, tracker=tracker, **model, **how, **outputs) for each in sources]
    elif site is not None:
        _alone(context, "site")
        sites = [Site.load(site)]
    sites = [one.model_copy(update={"outputs": one.outputs.with_page()}) for one in sites]
    lines = None if sys.stdout.isatty() else JsonLines(sys.stdout)

    def one(wanted: Site, **shared: Any) -> None:
        report = lines or LiveTable(Console())
        ledgers = Session(wanted, must_open=bool(sources), path=site, report=report, **shared).run()
        if lines:
            lines.end(ledgers)
        else:
            with suppress(OSError):  # the terminal may be gone
                for name, ledger in ledgers.items():
                    Console().print(table_of(ledger, name))

    if len(sites) == 1:
        one(sites[0])
        return
    failed = False
    with Stop() as stop:
        checkpoint = load(sites[0].engine.weights)  # the same for all of them
        built = engine_of(sites[0].engine, checkpoint)
        for wanted in sites:
            try:
                one(wanted, stop=stop, checkpoint=checkpoint, engine=built)
            except SourceError as error:  # the others may be good
                failed = True
                print(f"error: {error}", file=sys.stderr)
            if stop.requested:
                break
    if failed:
        raise typer.Exit(1)


def _page(address: str | None, token: str | None, recordings: Path | None, none: bool) -> Any:
    """What a site's file would say of the page."""
    if none and (address or token or recordings):
        raise UserError("--no-page beside another option of the page makes no sense: leave one of them out")
    given = {"address": address, "token": token, "recordings": recordings}
    return False if none else {name: value for name, value in given.items() if value is not None} or None


def _sources(given: list[str], named: str | None, site: Path | None) -> list[str]:
    """What to look at, one after the other; none of it if it is a site."""
    kinds = [each for each in (given, named, site) if each]
    if len(kinds) != 1:
        how = "a SOURCE (a file, folder, camera or address) or --site FILE"
        raise UserError(f"name {'one thing' if kinds else 'what'} to look at: {how}")
    if site:
        return []
    from xpose_stream.stream.sources.address import expanded

    return expanded([named] if named else given)


def _alone(context: typer.Context, *allowed: str) -> None:
    """Refuse what was given beside a site file, which says all of it."""
    for name, option in given(context).items():
        if name not in allowed:
            told = option if name != "source" else "an address"
            raise UserError(f"{told} beside --site would have no effect: write it into the site file and leave it out")


@app.command()
def doctor(
    context: typer.Context,
    source: Annotated[str | None, typer.Argument(help="What `run --source` would be given.")] = None,
    site: Annotated[Path | None, typer.Option(help="Look at every camera of a site file instead.")] = None,
    weights: Weights = None,
    prompt: Annotated[str, typer.Option(help="Categories in words or a prompt bank file.")] = "person",
    clip: Clip = None,
    seconds: Annotated[float, typer.Option(help="How long to look at each camera.", callback=finite)] = 6.0,
) -> None:
    """Say what a camera and this machine are, what will be slow, and what to change. Status 1: it cannot run."""
    from rich.console import Console

    from xpose_stream.engines import DEFAULT
    from xpose_stream.stream.site import EngineSite, Site
    from xpose_stream.stream.sources import Options
    from xpose_stream.stream.watch.doctor import check_machine, check_source

    model, cameras = EngineSite(weights=weights or DEFAULT, clip=clip), [] if source is None else [(source, Options())]
    if site is not None:
        _alone(context, "site", "seconds")
        wanted = Site.load(site)
        cameras = [(camera.source, camera.options) for camera in wanted.cameras]
        model, prompt = wanted.engine, wanted.prompt
    checkups, streams = [], []
    for spec, options in cameras:
        checkup, stream = check_source(spec, options, seconds)
        checkups.append(checkup)
        streams += [stream] if stream else []
        Console().print(checkup.table())
    checkups.append(check_machine(model, prompt, streams))
    Console().print(checkups[-1].table())
    if any(checkup.failed for checkup in checkups):
        raise typer.Exit(1)


@app.command()
def look(
    source: Annotated[str, typer.Argument(help="A picture, or anything that `run` takes: its first frame.")],
    prompt: Annotated[str, typer.Option(help="Categories in words or a prompt bank file.")] = "person",
    weights: Weights = None,
    clip: Clip = None,
    out: Annotated[Path, typer.Option(help="Picture to write, .jpg or .png; one that is there is replaced.")] = Path(
        "look.jpg"
    ),
) -> None:
    """Say what is seen in one picture, and draw it: does it see anything?"""
    from rich.console import Console

    from xpose_stream.stream.look import look, show, table_of

    message = look(source, prompt, out, weights, clip)
    Console().print(table_of(message))
    print(f"drawn in {out}")
    show(out)


@app.command()
def listen(
    endpoint: Annotated[str, typer.Argument(help="Where a stream publishes, such as tcp://127.0.0.1:5555.")],
    json: Annotated[bool, typer.Option("--json", help="One JSON object per message, for programs.")] = False,
    quiet: Annotated[
        float | None, typer.Option(help="End after so many seconds without a message.", callback=finite)
    ] = None,
    key: ClientKey = None,
) -> None:
    """Print the tracks that a stream publishes."""
    import msgspec

    from xpose_stream.stream.client import Subscriber, describe

    for message in Subscriber(endpoint, quiet=quiet, key=key):
        print(msgspec.json.encode(message).decode() if json else describe(message), flush=True)


@app.command()
def ask(
    endpoint: Annotated[str, typer.Argument(help="What the stream was given as --control.")],
    prompt: Annotated[str, typer.Argument(help="What it shall look for from now on, as for run --prompt.")],
    key: ClientKey = None,
) -> None:
    """Change the prompt of a running stream."""
    from xpose_stream.stream.control import ask

    def building(seconds: float) -> None:
        print(f"building, about {seconds:.0f} s", file=sys.stderr, flush=True)

    answer = ask(endpoint, prompt, key=key, building=building)
    print(f"{answer.name}, version {answer.version}")


@app.command()
def schema() -> None:
    """Print the JSON Schema of the messages."""
    import json

    from xpose_stream.stream.schema import schema

    print(json.dumps(schema(), indent=2))


keys_app = typer.Typer(help="Make keys for encrypted streams.", no_args_is_help=True)
app.add_typer(keys_app, name="keys")


@keys_app.command()
def new(
    name: Annotated[str, typer.Argument(help="server: of a stream. Else of a listener: who it is.")],
    out: Annotated[Path, typer.Option(help="Folder to write into.")] = Path("."),
) -> None:
    """Write a pair of keys: NAME.key to give away, NAME.key_secret to keep."""
    from xpose_stream.stream.sinks.keys import new

    public, secret = new(name, out)
    print(f"{public}: give it to the other side\n{secret}: keep it to yourself")


@app.command()
def demo(out: Annotated[Path, typer.Option(help="Folder to write into.")] = Path("out")) -> None:
    """Run the whole pipeline on the clip in this repository and measure it against the truth."""
    from xpose_stream.stream.bridges import extra

    with extra("demo"):
        from xpose_stream.stream.demo import demo
    demo(out)
