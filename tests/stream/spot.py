"""A bright spot that wanders, and a test engine that finds it: fast, and right or wrong for all to see."""

from __future__ import annotations

import time
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import torch
from torch import Tensor

from xpose_stream.engines import PinnedPrompts, PromptBank
from xpose_stream.engines.prompts.bank import SKELETONS, Skeleton
from xpose_stream.engines.xpose import XPoseConfig, XPoseOutput
from xpose_stream.stream.sources.frame import Frame

SIDE = 1 / 6  # of the spot, in heights of the picture
PERIOD = 12.0  # s


def spot_at(number: int, rate: float) -> tuple[float, float]:
    """Centre of the spot in 0..1 of the picture."""
    turn = 2 * np.pi * number / rate / PERIOD
    return 0.5 + 0.3 * np.cos(turn), 0.5 + 0.3 * np.sin(turn)


def write_spot_clip(
    path: Path, seconds: float = 10, size: tuple[int, int] = (320, 240), rate: int = 15, key_every: int = 15
) -> Path:
    """Write a clip of the spot as H.264."""
    width, height = size
    noise = np.random.default_rng(0).integers(30, 60, (height, width, 3), dtype=np.uint8)
    with av.open(path, "w") as container:
        stream = container.add_stream("libx264", rate=rate)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.options = {"preset": "veryfast", "crf": "26", "bf": "0", "g": str(key_every)}
        for number in range(round(seconds * rate)):
            picture = noise.copy()
            x, y = spot_at(number, rate)
            half = SIDE * height / 2
            rows = slice(round(y * height - half), round(y * height + half))
            picture[rows, round(x * width - half) : round(x * width + half)] = 230
            frame = av.VideoFrame.from_ndarray(picture, "rgb24")
            frame.pts, frame.time_base = number, Fraction(1, rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def repeat(clip: Path, path: Path, times: int) -> Path:
    """Write the clip `times` times in a row, without encoding it again."""
    with av.open(str(clip)) as source, av.open(str(path), "w") as copy:
        video = source.streams.video[0]
        read = [packet for packet in source.demux(video) if packet.dts is not None]
        packets = [(bytes(p), p.pts or 0, p.dts or 0, p.duration or 0, p.is_keyframe) for p in read]
        assert video.time_base
        stream = copy.add_stream_from_template(video)
        length = packets[-1][1] + packets[-1][3]
        for turn in range(times):
            for data, pts, dts, duration, key in packets:
                packet = av.Packet(data)
                packet.pts, packet.dts, packet.duration = pts + turn * length, dts + turn * length, duration
                packet.is_keyframe, packet.time_base, packet.stream = key, video.time_base, stream
                copy.mux(packet)
    return path


def spot_in(frame: Frame) -> tuple[float, float] | None:
    """Centre in px of what is bright in a frame; None when nothing is."""
    rows, columns = np.nonzero(frame.to_rgb().mean(axis=2) > 150)
    return (columns.mean() + 0.5, rows.mean() + 0.5) if len(rows) else None


class SpotEngine:
    """Answers one detection per image: the box of what is bright, all keypoints in its centre. Takes `pause` s."""

    device = torch.device("cpu")
    config = XPoseConfig.nano()
    patience = 1.0

    def __init__(self, pause: float = 0.0) -> None:
        self.pause = pause
        self.batches: list[int] = []

    def pin(self, instances: Tensor, keypoints: Tensor, keypoint_mask: Tensor) -> PinnedPrompts:
        """See Engine."""
        return PinnedPrompts(instances, keypoints, None)

    def prepare(self, images: Tensor, prompts: PinnedPrompts, beside: bool = False) -> str:
        """See Engine."""
        return "spot"

    def __call__(self, images: Tensor, prompts: PinnedPrompts) -> XPoseOutput:
        """See Engine."""
        if self.pause:
            time.sleep(self.pause)
        count, classes, points = len(images), *prompts.keypoints.shape[:2]
        self.batches.append(count)
        boxes = torch.zeros(count, 1, 4)
        logits = torch.full((count, 1, classes), -9.0)
        height, width = images.shape[2:]
        for row, image in enumerate(images.numpy()):
            bright = image[1] > 0.6
            columns, rows = np.flatnonzero(bright.any(0)), np.flatnonzero(bright.any(1))
            if len(rows):
                x0, y0, x1, y1 = columns[0], rows[0], columns[-1] + 1, rows[-1] + 1
                centre = ((x0 + x1) / 2 / width, (y0 + y1) / 2 / height)
                boxes[row, 0] = torch.tensor((*centre, (x1 - x0) / width, (y1 - y0) / height))
                logits[row, 0, 0] = 4.0
        return XPoseOutput(logits, boxes, boxes[:, :, None, :2].expand(count, 1, points, 2))


def spot_prompts() -> PromptBank:
    """A prompt for the SpotEngine: persons."""
    person = Skeleton.load(SKELETONS / "person.yaml")
    k = len(person.keypoints)
    mask = torch.ones(1, k, dtype=torch.bool)
    return PromptBank("person", 1, (person,), torch.zeros(1, 512), torch.zeros(1, k, 512), mask, "none", "none")
