"""A process of its own for Torch-TensorRT over the fake: one case per line of stdin, one report per line of stdout.

A case is JSON: a model's name, what it is called with, the precision, an operation to plant, and whether to emulate.
"""

from __future__ import annotations

import json
import logging
import os
import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import torch
from torch import Tensor, nn

from tests.engines.tensorrt.fake import FakeTensorRT, install
from xpose_stream.engines import load
from xpose_stream.engines.backends.tensorrt import export
from xpose_stream.engines.engine import fold_batch_norms
from xpose_stream.engines.parity import difference
from xpose_stream.engines.xpose import XPose, XPoseConfig, XPoseOutput
from xpose_stream.engines.xpose.likeness import EXTRA

NANO, EYES = "configs/models/xpose-nano.safetensors", "configs/models/xpose-eyes.safetensors"


@dataclass(frozen=True)
class Case:
    """A model and what it is called with."""

    model: str
    height: int
    width: int
    precision: str = "float32"
    classes: int = 1
    keypoints: int = 17
    looks: bool = False
    batch: int = 1
    plant: str = ""
    emulate: bool = False


class Plain(nn.Module):
    """A model with a plain tuple as its answer, and an operation planted after it."""

    def __init__(self, model: nn.Module, plant: str) -> None:
        super().__init__()
        self.model, self.plant = model, plant

    def forward(self, images: Tensor, *prompts: Tensor) -> tuple[Tensor, ...]:
        answer = tuple(part for part in self.model(images, *prompts) if part is not None)
        match self.plant:
            case "boolean index":
                return (*answer, answer[-1][answer[0].amax(-1) > 0])
            case "long topk":
                return (*answer, images.flatten(1).topk(3841).values)
            case "max with index":
                return (*answer, *answer[0].max(-1))
            case "float64":
                return (*answer, (answer[0].double() * 2).float())
        return answer


def model_of(name: str) -> nn.Module:
    """Nano, eyes; Swin-T, whose graph counts and not its weights; a small Swin backbone; or next to nothing."""
    torch.manual_seed(0)
    models: dict[str, Callable[[], nn.Module]] = {
        "nano": lambda: fold_batch_norms(load(NANO).model.eval()),
        "eyes": lambda: fold_batch_norms(load(EYES).model.eval()),
        "swin_t": lambda: XPose(XPoseConfig.swin_t()),
        "windows": lambda: XPose(XPoseConfig.tiny()).backbone,
        "convolution": lambda: nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(2)),
    }
    return models[name]()


def inputs_of(case: Case, model: nn.Module) -> tuple[Tensor, ...]:
    images = torch.randn(case.batch, 3, case.height, case.width)
    if not isinstance(model, XPose):
        return (images,)
    size = model.config.prompt_dim + EXTRA * case.looks
    prompts = torch.randn(case.classes, size), torch.randn(case.classes, case.keypoints, size)
    if case.classes == 1:
        return images, *prompts
    last_lacks_one = torch.ones(case.classes, case.keypoints, dtype=torch.bool)
    last_lacks_one[-1, -1] = False
    return images, *prompts, last_lacks_one


@torch.no_grad()
def report(case: Case, fake: FakeTensorRT) -> dict[str, object]:
    from tests.engines.tensorrt.dryrun import dry_run
    from tests.engines.tensorrt.network import emulate, largest_difference

    model = model_of(case.model)
    inputs = inputs_of(case, model)
    program = export(Plain(model, case.plant), inputs, case.precision)
    found, parts = dry_run(program, inputs)
    if case.emulate and found.one_engine:
        (engine,) = (part for name, part in parts.named_children() if "_run_on_acc" in name)
        taken: list[tuple[Tensor, ...]] = []  # the engine's inputs, in its own order
        engine.register_forward_pre_hook(lambda module, given: taken.append(given))
        wanted = parts(*inputs)
        outputs, found.layers = emulate(fake, engine, taken[0])
        ranked = isinstance(model, XPose) and case.precision == "float16"
        found.error = difference_of_the_best(wanted, outputs) if ranked else largest_difference(wanted, outputs)
    return asdict(found) | {"one_engine": found.one_engine}


def difference_of_the_best(wanted: Sequence[Tensor], found: Sequence[Tensor]) -> float:
    """Of every image's best group: in float16, groups of nearly equal scores change places, and classes with them."""
    below = wanted[0].amax((1, 2), keepdim=True) + 3  # by which no group is a detection
    return max(difference(*(XPoseOutput(part[0] - below, *part[1:]) for part in (wanted, found)), (1, 1)))


def main() -> None:
    answers = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)  # what torch_tensorrt prints is no answer
    fake = install()
    logging.disable(logging.WARNING)
    for line in sys.stdin:
        try:
            answer = report(Case(**json.loads(line)), fake)
        except Exception:
            answer = {"failed": traceback.format_exc()}
        answers.write(json.dumps(answer) + "\n")


if __name__ == "__main__":
    main()
