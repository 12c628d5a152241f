"""Find keypoints in video and publish, record and draw them. `xpose-stream SOURCE` is `xpose-stream run SOURCE`."""

from __future__ import annotations

import signal

signal.signal(signal.SIGINT, signal.SIG_DFL)  # until there is something to finish, Ctrl-C just ends the process

import gc
import io
import os
import re
import shlex
import sys
import threading
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Any

import typer

from xpose_stream import __version__
from xpose_stream.engines import commands as engines
from xpose_stream.error import UserError
from xpose_stream.stream import commands as stream
from xpose_stream.stream.fleet import commands as fleet
from xpose_stream.stream.recordings import commands as recordings
from xpose_stream.training import commands as training

_UsageError: Any = typer.BadParameter.__base__  # click's; newer Typers bring their own click
# What other programs call what is done here.
_CALLED = {"predict": "run", "detect": "run", "track": "run", "start": "run", "check": "doctor", "subscribe": "listen"}


class Commands(typer.core.TyperGroup):
    """A source in a command's place is run; a word that other programs have for a command leads to it."""

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """See click."""
        word = args[0]
        if word not in self.commands and _is_source(word):
            args = ["run", *args]
        elif meant := _CALLED.get(word) if word not in self.commands else None:
            ctx.fail(f"No such command '{word}'. Did you mean '{meant}'?")
        return super().resolve_command(ctx, args)


def _is_source(word: str) -> bool:
    return word == "-" or word.isdigit() or "/" in word or "." in word or Path(word).exists()


def _version(wanted: bool) -> None:
    if wanted:
        print(f"xpose-stream {__version__}")
        raise typer.Exit


app = typer.Typer(
    cls=Commands, help=__doc__, no_args_is_help=True, add_completion=False, pretty_exceptions_enable=False,
    rich_markup_mode="rich",
)  # fmt: skip
for room in (stream, fleet, recordings, engines, training):
    app.add_typer(room.app)


@app.callback(help=__doc__)
def about(
    version: Annotated[bool, typer.Option("--version", callback=_version, is_eager=True, help="Say it.")] = False,
) -> None:
    """What holds for all commands."""


def main() -> None:
    """Run the command line; a user's mistake ends it with one sentence and status 1, a wrong call with status 2."""
    _hide_passwords()
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        _stand_somewhere()
        sys.exit(app(standalone_mode=False))
    except _UsageError as error:
        told = io.StringIO()
        error.show(told)
        print(_redacted(told.getvalue()), end="", file=sys.stderr)  # it quotes what was given
        sys.exit(2)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(1)
    except BrokenPipeError:  # who read what is printed has had enough, as `head` has
        sys.exit(1)


def _stand_somewhere() -> None:
    """Refuse a folder that was deleted around this process: paths lead nowhere, and MKL ends it without a word."""
    try:
        os.getcwd()
    except OSError:
        raise UserError("the folder in which this was started is gone; change into another (cd)") from None


def _redacted(text: str) -> str:
    if "://" not in text:
        return text
    from xpose_stream.stream.sources.address import redact

    return redact(text)


def _hide_passwords() -> None:
    """Let `ps` show the command line without what must not be told of addresses, and without the page's token."""
    told = [_redacted(argument) for argument in sys.argv]
    told = [re.sub("(?<=^--page-token=).+", "***", argument) for argument in told]
    told = [told[0], *("***" if before == "--page-token" else this for before, this in pairwise(told))]
    if told != sys.argv:
        from setproctitle import setproctitle

        setproctitle(shlex.join(["python", *told]))


def _have_somewhere_to_write() -> None:
    """Give a daemon that was started without outputs some that keep nothing; what a terminal lacks becomes `?`."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w"))  # noqa: SIM115  # for as long as the process
        elif isinstance(out := getattr(sys, name), io.TextIOWrapper):
            out.reconfigure(errors="replace")


def _let_go_of_output() -> None:
    """Have Python not complain that a terminal is gone, or a reader, or its disk full, at the end."""
    for out in (sys.stdout, sys.stderr):
        try:
            if out:  # a daemon may have none
                out.flush()
        except OSError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), out.fileno())


def command() -> None:
    """`main` in a process of its own, which ends also while an engine is built: nothing stops a compiler."""
    from xpose_stream.stream.stop import leave_the_first_process

    leave_the_first_process()
    _have_somewhere_to_write()
    status: object = 0
    try:
        main()
    except SystemExit as ended:
        status = ended.code or 0
    _let_go_of_output()
    if any(thread.name in ("engine build", "prompt swap") for thread in threading.enumerate()):
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(status if isinstance(status, int) else 1)  # Python's own way out would abort in the compiler's thread
    gc.freeze()  # nothing is to be looked for that could be freed: that takes a second
    sys.exit(status)  # type: ignore[arg-type]


if __name__ == "__main__":
    command()
