"""What a recording holds, on a terminal."""

from __future__ import annotations

import colorsys

import numpy as np
from rich.box import SIMPLE
from rich.console import Console
from rich.style import Style
from rich.table import Table
from rich.text import Text

from xpose_stream.stream.recordings.recording import Recording
from xpose_stream.stream.recordings.rows import BOX, boxes_of
from xpose_stream.stream.recordings.survey import CameraSurvey, Survey, survey

_LISTED = 20  # tracks of a recording
_DOTS = np.array([[0x01, 0x08], [0x02, 0x10], [0x04, 0x20], [0x40, 0x80]])  # of Braille's characters


def show(recording: Recording, console: Console) -> None:
    """Print duration, cameras, tracks, gaps, drops and a picture of the ways that the tracks took."""
    told = survey(recording)
    asked = ", ".join(f"{prompt.name} (version {prompt.version})" for prompt in recording.prompts)
    end = max((camera.end for camera in told.cameras), default=0.0)
    head = f"{recording.path.name}: {_duration(end)}, {len(recording)} rows; looked for: {asked or 'nothing'}"
    console.print(Text(head))  # a Text: what users named is no markup
    console.print(_cameras(told))
    if told.tracks:
        console.print(_tracks(recording, told))
    pictures = {camera.name: _Picture(camera, console.width) for camera in told.cameras}
    for table in recording.blocks(["camera", "track_id", *BOX]):
        table = table.filter(table["track_id"].is_valid())
        cameras = table["camera"].to_numpy()
        boxes, identities = boxes_of(table), table["track_id"].to_numpy()
        for name, picture in pictures.items():
            picture.add(boxes[cameras == name], identities[cameras == name])
    for name, picture in pictures.items():
        if told.tracks:
            console.print(Text(f"{name}: the middles of all boxes"))
            console.print(picture.text())


def _cameras(told: Survey) -> Table:
    table = Table("camera", "picture", "duration", "frames", "dropped", "gap", "epochs", "tracks", "empty")
    table.box, table.padding = SIMPLE, (0, 1, 0, 0)
    for camera in told.cameras:
        sizes = ", ".join(f"{width}x{height}" for width, height in camera.sizes)
        table.add_row(
            *(Text(camera.name), f"{sizes}, {camera.rate:.4g}/s", _duration(camera.end - camera.begin)),
            *(str(camera.frames), str(camera.dropped), f"{camera.gap:.3g} s", str(camera.epochs)),
            *(str(len(camera.tracks)), f"{camera.empty / camera.frames:.0%}"),
        )
    table.caption = "dropped: frames not looked at; gap: longest time without a frame; empty: frames without a track"
    return table


def _tracks(recording: Recording, told: Survey) -> Table:
    longest = sorted(told.tracks, key=lambda track: track.rows, reverse=True)
    more = f", the longest {_LISTED} of {len(longest)}" if len(longest) > _LISTED else ""
    table = Table(
        "track", "camera", "category", "from", "duration", "frames", "missing", box=SIMPLE, title=f"tracks{more}"
    )
    for track in longest[:_LISTED]:
        missing = track.last_frame - track.first_frame + 1 - track.rows
        name = recording.categories[track.category].name
        table.add_row(
            *(
                str(track.id),
                Text(track.camera),
                Text(name),
                _duration(track.begin),
                _duration(track.end - track.begin),
            ),
            *(str(track.rows), str(missing)),
        )
    return table


def _duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}"


class _Picture:
    """The frame of a camera in characters of 2 x 4 dots, with a dot wherever a box's middle was."""

    def __init__(self, camera: CameraSurvey, columns: int) -> None:
        self._width, self._height = camera.sizes[-1]
        self._columns = min(columns - 2, 72)
        self._lines = max(1, round(self._columns * self._height / self._width / 2))
        self._cells = np.zeros((self._lines, self._columns), int)
        self._owner = np.zeros((self._lines, self._columns), np.int64)

    def add(self, boxes: np.ndarray, identities: np.ndarray) -> None:
        """Boxes [N, 4] px of the tracks [N]."""
        x = (boxes[:, 0] + boxes[:, 2]) / 2 / self._width * self._columns * 2
        y = (boxes[:, 1] + boxes[:, 3]) / 2 / self._height * self._lines * 4
        inside = (x >= 0) & (x < self._columns * 2) & (y >= 0) & (y < self._lines * 4)
        x, y = x[inside].astype(int), y[inside].astype(int)
        np.bitwise_or.at(self._cells, (y // 4, x // 2), _DOTS[y % 4, x % 2])
        self._owner[y // 4, x // 2] = identities[inside]

    def text(self) -> Text:
        """With a border, each track in a colour of its own."""
        edge = "─" * self._columns
        text = Text(f"┌{edge}┐\n")
        for cells, owners in zip(self._cells.tolist(), self._owner.tolist(), strict=True):
            text.append("│")
            for cell, owner in zip(cells, owners, strict=True):
                text.append(chr(0x2800 + cell) if cell else " ", _style(owner) if cell else None)
            text.append("│\n")
        return text.append(f"└{edge}┘")


def _style(identity: int) -> Style:
    red, green, blue = (round(255 * part) for part in colorsys.hsv_to_rgb(identity * 0.618034 % 1.0, 0.8, 1.0))
    return Style(color=f"#{red:02x}{green:02x}{blue:02x}")
