"""The command line: find keypoints in video and publish, record and draw them."""

from __future__ import annotations

import shlex
import signal
import sys
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(
    help=__doc__, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None
)


@app.command()
def run(
    source: Annotated[
        str | None, typer.Option(help="rtsp://… or http://… URL, /dev/video0, video file, image folder, - for a pipe.")
    ] = None,
    site: Annotated[Path | None, typer.Option(help="YAML file of many cameras, instead of all other options.")] = None,
    weights: Annotated[
        Path | None, typer.Option(help="Checkpoint: published .pth or our .safetensors.", show_default="xpose-nano")
    ] = None,
    prompt: Annotated[str, typer.Option(help="Categories in words ('person, dog') or a prompt bank file.")] = "person",
    engine: Annotated[str, typer.Option(help="auto, eager, openvino, inductor or tensorrt.")] = "auto",
    precision: Annotated[str, typer.Option(help="auto, float32 or float16.")] = "auto",
    clip: Annotated[Path | None, typer.Option(help="Folder of CLIP ViT-B/32, for the published weights.")] = None,
    publish: Annotated[str | None, typer.Option(help="ZeroMQ endpoint, such as tcp://127.0.0.1:5555.")] = None,
    record: Annotated[str | None, typer.Option(help="Parquet file to write.")] = None,
    overlay: Annotated[str | None, typer.Option(help="MP4 file to write.")] = None,
    metrics: Annotated[str | None, typer.Option(help="Where Prometheus may ask, such as 127.0.0.1:9464.")] = None,
    control: Annotated[str | None, typer.Option(help="Where `ask` changes the prompt: tcp://127.0.0.1:5556.")] = None,
    camera: Annotated[str | None, typer.Option(help="Name of the camera in topics and rows.")] = None,
    transport: Annotated[str, typer.Option(help="Of RTSP: tcp or udp.")] = "tcp",
    hwaccel: Annotated[str, typer.Option(help="auto: decode on the GPU where there is one; none.")] = "auto",
    realtime: Annotated[bool, typer.Option(help="Play a file at its own speed, dropping what comes too late.")] = False,
) -> None:
    """Find the prompted keypoints in SOURCE, or in all cameras of a SITE file, until they end or Ctrl-C."""
    from rich.console import Console

    from stream.report import JsonLines, LiveTable, table_of
    from stream.session import Session
    from stream.site import Site, SiteError

    if (source is None) == (site is None):
        raise SiteError("name what to look at: either --source or --site")
    if source is not None:
        outputs = {"publish": publish, "record": record, "overlay": overlay, "metrics": metrics, "control": control}
        how = {"name": camera, "transport": transport, "hwaccel": hwaccel, "realtime": realtime}
        model = {"weights": weights, "clip": clip, "backend": engine, "precision": precision}
        wanted = Site.of(source, prompt=prompt, **model, **how, **outputs)
    elif site is not None:
        wanted = Site.load(site)
    lines = None if sys.stdout.isatty() else JsonLines(sys.stdout)
    report = lines or LiveTable(Console())
    ledgers = Session(wanted, must_open=source is not None, path=site, report=report).run()
    if lines:
        lines.end(ledgers)
    else:
        for name, ledger in ledgers.items():
            Console().print(table_of(ledger, name))


@app.command()
def doctor(
    source: Annotated[str | None, typer.Argument(help="What `run --source` would be given.")] = None,
    site: Annotated[Path | None, typer.Option(help="Look at every camera of a site file instead.")] = None,
    weights: Annotated[
        Path | None, typer.Option(help="Checkpoint: published .pth or our .safetensors.", show_default="xpose-nano")
    ] = None,
    prompt: Annotated[str, typer.Option(help="Categories in words or a prompt bank file.")] = "person",
    clip: Annotated[Path | None, typer.Option(help="Folder of CLIP ViT-B/32, for the published weights.")] = None,
    seconds: Annotated[float, typer.Option(help="How long to look at each camera.")] = 6.0,
) -> None:
    """Say what a camera and this machine are, what will be slow, and what to change. Status 1: it cannot run."""
    from rich.console import Console

    from stream.doctor import check_machine, check_source
    from stream.site import NANO, Site
    from stream.sources import Options

    if site is not None:
        wanted = Site.load(site)
        cameras = [(camera.source, camera.options) for camera in wanted.cameras]
        weights, prompt, clip = wanted.engine.weights, wanted.prompt, wanted.engine.clip
    else:
        cameras = [] if source is None else [(source, Options())]
    checkups, streams = [], []
    for spec, options in cameras:
        checkup, stream = check_source(spec, options, seconds)
        checkups.append(checkup)
        streams += [stream] if stream else []
        Console().print(checkup.table())
    checkups.append(check_machine(weights or NANO, prompt, clip, streams))
    Console().print(checkups[-1].table())
    if any(checkup.failed for checkup in checkups):
        raise typer.Exit(1)


@app.command()
def listen(
    endpoint: Annotated[str, typer.Argument(help="Where a stream publishes, such as tcp://127.0.0.1:5555.")],
    json: Annotated[bool, typer.Option("--json", help="One JSON object per message, for programs.")] = False,
    quiet: Annotated[float | None, typer.Option(help="End after so many seconds without a message.")] = None,
) -> None:
    """Print the tracks that a stream publishes."""
    import msgspec

    from stream.listener import describe, listen

    for message in listen(endpoint, quiet=quiet):
        print(msgspec.json.encode(message).decode() if json else describe(message), flush=True)


@app.command()
def ask(
    endpoint: Annotated[str, typer.Argument(help="What the stream was given as --control.")],
    prompt: Annotated[str, typer.Argument(help="What it shall look for from now on, as for run --prompt.")],
) -> None:
    """Change the prompt of a running stream."""
    from stream.control import ask

    answer = ask(endpoint, prompt)
    print(f"{answer.name}, version {answer.version}")


@app.command()
def recover(path: Annotated[Path, typer.Argument(help="The recording that was being written.")]) -> None:
    """Make a Parquet file of what a killed recording left behind."""
    from stream.recorder import recover

    print(f"{path}: {recover(path)} rows")


engines = typer.Typer(help="Build, list and measure engines.", no_args_is_help=True)
app.add_typer(engines, name="engine")

Weights = Annotated[
    Path | None, typer.Option(help="Checkpoint: published .pth or our .safetensors.", show_default="xpose-nano")
]


@engines.command("build")
def engine_build(
    weights: Weights = None,
    prompt: Annotated[str, typer.Option(help="As for run: the numbers of categories and keypoints matter.")] = "person",
    size: Annotated[str, typer.Option(help="WIDTHxHEIGHT of the camera's frames.")] = "640x480",
    batch: Annotated[int, typer.Option(min=1, help="Frames at a time.")] = 1,
    engine: Annotated[str, typer.Option(help="auto, openvino, inductor or tensorrt.")] = "auto",
    precision: Annotated[str, typer.Option(help="auto, float32 or float16.")] = "auto",
) -> None:
    """Build an engine ahead, so that a stream need not wait; says whether it was admitted."""
    from stream.prepare import build

    print(build(weights, prompt, size, batch, engine, precision))


@engines.command("list")
def engine_list() -> None:
    """The engines in the cache."""
    from rich.console import Console

    from engines.cache import EngineCache, table_of

    Console().print(table_of(EngineCache()))


@engines.command("bench")
def engine_bench(
    weights: Weights = None,
    prompt: Annotated[str, typer.Option(help="As for run.")] = "person",
    size: Annotated[str, typer.Option(help="WIDTHxHEIGHT of the camera's frames.")] = "640x480",
    batch: Annotated[int, typer.Option(min=1, help="Frames at a time.")] = 1,
    engine: Annotated[list[str] | None, typer.Option(help="Only this one beside eager; again for more.")] = None,
) -> None:
    """Measure the engines that run here, interleaved, on frames of the demo clip."""
    from rich.console import Console

    from stream.prepare import measure

    Console().print(measure(weights, prompt, size, batch, engine or ()))


@app.command()
def demo(out: Annotated[Path, typer.Option(help="Folder to write into.")] = Path("out")) -> None:
    """Run the whole pipeline on the clip in this repository and measure it against the truth."""
    from stream.demo import demo

    demo(out)


def main() -> None:
    """Run the command line; a user's mistake ends it with one sentence and status 1."""
    _hide_passwords()
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # until there is something to finish, Ctrl-C just ends the process
    try:
        app()
    except Exception as error:
        from stream.session import USER_ERRORS

        if not isinstance(error, USER_ERRORS):
            raise
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)


def _hide_passwords() -> None:
    """Let `ps` show the command line without what must not be told of addresses."""
    from setproctitle import setproctitle

    from stream.sources.address import redact

    told = []
    for argument in sys.argv:
        option, equals, value = argument.partition("=") if argument.startswith("--") else ("", "", argument)
        told.append(option + equals + redact(value))
    if told != sys.argv:
        setproctitle(shlex.join(["python", *told]))


if __name__ == "__main__":
    main()
