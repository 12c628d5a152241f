"""Commands about recordings."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from xpose_stream.error import UserError
from xpose_stream.options import finite
from xpose_stream.stream.recordings.export.formats import FORMATS

if TYPE_CHECKING:
    from xpose_stream.stream.sinks.messages import TracksMessage
    from xpose_stream.stream.site import PageSite

app = typer.Typer()

_FORMATS = "\n\n".join(f"{name}: {form.what}; without {form.lost}" for name, form in FORMATS.items())


@app.command()
def recover(path: Annotated[Path, typer.Argument(help="The recording that was being written.")]) -> None:
    """Make a Parquet file of what a killed recording left behind."""
    from xpose_stream.stream.sinks.recorder import recover

    print(f"{path}: {recover(path)} rows")


@app.command()
def smooth(
    recording: Annotated[Path, typer.Argument(help="What `run --record` wrote; it stays as it is.", dir_okay=False)],
    out: Annotated[Path | None, typer.Option(help="Parquet file to write.", show_default="NAME.smooth.parquet")] = None,
    tracker: Annotated[
        str | None, typer.Option(help="robot, mocap or a file of `tune`.", show_default="as it was tracked")
    ] = None,
) -> None:
    """Write a recording anew, smoothed with what came later, and its gaps filled."""
    from xpose_stream.stream.recordings.smooth import smooth_recording
    from xpose_stream.stream.recordings.tune import tracker_config

    if tracker == "raw":
        raise typer.BadParameter("the tracker raw smoothes nothing; choose robot, mocap or a file of `tune`")
    target = out or recording.with_suffix(".smooth.parquet")
    config = tracker_config(tracker) if tracker else None
    with _undone_when_stopped():
        print(f"{target}: {smooth_recording(recording, target, config)} rows")


@contextmanager
def _undone_when_stopped() -> Iterator[None]:
    """Ctrl-C and SIGTERM end what is within with status 130, and leave no file half-written."""
    from xpose_stream.stream.stop import Stopped, interruptible

    try:
        with interruptible():
            yield
    except Stopped:
        raise typer.Exit(130) from None


@app.command()
def retrack(
    recording: Annotated[Path, typer.Argument(help="What `run --record --record-detections` wrote.", dir_okay=False)],
    out: Annotated[
        Path | None, typer.Option(help="Parquet file to write.", show_default="NAME.retracked.parquet")
    ] = None,
    tracker: Annotated[
        str | None, typer.Option(help="robot, mocap, raw or a file of `tune`.", show_default="as it was tracked")
    ] = None,
) -> None:
    """Track again what was detected, with the same settings or others."""
    from xpose_stream.stream.recordings.retrack import retrack
    from xpose_stream.stream.recordings.tune import tracker_settings

    target = out or recording.with_suffix(".retracked.parquet")
    settings = tracker_settings(tracker) if tracker else {}
    with _undone_when_stopped():
        print(f"{target}: {retrack(recording, target, settings)} frames")


@app.command()
def tune(
    recording: Annotated[Path, typer.Argument(help="What `run --record` wrote of a typical scene.", dir_okay=False)],
    out: Annotated[Path | None, typer.Option(help="YAML file to write.", show_default="NAME.tracker.yaml")] = None,
) -> None:
    """Fit the tracker's settings of motion and noise to a recording, for `run --tracker FILE`."""
    from xpose_stream.stream.recordings.tune import tune

    target = out or recording.with_suffix(".tracker.yaml")
    print(f"{target}: {tune(recording, target)}")


@app.command()
def show(recording: Annotated[Path, typer.Argument(help="What `run --record` wrote.", dir_okay=False)]) -> None:
    """Say what a recording holds: duration, cameras, tracks, gaps, drops, and where everything moved."""
    from rich.console import Console

    from xpose_stream.stream.recordings.recording import Recording
    from xpose_stream.stream.recordings.show import show

    show(Recording(recording), Console())


@app.command(epilog=_FORMATS)
def export(
    recording: Annotated[Path, typer.Argument(help="What `run --record` wrote; it stays as it is.", dir_okay=False)],
    to: Annotated[str, typer.Option(help=f"Format: {', '.join(FORMATS)}.")],
    out: Annotated[
        Path | None, typer.Option(help="File or folder to write.", show_default="beside the recording, by format")
    ] = None,
    video: Annotated[Path | None, typer.Option(help="What it was recorded of, for mp4.", dir_okay=False)] = None,
    metres_per_pixel: Annotated[
        float | None, typer.Option(help="Scale of the plane that was filmed, for trc and c3d.", min=1e-9)
    ] = None,
    plane: Annotated[
        Path | None, typer.Option(help="Instead: YAML list of four points or more, each x px, y px, X m, Y m.")
    ] = None,
) -> None:
    """Write a recording in the format of other programs."""
    from xpose_stream.stream.recordings.export.export import export
    from xpose_stream.stream.recordings.recording import Recording

    with _undone_when_stopped():
        how: dict[str, Any] = {"video": video, "metres_per_pixel": metres_per_pixel, "plane": plane}
        written, notes = export(Recording(recording), to, out, **how)
    for note in notes:
        print(note)
    print(written)


@app.command()
def replay(
    recording: Annotated[Path, typer.Argument(help="What `run --record` wrote.", dir_okay=False)],
    publish: Annotated[
        str | None, typer.Option(help="ZeroMQ endpoint, such as tcp://127.0.0.1:5555; waits for who listens.")
    ] = None,
    osc: Annotated[str | None, typer.Option(help="Send OSC to HOST:PORT.")] = None,
    lsl: Annotated[int | None, typer.Option(min=1, max=64, help="As for run.")] = None,
    rerun: Annotated[str | None, typer.Option(help="Send to Rerun's viewer at HOST:PORT.")] = None,
    foxglove: Annotated[str | None, typer.Option(help="Serve Foxglove at HOST:PORT.")] = None,
    page: Annotated[
        str | None, typer.Option(help="Show it in a browser: HOST:PORT, such as 127.0.0.1:8800, until Ctrl-C.")
    ] = None,
    exact: Annotated[bool, typer.Option("--exact", help="Keep published_at too: byte for byte.")] = False,
    speed: Annotated[float, typer.Option(min=0, help="Times its own pace; 0: as fast as the slowest reads.")] = 1.0,
    start: Annotated[float, typer.Option(help="Begin so many seconds later.", callback=finite)] = 0.0,
    loop: Annotated[bool, typer.Option("--loop", help="Again and again, until Ctrl-C.")] = False,
    format: Annotated[str, typer.Option(help="msgpack or json.")] = "msgpack",
    keys: Annotated[Path | None, typer.Option(help="Folder of `keys new`, as for run.")] = None,
    open_: Annotated[bool, typer.Option("--open", help="As for run.")] = False,
) -> None:
    """Publish a recording again, from when somebody listens, or send it where `run` can send."""
    from xpose_stream.stream.bridges import BRIDGES
    from xpose_stream.stream.recordings.replay import Replay
    from xpose_stream.stream.sinks.keys import Keys
    from xpose_stream.stream.sinks.publisher import Publisher
    from xpose_stream.stream.site import Site

    asked = {"osc": osc, "lsl": lsl, "rerun": rerun, "foxglove": foxglove}
    site = Site.of("-", publish=publish, format=format, keys=keys, open=open_, page=page or False, **asked).outputs
    if publish is None and page is None and not any(asked.values()):
        raise UserError("say where the recording goes: --publish, --page, --osc, --lsl, --rerun or --foxglove")
    played = Replay(recording, speed=speed, start=start, exact=exact, loop=loop)
    with ExitStack() as opened:
        if site.page:
            opened.enter_context(_shown(recording, site.page, {"start": start, "speed": speed or 1.0, "loop": loop}))
        sends = [opened.enter_context(BRIDGES[name](to, site)) for name, to in asked.items() if to is not None]
        if publish is not None:
            how: dict[str, Any] = {"keys": Keys(keys) if keys else None, "trusted": open_, "lossless": speed == 0}
            publisher = opened.enter_context(Publisher(publish, form=site.format, **how))
            sends.append(lambda frame, message: publisher.publish(message))
            print(f"waiting for somebody to listen to {publisher.endpoint}", file=sys.stderr)
            while not publisher.wait_for_subscriber(1.0):
                pass
        if sends:
            print(f"{_sent(played, sends)} messages")


def _sent(played: Iterable[TracksMessage], sends: Sequence[Callable[..., None]]) -> int:
    count = 0
    for message in played:
        for send in sends:
            send(None, message)
        count += 1
    return count


@contextmanager
def _shown(recording: Path, page: PageSite, how: Mapping[str, Any]) -> Iterator[None]:
    """Serve a page that plays it, and at the end wait for Ctrl-C or SIGTERM."""
    from xpose_stream.stream.page.library import Library
    from xpose_stream.stream.page.server import Server
    from xpose_stream.stream.stop import Stopped, interruptible

    if recording.suffix != ".parquet":
        raise UserError(f"a page shows recordings called NAME.parquet, not {recording.name}")
    opened = {"recording": recording.name, **how}
    library = Library(recording.absolute().parent, {}, {})
    with Server(page.address, None, library, opened=opened, token=page.token), suppress(Stopped), interruptible():
        yield
        while True:
            time.sleep(60)
