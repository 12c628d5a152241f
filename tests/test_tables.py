"""What is printed fits a terminal of 80 columns: no heading and no figure is cut."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from xpose_stream.engines.bench import Timing
from xpose_stream.engines.bench import table_of as bench_table
from xpose_stream.run_stream import app
from xpose_stream.training.exam.exam import COLUMNS
from xpose_stream.training.exam.exam import table_of as eval_table

ROOT = Path(__file__).parents[1]


def shown(table: Table) -> str:
    console = Console(width=80)
    with console.capture() as capture:
        console.print(table)
    assert max(map(len, capture.get().splitlines())) <= 80 and "…" not in capture.get()
    return capture.get()


def test_the_table_of_eval_shows_every_heading_and_figure() -> None:
    scores = {
        name: dict.fromkeys(COLUMNS, 0.123) | {"instances": 123456.0} for name in ("person", "short sleeved shirt")
    }
    scores["person"]["false positives"] = 12.345
    text = shown(eval_table("words", scores, {"categories": ["fly"] * 30, "why": "the weights do not know them"}))
    words = text.split()
    assert all(word in words for heading in COLUMNS for word in heading.replace("@", " @").split())
    assert words.count("0.123") == 2 * len(COLUMNS) - 1 and "12.345" in words and "123456" in words


def test_the_table_of_engine_bench_shows_every_heading_and_figure() -> None:
    timing = Timing([1.2345678] * 3, 123.4, 1.2e-05)
    text = shown(bench_table({"openvino": timing, "inductor": timing, "tensorrt": timing}, "1920x1080, batch 1"))
    for part in ("median ms", "p99 ms", "images/s", "faster", "px from", "eager", "build s", "1234.6", "1e-05"):
        assert part in text


@pytest.mark.parametrize("command", ["", "run", "doctor", "eval", "train", "prompts build", "engine bench", "listen"])
def test_help_is_whole_at_80_columns(command: str) -> None:
    environment = os.environ | {"COLUMNS": "80", "TERMINAL_WIDTH": "80"}
    done = subprocess.run(
        [sys.executable, "run_stream.py", *command.split(), "--help"], cwd=ROOT, env=environment, capture_output=True,
        text=True, check=True,
    )  # fmt: skip
    lines = done.stdout.splitlines()
    assert max(map(len, lines)) <= 80
    told = done.stdout.replace("rtsp://…", "").replace("http://…", "").replace("run_stream.py …", "")
    assert "…" not in told


def commands_of(group: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands_of(command, f"{path}{name} ")
        else:
            yield path + name, command


def test_no_help_loses_what_stands_in_brackets() -> None:
    for name, command in commands_of(typer.main.get_command(app)):
        texts = [command.help, command.epilog, *(parameter.help for parameter in command.params)]
        for text in filter(None, texts):
            bare = text.replace("\\[", "[")
            assert Text.from_markup(text).plain == bare, f"{name}: {text}"


def test_names_that_look_like_markup_are_shown_as_they_are() -> None:
    name = "a[bold]b[/bold] :smiley:"
    scores = {name: dict.fromkeys(COLUMNS, 0.1) | {"instances": 1.0}}
    assert name in " ".join(shown(eval_table("words", scores, {"categories": [name], "why": "so"})).split())
