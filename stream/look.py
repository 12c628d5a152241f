"""One look at a source: what is detected in a single frame, told and drawn, although nothing is tracked."""

from __future__ import annotations

import os
from pathlib import Path

import cv2
import numpy as np
from rich.table import Table
from rich.text import Text

from xpose_stream.engines import DEFAULT, build_engine, load, prompts_for
from xpose_stream.stream.detector import Detector
from xpose_stream.stream.sinks.messages import TracksMessage
from xpose_stream.stream.sinks.overlay import draw
from xpose_stream.stream.sinks.sink import SinkError, claim
from xpose_stream.stream.sources import SourceError, open_source
from xpose_stream.stream.still import Finder
from xpose_stream.trackers import TrackerConfig

_SURE = 0.5  # score from which a keypoint is counted as seen


def look(
    source: str, prompt: str, out: Path, weights: str | Path | None = None, clip: str | Path | None = None
) -> TracksMessage:
    """What a stream would begin to track in the first frame of `source`, drawn into the picture `out`.

    Raises UserError when something of it cannot be had or written.
    """
    if out.suffix.lower() not in (".jpg", ".jpeg", ".png"):
        raise SinkError(f"{out} is no picture to write; let it end in .jpg or .png")
    claim(out, overwrite=True)
    checkpoint = load(weights or DEFAULT)
    prompts = prompts_for(checkpoint, prompt, clip)
    engine = build_engine(checkpoint.model, backend="eager", precision="float32")  # nothing is built for one picture
    tracker = TrackerConfig(**checkpoint.tracker)
    with open_source(source) as frames:
        frame = next(iter(frames), None)
    if frame is None:
        raise SourceError(f"{frames.reader.name} has no picture to look at")
    message = Finder(Detector(engine, prompts), tracker.high_score)(frame)
    if not cv2.imwrite(str(out), draw(frame.to_rgb(), message)[..., ::-1]):
        raise SinkError(f"cannot write {out}; choose another --out")
    return message


def table_of(message: TracksMessage) -> Table:
    """One line for each thing that was found, best first."""
    names = {category.id: category for category in message.categories}
    title = f"{len(message.tracks)} found in {message.width}x{message.height}, looking for {message.prompt.name}"
    table = Table("#", "what", "score", "keypoints seen", "box, px", title=Text(title))
    for track in message.tracks:
        scores = [score for score in track.keypoint_scores or [] if score is not None]
        seen = f"{sum(score >= _SURE for score in scores)} of {len(track.keypoints)}"
        box = ", ".join(f"{value:.0f}" for value in track.box)
        table.add_row(str(track.id), Text(names[track.category].name), f"{track.score:.2f}", seen, box)
    return table


def show(picture: Path) -> None:
    """Show it in a window until a key is pressed, where there is a display and an OpenCV that has windows."""
    if not (os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY")):
        return
    try:
        cv2.imshow(f"{picture} (any key closes)", np.asarray(cv2.imread(str(picture))))
        cv2.waitKey(0)
        cv2.destroyAllWindows()
    except cv2.error:  # the headless build, which is installed by default
        return
