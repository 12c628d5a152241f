"""Options that several commands have, and how a call is looked at before anything is done."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

MODEL = "What to look for"  # as the help calls the options of the model and its prompt
Weights = Annotated[
    Path | None,
    typer.Option(
        help="Checkpoint: published .pth or our .safetensors.", show_default="xpose-eyes", rich_help_panel=MODEL
    ),
]
Clip = Annotated[
    Path | None, typer.Option(help="Folder of CLIP ViT-B/32, for the published weights.", rich_help_panel=MODEL)
]


def finite(seconds: float | None) -> float | None:
    """Refuse a time that cannot be waited for."""
    if seconds is not None and not 0 <= seconds < 1e6:
        raise typer.BadParameter(f"{seconds:g} s is no time to wait; give from 0 to a million seconds")
    return seconds


def weights_to_write(path: Path | None) -> Path | None:
    """Refuse before the work what could not be written or read again after it."""
    from xpose_stream.stream.sinks.sink import claim

    if path is not None and path.suffix != ".safetensors":
        raise typer.BadParameter(f"{path} must end in .safetensors")
    return None if path is None else claim(path)


def given(context: typer.Context) -> dict[str, str]:
    """Which parameters the command line gives, and how they are written there."""
    written = {str(parameter.name): max(parameter.opts, key=len) for parameter in context.command.params}
    sources = {name: context.get_parameter_source(name) for name in written}
    return {name: written[name] for name, source in sources.items() if source and source.name == "COMMANDLINE"}
