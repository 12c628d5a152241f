"""The command line: find keypoints in video and publish, record and draw them."""

from __future__ import annotations

import io
import os
import shlex
import signal
import sys
import threading
from pathlib import Path
from typing import Annotated, Any

import typer

_UsageError: Any = typer.BadParameter.__base__  # click's; newer Typers bring their own click

app = typer.Typer(
    help=__doc__, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None
)


def _finite(seconds: float | None) -> float | None:
    if seconds is not None and not 0 <= seconds < 1e6:
        raise typer.BadParameter(f"{seconds:g} s is no time to wait; give from 0 to a million seconds")
    return seconds


def _claimed(path: Path | None) -> Path | None:
    """Refuse before the work what could not be written or read again after it."""
    from stream.sink import claim

    if path is not None and path.suffix != ".safetensors":
        raise typer.BadParameter(f"{path} must end in .safetensors")
    return None if path is None else claim(path)


Weights = Annotated[
    Path | None, typer.Option(help="Checkpoint: published .pth or our .safetensors.", show_default="xpose-nano")
]
Clip = Annotated[Path | None, typer.Option(help="Folder of CLIP ViT-B/32, for the published weights.")]
Size = Annotated[str, typer.Option(help="WIDTHxHEIGHT of the camera's frames.")]
Batch = Annotated[int, typer.Option(min=1, help="Frames at a time.")]

prompts_app = typer.Typer(help="Make and look at prompt banks.", no_args_is_help=True)
app.add_typer(prompts_app, name="prompts")


@app.command()
def run(
    context: typer.Context,
    source: Annotated[
        str | None, typer.Option(help="rtsp://… or http://… URL, /dev/video0, video file, image folder, - for a pipe.")
    ] = None,
    site: Annotated[Path | None, typer.Option(help="YAML file of many cameras, instead of all other options.")] = None,
    weights: Weights = None,
    prompt: Annotated[str, typer.Option(help="Categories in words ('person, dog') or a prompt bank file.")] = "person",
    engine: Annotated[str, typer.Option(help="auto, eager, openvino, inductor or tensorrt.")] = "auto",
    precision: Annotated[str, typer.Option(help="auto, float32 or float16.")] = "auto",
    clip: Clip = None,
    publish: Annotated[str | None, typer.Option(help="ZeroMQ endpoint, such as tcp://127.0.0.1:5555.")] = None,
    predict: Annotated[
        str | None, typer.Option(help="Tell with each track where it is now, or so many seconds after its capture.")
    ] = None,
    record: Annotated[str | None, typer.Option(help="Parquet file to write.")] = None,
    overlay: Annotated[str | None, typer.Option(help="MP4 file to write.")] = None,
    metrics: Annotated[str | None, typer.Option(help="Where Prometheus may ask, such as 127.0.0.1:9464.")] = None,
    control: Annotated[str | None, typer.Option(help="Where `ask` changes the prompt: tcp://127.0.0.1:5556.")] = None,
    camera: Annotated[str | None, typer.Option(help="Name of the camera in topics and rows.")] = None,
    transport: Annotated[str, typer.Option(help="Of RTSP: tcp or udp.")] = "tcp",
    hwaccel: Annotated[str, typer.Option(help="auto: decode on the GPU where there is one; none.")] = "auto",
    realtime: Annotated[bool, typer.Option(help="Play a file at its own speed, dropping what comes too late.")] = False,
    tracker: Annotated[
        str | None, typer.Option(help="robot: least lag; mocap: least jitter; raw: identities; or a file of `tune`.")
    ] = None,
) -> None:
    """Find the prompted keypoints in SOURCE, or in all cameras of a SITE file, until they end or Ctrl-C."""
    from rich.console import Console

    from stream.heap import share_arenas
    from stream.report import JsonLines, LiveTable, table_of
    from stream.session import Session
    from stream.site import Site, SiteError

    share_arenas()
    if (source is None) == (site is None):
        raise SiteError("name what to look at: either --source or --site")
    if source is not None:
        outputs = {"publish": publish, "predict": predict, "record": record, "overlay": overlay}
        outputs |= {"metrics": metrics, "control": control}
        how = {"name": camera, "transport": transport, "hwaccel": hwaccel, "realtime": realtime}
        model = {"weights": weights, "clip": clip, "backend": engine, "precision": precision}
        wanted = Site.of(source, prompt=prompt, tracker=tracker, **model, **how, **outputs)
    elif site is not None:
        _alone(context, "site")
        wanted = Site.load(site)
    lines = None if sys.stdout.isatty() else JsonLines(sys.stdout)
    report = lines or LiveTable(Console())
    ledgers = Session(wanted, must_open=source is not None, path=site, report=report).run()
    if lines:
        lines.end(ledgers)
    else:
        for name, ledger in ledgers.items():
            Console().print(table_of(ledger, name))


def _alone(context: typer.Context, *allowed: str) -> None:
    """Refuse what was given beside a site file, which says all of it."""
    from stream.site import SiteError

    for name, option in _given(context).items():
        if name not in allowed:
            told = option if name != "source" else "an address"
            raise SiteError(f"{told} beside --site would have no effect: write it into the site file and leave it out")


def _given(context: typer.Context) -> dict[str, str]:
    """Which parameters the command line gives, and how they are written there."""
    written = {str(parameter.name): max(parameter.opts, key=len) for parameter in context.command.params}
    sources = {name: context.get_parameter_source(name) for name in written}
    return {name: written[name] for name, source in sources.items() if source and source.name == "COMMANDLINE"}


@app.command()
def doctor(
    context: typer.Context,
    source: Annotated[str | None, typer.Argument(help="What `run --source` would be given.")] = None,
    site: Annotated[Path | None, typer.Option(help="Look at every camera of a site file instead.")] = None,
    weights: Weights = None,
    prompt: Annotated[str, typer.Option(help="Categories in words or a prompt bank file.")] = "person",
    clip: Clip = None,
    seconds: Annotated[float, typer.Option(help="How long to look at each camera.", callback=_finite)] = 6.0,
) -> None:
    """Say what a camera and this machine are, what will be slow, and what to change. Status 1: it cannot run."""
    from rich.console import Console

    from engines import NANO
    from stream.doctor import check_machine, check_source
    from stream.site import EngineSite, Site
    from stream.sources import Options

    model, cameras = EngineSite(weights=weights or NANO, clip=clip), [] if source is None else [(source, Options())]
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
def listen(
    endpoint: Annotated[str, typer.Argument(help="Where a stream publishes, such as tcp://127.0.0.1:5555.")],
    json: Annotated[bool, typer.Option("--json", help="One JSON object per message, for programs.")] = False,
    quiet: Annotated[
        float | None, typer.Option(help="End after so many seconds without a message.", callback=_finite)
    ] = None,
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


@engines.command("build")
def engine_build(
    weights: Weights = None,
    prompt: Annotated[str, typer.Option(help="As for run: the numbers of categories and keypoints matter.")] = "person",
    size: Size = "640x480",
    batch: Batch = 1,
    engine: Annotated[str, typer.Option(help="auto, openvino, inductor or tensorrt.")] = "auto",
    precision: Annotated[str, typer.Option(help="auto, float32 or float16.")] = "auto",
    clip: Clip = None,
) -> None:
    """Build an engine ahead, so that a stream need not wait; says whether it was admitted."""
    from stream.build import build

    print(build(weights, prompt, size, batch, engine, precision, clip))


@engines.command("list")
def engine_list() -> None:
    """The engines in the cache."""
    from rich.console import Console

    from engines.cache import EngineCache, table_of

    Console(markup=False).print(table_of(EngineCache()))


@engines.command("bench")
def engine_bench(
    weights: Weights = None,
    prompt: Annotated[str, typer.Option(help="As for run.")] = "person",
    size: Size = "640x480",
    batch: Batch = 1,
    engine: Annotated[list[str] | None, typer.Option(help="Only this one beside eager; again for more.")] = None,
    clip: Clip = None,
) -> None:
    """Measure the engines that run here, interleaved, on frames of the demo clip."""
    from rich.console import Console

    from stream.build import measure

    Console().print(measure(weights, prompt, size, batch, engine or (), clip))


@app.command()
def smooth(
    recording: Annotated[Path, typer.Argument(help="What `run --record` wrote; it stays as it is.", dir_okay=False)],
    out: Annotated[Path | None, typer.Option(help="Parquet file to write.", show_default="NAME.smooth.parquet")] = None,
    tracker: Annotated[
        str | None, typer.Option(help="robot, mocap or a file of `tune`.", show_default="as it was tracked")
    ] = None,
) -> None:
    """Write a recording anew, smoothed with what came later, and its gaps filled."""
    from stream.smooth import smooth_recording
    from stream.tune import tracker_config

    if tracker == "raw":
        raise typer.BadParameter("the tracker raw smoothes nothing; choose robot, mocap or a file of `tune`")
    target = out or recording.with_suffix(".smooth.parquet")
    config = tracker_config(tracker) if tracker else None
    print(f"{target}: {smooth_recording(recording, target, config)} rows")


@app.command()
def tune(
    recording: Annotated[Path, typer.Argument(help="What `run --record` wrote of a typical scene.", dir_okay=False)],
    out: Annotated[Path | None, typer.Option(help="YAML file to write.", show_default="NAME.tracker.yaml")] = None,
) -> None:
    """Fit the tracker's settings of motion and noise to a recording, for `run --tracker FILE`."""
    from stream.tune import tune

    target = out or recording.with_suffix(".tracker.yaml")
    print(f"{target}: {tune(recording, target)}")


@app.command()
def demo(out: Annotated[Path, typer.Option(help="Folder to write into.")] = Path("out")) -> None:
    """Run the whole pipeline on the clip in this repository and measure it against the truth."""
    from stream.demo import demo

    demo(out)


@app.command()
def train(
    data: Annotated[list[str], typer.Option(help="Folder of a bank, or FILE.json[=FOLDER] in COCO's format; repeat.")],
    out: Annotated[Path, typer.Option(help="Folder of the results.")],
    test: Annotated[list[str] | None, typer.Option(help="Held-out data, for validation; repeat to mix.")] = None,
    images: Annotated[int, typer.Option(help="Images to train on, all processes together.", min=1)] = 200_000,
    batch: Annotated[int, typer.Option(help="Images per step and process.", min=1)] = 8,
    seed: Annotated[int, typer.Option(help="Random seed.", min=0)] = 1,
    rate: Annotated[float, typer.Option(help="Highest learning rate.", min=0.0)] = 1.2e-3,
    without: Annotated[list[str] | None, typer.Option(help="Category to leave out; repeat.")] = None,
    weights: Annotated[Path | None, typer.Option(help="Fine-tune these, published or ours.")] = None,
    clip: Clip = None,
    problems: Annotated[str, typer.Option(help="Malformed annotations: skip or refuse.")] = "skip",
    resume: Annotated[bool, typer.Option("--resume", help="Go on from last.pt, if it is there.")] = False,
    save_every: Annotated[float, typer.Option(help="Seconds between two saved states.", min=0.0)] = 180.0,
    export: Annotated[
        Path | None,
        typer.Option(help="Only write the averaged model of last.pt to this file.", callback=_claimed),
    ] = None,
) -> None:
    """Train on banks and annotated pictures; on N processes with `torchrun --nproc-per-node N run_stream.py …`."""
    import training.train as training
    from training.trainer import Recipe

    if problems not in ("skip", "refuse"):
        raise typer.BadParameter(f"--problems is {problems!r}; it must be skip or refuse")
    order = training.Order(
        data=data,
        out=out,
        recipe=Recipe(images=images, batch=batch, seed=seed, rate=rate),
        test=tuple(test or ()),
        without=tuple(without or ()),
        weights=weights,
        clip=clip,
        problems="refuse" if problems == "refuse" else "skip",
        resume=resume,
        save_every=save_every,
    )
    if export is not None:
        training.export(order, export)
    else:
        training.train(order)


@app.command(name="eval")
def evaluate(
    context: typer.Context,
    data: Annotated[list[str], typer.Option(help="Folder of a bank, or FILE.json[=FOLDER] in COCO's format; repeat.")],
    weights: Annotated[Path | None, typer.Option(help="Checkpoint.", show_default="xpose-nano")] = None,
    out: Annotated[Path, typer.Option(help="Folder of eval.json, predictions.json and the plot.")] = Path("out/eval"),
    kinds: Annotated[
        str, typer.Option(help="Ways to prompt, of words, reworded, alone, example, both and nearest.")
    ] = "words,reworded,alone,example,both,nearest",
    support: Annotated[list[str] | None, typer.Option(help="Data that examples are taken from.")] = None,
    without: Annotated[list[str] | None, typer.Option(help="Category to leave out; repeat.")] = None,
    pictures: Annotated[int | None, typer.Option(help="Only the first so many pictures.", min=1)] = None,
    shots: Annotated[int, typer.Option(help="Examples per category.", min=1)] = 1,
    draws: Annotated[int, typer.Option(help="Choices of examples to take the mean of.", min=1)] = 3,
    seed: Annotated[int, typer.Option(help="Random seed.", min=0)] = 0,
    clip: Clip = None,
    estimate: Annotated[
        bool, typer.Option("--estimate", help="Judge the confidence that published weights get instead.")
    ] = False,
    mp100: Annotated[bool, typer.Option("--mp100", help="MP-100's few-shot protocol, each --data a split.")] = False,
    episodes: Annotated[int, typer.Option(help="Of MP-100's protocol, per category.", min=1)] = 200,
    queries: Annotated[int, typer.Option(help="Of MP-100's protocol, per episode.", min=1)] = 15,
) -> None:
    """Measure weights on held-out data: AP, PCK, confidence, false positives, per category and way to prompt."""
    from engines import NANO
    from training import exam

    idle = {"episodes", "queries"}
    if mp100:
        idle = {"support", "pictures", "kinds", "draws", "clip", "estimate"}
    for name, option in _given(context).items():
        if name in idle:
            raise typer.BadParameter(f"{option} has no effect {'with' if mp100 else 'without'} --mp100; leave it out")
    names = [name.strip() for name in kinds.split(",")]
    order = exam.Order(
        weights=weights or NANO,
        data=data,
        out=out,
        kinds=names,
        support=tuple(support or ()),
        without=tuple(without or ()),
        pictures=pictures,
        shots=shots,
        draws=draws,
        seed=seed,
        clip=clip,
        estimate=estimate,
    )
    if mp100:
        exam.evaluate_few_shot(order, episodes, queries)
    else:
        exam.evaluate(order)


@app.command()
def calibrate(
    out: Annotated[Path, typer.Argument(help="Weights to write (.safetensors).", callback=_claimed)],
    weights: Annotated[Path, typer.Option(help="Checkpoint of ours, trained.")],
    data: Annotated[list[str], typer.Option(help="What to learn from: bank or annotations, as of train; repeat.")],
    test: Annotated[list[str], typer.Option(help="Held-out data that scores and sigmas are scaled on; repeat.")],
    clip: Clip = None,
) -> None:
    """Teach weights how sure they are of each keypoint, on pictures that they were not trained on."""
    from training import calibrate as calibration

    calibration.calibrate(calibration.Order(weights, data, test, out, clip))


@prompts_app.command()
def build(
    out: Annotated[Path, typer.Argument(help="Prompt bank to write (.safetensors).", callback=_claimed)],
    prompt: Annotated[list[str], typer.Argument(help="Categories, or prompt files (.yaml) with words or examples.")],
    weights: Annotated[
        Path | None, typer.Option(help="The weights that will use the bank.", show_default="xpose-nano")
    ] = None,
    clip: Clip = None,
) -> None:
    """Embed prompts once, so that a stream needs no text encoder: run it with `--prompt OUT`."""
    from engines import NANO, load, prompts_for

    bank = prompts_for(load(weights or NANO), ",".join(prompt), clip)
    bank.save(out)
    print(f"{out}: {bank.name}")


@prompts_app.command()
def show(bank: Annotated[Path, typer.Argument(help="A prompt bank or a prompt file (.yaml).")]) -> None:
    """Print what a prompt holds: categories, keypoints, edges, sigmas, and what made it."""
    from engines.prompt import Prompt
    from engines.prompt_table import print_bank, print_prompt
    from engines.prompts import PromptBank

    if bank.suffix in (".yaml", ".yml"):
        print_prompt(Prompt.load(bank))
    else:
        print_bank(PromptBank.load(bank))


def main() -> None:
    """Run the command line; a user's mistake ends it with one sentence and status 1, a wrong call with status 2."""
    from stream.sources.address import redact

    _hide_passwords()
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # until there is something to finish, Ctrl-C just ends the process
    try:
        sys.exit(app(standalone_mode=False))
    except _UsageError as error:
        told = io.StringIO()
        error.show(told)
        print(redact(told.getvalue()), end="", file=sys.stderr)  # it quotes what was given
        sys.exit(2)
    except Exception as error:
        from stream.session import USER_ERRORS
        from training.dataset import DataError

        if not isinstance(error, (*USER_ERRORS, DataError)):
            raise
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)


def _hide_passwords() -> None:
    """Let `ps` show the command line without what must not be told of addresses."""
    from setproctitle import setproctitle

    from stream.sources.address import redact

    told = [redact(argument) for argument in sys.argv]
    if told != sys.argv:
        setproctitle(shlex.join(["python", *told]))


def command() -> None:
    """`main` in a process of its own, which ends also while an engine is built: nothing stops a compiler."""
    status: object = 0
    try:
        main()
    except SystemExit as ended:
        status = ended.code or 0
    if any(thread.name in ("engine build", "prompt swap") for thread in threading.enumerate()):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status if isinstance(status, int) else 1)  # Python's own way out would abort in the compiler's thread
    sys.exit(status)  # type: ignore[arg-type]


if __name__ == "__main__":
    command()
