"""Weights to begin with: MoveNet's body with the rows of its heads under the words they stand for, nano's transformer.

    python -m xpose_stream.training.pretrained.surgery --graph MODELS/movenet-multipose.json --pictures FOLDER \\
        --weights configs/models/xpose-nano.safetensors --out out/start.safetensors

"person" and its 17 keypoints mean MoveNet's own last layers exactly; all other words mean nothing yet. The decoder
moves nothing at first.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import cv2
import numpy as np
import torch
import typer
from torch import Tensor, nn
from torch.nn import functional as F

from xpose_stream.engines.checkpoint import Checkpoint, load, save
from xpose_stream.engines.prompts.prompt import find_skeletons, instance_text, keypoint_text, skeleton_files
from xpose_stream.engines.prompts.skeleton import Skeleton
from xpose_stream.engines.xpose import XPose, XPoseConfig
from xpose_stream.engines.xpose.guess import PLACE, THING, Guess
from xpose_stream.engines.xpose.mobilenet import HIDDEN, NARROW, MobileNet
from xpose_stream.training.data.batches import normalise
from xpose_stream.training.learning.initialise import initialise
from xpose_stream.training.pretrained.movenet import HEADS, MoveNet, read_movenet

KEPT = ("center", "kpt_heatmap", "kpt_regress", "box_scale", "box_offset")  # heads, in the order of the backbone
ABSENT = -7.0  # logit of a centre or a keypoint of what is not known
WIDE = 1.2  # ln of how much farther than MoveNet's keypoints others may be from where they are expected
NEW = ("backbone.", "input_proj.", "guess.", "decided")
STILL = ("bbox_embed", "pose_embed", "pose_hw_embed", "enc_out_bbox_embed")


def begin(net: MoveNet, nano: Checkpoint, pictures: Sequence[Path]) -> Checkpoint:
    """A model with the backbone, the rows, and nano's transformer and words."""
    assert nano.text_encoder is not None
    skeletons = find_skeletons([name for name in nano.text_encoder.categories if name in skeleton_files()])
    words = list(dict.fromkeys(keypoint_text(k) for s in skeletons for k in s.keypoints))
    config = replace(XPoseConfig.eyes(), guess=(len(skeletons), len(words)), score="sure", overlap=0.5)
    config = replace(config, visual_layers=nano.model.config.visual_layers, confidence="learned")
    model = XPose(config)
    initialise(model)
    kept = {name: t for name, t in nano.model.state_dict().items() if not name.startswith(NEW)}
    model.load_state_dict(kept, strict=False)
    assert isinstance(model.backbone, MobileNet) and model.guess is not None
    with torch.no_grad():
        _take_body(model.backbone, net)
        _whiten(model.backbone, pictures, (config.short_side, config.long_side))
        _take_rows(model.guess, net, nano, skeletons, words)
        _fit_levels(model, nano.model, pictures, (config.short_side, config.long_side))
        for name in STILL:
            last = getattr(model, name).layers[-1]
            nn.init.zeros_(last.weight)
            nn.init.zeros_(last.bias)
        assert isinstance(model.guess.trust, nn.Linear)
        nn.init.zeros_(model.guess.trust.weight)
        nn.init.zeros_(model.guess.trust.bias)
    return Checkpoint(model.eval(), nano.text_encoder, {"begin": "MoveNet MultiPose and xpose-nano"})


def _take_body(backbone: MobileNet, net: MoveNet) -> None:
    state = net.body.state_dict()
    order = torch.tensor([HEADS.index(head) for head in KEPT])
    for name, width in (("depthwise", NARROW), ("pointwise", HIDDEN)):
        for part in ("weight", "bias"):
            key = f"hidden.{name}.{part}"
            state[key] = state[key].unflatten(0, (len(HEADS), width))[order].flatten(0, 1)
    backbone.body.load_state_dict(state)


def _whiten(backbone: MobileNet, pictures: Sequence[Path], size: tuple[int, int]) -> None:
    """Gains and offsets so that every channel has mean 0 and spread 1 over these pictures."""
    sums = [torch.zeros(2, c, dtype=torch.float64) for c in backbone.channels]
    count = [0] * len(sums)
    for path in pictures:
        image = _read(path, size)
        for i, raw in enumerate(backbone.raw(backbone.body(backbone.scaled(image)))):
            flat = raw[0].flatten(1).double()
            sums[i] += torch.stack((flat.sum(1), flat.square().sum(1)))
            count[i] += flat.shape[1]
    mean, square = (torch.cat([s[row] / n for s, n in zip(sums, count, strict=True)]) for row in (0, 1))
    gain = 1 / (square - mean.square()).clamp(min=1e-6).sqrt()
    backbone.gain.copy_(gain)
    backbone.offset.copy_(-mean * gain)


def _fit_levels(model: XPose, nano: XPose, pictures: Sequence[Path], size: tuple[int, int]) -> None:
    """Project the maps to what comes nearest to nano's levels (least squares), so that its transformer sees its own."""
    pairs = [(_two(new), _two(old)) for new, old in zip(model.input_proj, nano.input_proj, strict=True)]
    for project, own in pairs:
        project.load_state_dict({n: t for n, t in own.state_dict().items() if n.startswith("1.")}, strict=False)
    sums: list[list[Tensor | float]] = [[0.0, 0.0] for _ in model.input_proj]
    for path in pictures:
        image = _read(path, size)
        maps, wanted = model.backbone(image)[: len(sums)], nano.eval().backbone(image)
        for kept, seen, (_, project), level in zip(sums, maps, pairs, wanted, strict=True):
            x, y = F.pad(seen[0].flatten(1).T, (0, 1), value=1.0).double(), project[0](level)[0].flatten(1).T.double()
            kept[0], kept[1] = kept[0] + x.T @ x, kept[1] + x.T @ y
    for kept, (project, _) in zip(sums, pairs, strict=True):
        layer = project[0]
        assert isinstance(layer, nn.Conv2d) and layer.bias is not None
        square = torch.as_tensor(kept[0])
        solved = torch.linalg.solve(square + torch.eye(len(square)) * square.diagonal().mean() * 1e-3, kept[1]).float()
        layer.weight.copy_(solved[:-1].T[:, :, None, None])
        layer.bias.copy_(solved[-1])


def _two(module: nn.Module) -> nn.Sequential:
    """A projection: a convolution and its norm."""
    assert isinstance(module, nn.Sequential)
    return module


def _read(path: Path, size: tuple[int, int]) -> Tensor:
    bgr: Any = cv2.imread(str(path))
    bgr = cv2.resize(bgr, size[::-1], interpolation=cv2.INTER_AREA)
    return normalise(torch.from_numpy(np.ascontiguousarray(bgr[None, ..., ::-1])))


def _take_rows(
    guess: Guess, net: MoveNet, nano: Checkpoint, skeletons: Sequence[Skeleton], words: Sequence[str]
) -> None:
    """MoveNet's last layers for persons; for others nothing, but where nano expects their keypoints."""
    encoder = nano.text_encoder
    assert encoder is not None
    things = [instance_text(skeleton.category) for skeleton in skeletons]
    guess.things.anchors.copy_(F.normalize(encoder(things), dim=-1))
    meanings = encoder(words)
    guess.places.anchors.copy_(F.normalize(meanings, dim=-1))

    thing, nothing = guess.things.start, guess.things.nothing
    part = _parts(thing, THING)
    part["centre"][:, -1] = ABSENT
    _parts(nothing, THING)["centre"][-1] = ABSENT - 1
    person = things.index("person")
    guess.things.free[person] = 0.0
    part["centre"][person] = _with_bias(*net.rows["center"])[0]
    box = part["box"][person].view(4, -1)
    for rows, head, first in ((box[:2], "box_offset", HIDDEN), (box[2:], "box_scale", 0)):
        weight, bias = net.rows[head]
        rows[:, first : first + HIDDEN], rows[:, -1] = weight, bias

    place = _parts(guess.places.start, PLACE)
    _parts(guess.places.nothing, PLACE)["heat"][-1] = ABSENT - 1
    own = [words.index(keypoint_text(k)) for k in skeletons[person].keypoints]
    place["heat"][own] = _with_bias(*net.rows["kpt_heatmap"])
    place["shift"][own] = _with_bias(*net.rows["kpt_regress"]).view(len(own), -1)
    guess.places.free[own] = 0.0
    others = [i for i in range(len(words)) if i not in own]
    place["heat"][others, -1], place["reach"][others] = ABSENT, WIDE
    seeds = nano.model.projection_kpt(meanings[others])
    place["place"][others] = torch.sigmoid(nano.model.pose_embed(seeds)) - 0.5


def _parts(rows: Tensor, sizes: dict[str, int]) -> dict[str, Tensor]:
    return dict(zip(sizes, rows.split(list(sizes.values()), -1), strict=True))


def _with_bias(weight: Tensor, bias: Tensor) -> Tensor:
    return torch.cat((weight, bias.unsqueeze(1)), 1)


def main(
    graph: Annotated[Path, typer.Option(help="MoveNet MultiPose, as .json.")],
    pictures: Annotated[list[Path], typer.Option(help="Folders of photographs, to whiten by.")],
    weights: Annotated[Path, typer.Option(help="Weights whose transformer and words it begins with.")],
    out: Annotated[Path, typer.Option(help="The weights to write.")],
    count: Annotated[int, typer.Option(help="Photographs of a folder.")] = 60,
) -> None:
    """Write the weights that a training begins with."""
    files = [file for folder in pictures for file in sorted(folder.glob("*.jpg"))[:: 7][:count]]
    made = begin(read_movenet(graph), load(weights), files)
    save(out, made)


if __name__ == "__main__":
    typer.run(main)
