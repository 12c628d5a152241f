"""How steadily persons are found in real clips: shares of frames with a person's track, and how many identities.

    python benchmarks/real_clips.py CLIP.mp4 PICTURE.jpg … [--models MODELS]

Every frame goes through the real pipeline, shrunk to 640 px before; `--frames` of each. With MoveNet's graphs the
frames count that show a person at least a fifth of the picture high, as MultiPose says of a larger picture, and it is
told on how many of these persons a track lies; else all frames count.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any

import cv2
import numpy as np
import typer

from benchmarks.real import Find, movenet, overlap
from xpose_stream.stream.session import Session
from xpose_stream.stream.sinks.messages import TracksMessage
from xpose_stream.stream.site import Site
from xpose_stream.training.teachers.people import Pixels

WIDTH = 640
CLOSER = (416, 576)  # height and width at which MoveNet looks
SURE, TALL = 0.3, 0.2  # score of a person that counts, and its height in the picture's
ON = 0.3  # IoU of a track that lies on a person


def frames_of(clip: Path, count: int) -> Iterator[Pixels]:
    """The first frames of a clip, blue first, at most WIDTH wide."""
    reader = cv2.VideoCapture(str(clip))
    for _ in range(count):
        read, bgr = reader.read()
        if not read:
            return
        scale = min(1.0, WIDTH / bgr.shape[1])
        size = 2 * round(bgr.shape[1] * scale / 2), 2 * round(bgr.shape[0] * scale / 2)
        yield np.asarray(cv2.resize(bgr, size, interpolation=cv2.INTER_AREA), np.uint8)


def follow(frames: list[Pixels]) -> list[TracksMessage]:
    """What the pipeline says of every frame."""
    messages: list[TracksMessage] = []
    with TemporaryDirectory() as folder:
        clip = Path(folder) / "clip.mp4"
        writer = cv2.VideoWriter(str(clip), cv2.VideoWriter.fourcc(*"mp4v"), 25, frames[0].shape[1::-1])
        for frame in frames:
            writer.write(frame)
        writer.release()

        def keep(frame: Any, message: TracksMessage) -> None:
            messages.append(message)

        Session(Site.of(str(clip), prompt="person")).run(keep)
    return messages


def tall(frame: Pixels, find: Find) -> list[Any]:
    """Boxes of the persons that are surely there and tall."""
    people = find(np.asarray(frame[..., ::-1]))
    return [p.box for p in people if p.score >= SURE and p.box[3] - p.box[1] >= TALL * frame.shape[0]]


def main(
    clips: Annotated[list[Path], typer.Argument()],
    frames: int = 100,
    models: Annotated[Path | None, typer.Option(help="Folder of MoveNet's graphs.")] = None,
) -> None:
    """Print a line for each clip."""
    find = None if models is None else movenet(models, CLOSER)
    for clip in clips:
        pictures = list(frames_of(clip, frames))
        messages = follow(pictures)
        identities = [track.id for message in messages for track in message.tracks]
        shown = [tall(picture, find) for picture in pictures] if find else [[] for _ in pictures]
        counted = [i for i, boxes in enumerate(shown) if boxes or not find]
        any_track = np.mean([bool(messages[i].tracks) for i in counted])
        line = f"{clip.name}: a track in {any_track:.0%} of {len(counted)} frames"
        if find:
            on = [
                any(overlap(box, np.array(track.box)) >= ON for track in messages[i].tracks)
                for i in counted
                for box in shown[i]
            ]
            line += f", on {np.mean(on):.0%} of {len(on)} persons"
        lasting = [identity for identity in set(identities) if identities.count(identity) >= 10]
        print(f"{line}; {len(set(identities))} identities, {len(lasting)} of ten frames or more", flush=True)


if __name__ == "__main__":
    typer.run(main)
