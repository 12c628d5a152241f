"""How far work on a recording has come."""

from __future__ import annotations

from rich.console import Console
from rich.progress import Progress


def progress(hidden: bool = False) -> Progress:
    """A bar on the terminal that goes when the work is done; nothing where standard error is none."""
    console = Console(stderr=True)
    return Progress(console=console, transient=True, disable=hidden or not console.is_terminal)
