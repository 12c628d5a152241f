"""The command line: find keypoints in video and publish, record and draw them."""

from __future__ import annotations

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
    source: Annotated[str, typer.Option(help="rtsp://… or http://… URL, /dev/video0, video file or image folder.")],
    weights: Annotated[
        Path | None, typer.Option(help="Checkpoint: published .pth or our .safetensors.", show_default="xpose-nano")
    ] = None,
    prompt: Annotated[str, typer.Option(help="Categories in words ('person, dog') or a prompt bank file.")] = "person",
    clip: Annotated[Path | None, typer.Option(help="Folder of CLIP ViT-B/32, for the published weights.")] = None,
    publish: Annotated[str | None, typer.Option(help="ZeroMQ endpoint, such as tcp://127.0.0.1:5555.")] = None,
    record: Annotated[Path | None, typer.Option(help="Parquet file to write.")] = None,
    overlay: Annotated[Path | None, typer.Option(help="MP4 file to write.")] = None,
    camera: Annotated[str | None, typer.Option(help="Name of the camera in topics and rows.")] = None,
    realtime: Annotated[bool, typer.Option(help="Play a file at its own speed, dropping what comes too late.")] = False,
    tracker: Annotated[
        str, typer.Option(help="robot (least lag), mocap (least jitter), raw (identities only) or a file of `tune`.")
    ] = "robot",
) -> None:
    """Find the prompted keypoints in SOURCE until it ends or Ctrl-C."""
    from rich.console import Console

    from stream.report import table_of
    from stream.session import NANO, Session
    from stream.sources import redact

    session = Session(source, weights or NANO, prompt, clip, publish, record, overlay, camera, realtime, tracker)
    Console().print(table_of(session.run(), redact(session.source)))


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
def recover(path: Annotated[Path, typer.Argument(help="The recording that was being written.")]) -> None:
    """Make a Parquet file of what a killed recording left behind."""
    from stream.recorder import recover

    print(f"{path}: {recover(path)} rows")


@app.command()
def smooth(
    recording: Annotated[Path, typer.Argument(help="What `run --record` wrote; it stays as it is.")],
    out: Annotated[Path | None, typer.Option(help="Parquet file to write.", show_default="NAME.smooth.parquet")] = None,
    tracker: Annotated[str, typer.Option(help="robot, mocap or a file of `tune`.")] = "robot",
) -> None:
    """Write a recording anew, smoothed with what came later, and its gaps filled."""
    from stream.smooth import smooth_recording
    from stream.tune import tracker_config

    target = out or recording.with_suffix(".smooth.parquet")
    print(f"{target}: {smooth_recording(recording, target, tracker_config(tracker))} rows")


@app.command()
def tune(
    recording: Annotated[Path, typer.Argument(help="What `run --record` wrote of a typical scene.")],
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


def main() -> None:
    """Run the command line; a user's mistake ends it with one sentence and status 1."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # until there is something to finish, Ctrl-C just ends the process
    try:
        app()
    except Exception as error:
        from stream.session import USER_ERRORS

        if not isinstance(error, USER_ERRORS):
            raise
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
