"""Where an output is written: under the name that was asked for, or with a number where that is taken."""

from __future__ import annotations

import glob
import re
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from xpose_stream.stream.sinks.sink import TakenError, reach, unwritable

_Opened = TypeVar("_Opened")
_TIME = "%Y%m%dT%H%M%SZ"


def place_of(pattern: str, camera: str) -> Path:
    """`pattern` with the camera's name for {camera} and the time now, such as 20260131T235959Z, for {time}.

    A folder with either in its name is made where it does not exist. Raises SinkError when nothing can be written.
    """
    path = Path(_filled(pattern, camera, time.strftime(_TIME, time.gmtime())))
    if "{" in str(Path(pattern).parent):
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            reach(path)
            raise unwritable(path, error) from None
    return reach(path)


def open_free(path: Path, open_at: Callable[[Path], _Opened]) -> _Opened:
    """What `open_at` opens at the first of tracks.parquet, tracks.2.parquet, tracks.3.parquet, … that nobody has."""
    for place in _numbered(path):
        try:
            return open_at(place)
        except TakenError:
            continue
    raise AssertionError("numbers do not end")


def places_like(pattern: str, camera: str, suffix: str = "") -> list[Path]:
    """The files there are of earlier runs with this pattern and camera, whose names end in `suffix` beyond it."""
    wild = Path(_filled(pattern, camera, "\0"))
    named = f"{re.escape(str(wild.with_suffix('')))}(?:\\.\\d+)?{re.escape(wild.suffix + suffix)}"
    exact = re.compile(named.replace("\0", r"\d{8}T\d{6}Z"))
    found = glob.glob(f"{glob.escape(str(wild.parent))}/*{glob.escape(suffix)}".replace("\0", "*"))
    return [Path(path.removesuffix(suffix)) for path in sorted(found) if exact.fullmatch(str(Path(path)))]


def _filled(pattern: str, camera: str, at: str) -> str:
    return str(Path(pattern.replace("{camera}", camera).replace("{time}", at)))


def _numbered(path: Path) -> Iterator[Path]:
    yield path
    number = 2
    while True:
        yield path.with_name(f"{path.stem}.{number}{path.suffix}")
        number += 1
