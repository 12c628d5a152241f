"""What is in a picture: the model without a stream."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from xpose_stream.engines import DEFAULT, build_engine, load
from xpose_stream.found import Found
from xpose_stream.prompting import Asked, embedded
from xpose_stream.stream.detector import Detector as Model
from xpose_stream.stream.preprocess import Preprocessor
from xpose_stream.stream.sources.arrays import picture_of
from xpose_stream.stream.sources.frame import Frame
from xpose_stream.stream.still import message_of
from xpose_stream.trackers import TrackerConfig


class Detector:
    """Finds what `prompt` asks for in single pictures, with scores that would begin a track; nothing is tracked.

    prompt     categories in words, "person, dog"; the path of a prompt file or bank; or one of `example`,
               or several.
    weights    a checkpoint; those of the package by default.
    engine, precision, clip  as of `xpose-stream run`.

    Raises Error when the prompt is unknown to the weights or something cannot be read.
    """

    def __init__(
        self,
        prompt: Asked = "person",
        *,
        weights: str | Path = DEFAULT,
        engine: str = "auto",
        precision: str = "auto",
        clip: str | Path | None = None,
    ) -> None:
        checkpoint = load(weights)
        runner = build_engine(checkpoint.model, backend=engine, precision=precision)
        self._model = Model(runner, embedded(prompt, checkpoint, clip))
        self._least = TrackerConfig(**checkpoint.tracker).high_score  # with which a stream would begin a track
        self._preprocess = Preprocessor(runner.config.short_side, runner.config.long_side, runner.device)

    def __call__(self, image: Any) -> Found:
        """What is in an array uint8 [height, width, 3], red first; best first, px of the picture.

        Raises Error for an array of another kind.
        """
        frame = Frame.still(picture_of(image))
        seen = self._preprocess(frame)
        self._model.ready(seen)
        detections = self._model([seen], [frame])[0]
        return Found(message_of(frame, detections[detections.usable(self._least)], self._model))
