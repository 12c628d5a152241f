"""MobileNetV2 with a feature pyramid, and hidden layers of heads at stride 4: the body of MoveNet as a backbone.

Sources: Sandler et al., MobileNetV2 (CVPR 2018); Lin et al., Feature Pyramid Networks (CVPR 2017); Votel and Li,
MoveNet (2021). The weights come from MoveNet's public files, see `training/pretrained`.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from xpose_stream.engines.xpose.config import XPoseConfig

STRIDES = (1, 2, 1, 2, 1, 1, 2, 1, 1, 1, 1, 1, 1, 2, 1, 1, 1)  # of the blocks
TAPS = (2, 5, 9, 12, 16)  # the last blocks at strides 4, 8, 16 (two widths) and 32
TOP, PYRAMID = 1280, (64, 64, 32, 24)  # width above the blocks; of the pyramid's lateral inputs at strides 32 to 4
SMOOTHED = (32, 24, 24)  # widths of the pyramid's maps at strides 16, 8 and 4
CELL = 32  # px that the coarsest map's cells measure
NARROW, HIDDEN = SMOOTHED[-1], 96  # width of what every head's hidden layer is made of, and its own
EVERYWHERE = 2  # heads, the first ones, that are asked of every cell; the others of few
MEAN, SPREAD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of the images that are given


class Seen(NamedTuple):
    """What the backbone sees in B images."""

    blocks: tuple[Tensor, ...]  # the TAPS: [B, c, h, w] at strides 4, 8, 16, 16 and 32
    pyramid: tuple[Tensor, ...]  # at strides 32, 16, 8 and 4; heads look at the last


class Conv(nn.Module):
    """A convolution as TensorFlow pads it (SAME), its batch norm folded in; frozen, so its weights are buffers.

    Of an even input SAME lets a stride of 2 begin on the first pixel and reach one beyond the last.
    """

    weight: Tensor
    bias: Tensor

    def __init__(self, before: int, width: int, kernel: int = 1, stride: int = 1, groups: int = 1) -> None:
        super().__init__()
        self.stride, self.groups, self.padding = stride, groups, kernel // 2
        self.register_buffer("weight", torch.zeros(width, before // groups, kernel, kernel))
        self.register_buffer("bias", torch.zeros(width))

    def forward(self, x: Tensor) -> Tensor:
        if self.stride == 1:
            return F.conv2d(x, self.weight, self.bias, padding=self.padding, groups=self.groups)
        return F.conv2d(F.pad(x, (0, 1, 0, 1)), self.weight, self.bias, self.stride, groups=self.groups)


class Block(nn.Module):
    """An inverted residual: wider, 3x3 per channel, narrow again."""

    def __init__(self, before: int, width: int, stride: int, expand: bool) -> None:
        super().__init__()
        inner = before * 6 if expand else before
        self.expand = Conv(before, inner) if expand else None
        self.depthwise = Conv(inner, inner, 3, stride, groups=inner)
        self.project = Conv(inner, width)
        self.same = stride == 1 and before == width

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu6(self.expand(x)) if self.expand is not None else x
        y = self.project(F.relu6(self.depthwise(y)))
        return x + y if self.same else y


class Separable(nn.Module):
    """3x3 per channel, then across the channels of each group, then ReLU."""

    def __init__(self, before: int, width: int, groups: int = 1) -> None:
        super().__init__()
        self.depthwise = Conv(before, before, 3, groups=before)
        self.pointwise = Conv(before, width, groups=groups)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.pointwise(self.depthwise(x)))


class MoveNetBody(nn.Module):
    """Images [B, 3, H, W] in -1..1 to what is `Seen`; H and W are multiples of `CELL`.

    `widths` are those of the stem and of the 17 blocks.
    """

    def __init__(self, widths: tuple[int, ...], heads: int) -> None:
        super().__init__()
        self.stem = Conv(3, widths[0], 3, stride=2)
        pairs = zip(widths[:-1], widths[1:], STRIDES, strict=True)
        self.blocks = nn.ModuleList(Block(*pair, expand=i > 0) for i, pair in enumerate(pairs))
        self.top = Conv(widths[-1], TOP)
        taps = [TOP, *(widths[1 + i] for i in (TAPS[2], TAPS[1], TAPS[0]))]
        self.lateral = nn.ModuleList(Conv(before, width) for before, width in zip(taps, PYRAMID, strict=True))
        self.smooth = nn.ModuleList(Separable(a, b) for a, b in zip(PYRAMID[1:], SMOOTHED, strict=True))
        self.hidden = Separable(NARROW * heads, HIDDEN * heads, groups=heads)

    def forward(self, x: Tensor) -> Seen:
        x = F.relu6(self.stem(x))
        kept = []
        for i, block in enumerate(self.blocks):
            x = block(x)
            if i in TAPS:
                kept.append(x)
        pyramid = [self.lateral[0](F.relu6(self.top(x)))]
        for lateral, smooth, fine in zip(self.lateral[1:], self.smooth, (kept[2], kept[1], kept[0]), strict=True):
            large = F.interpolate(pyramid[-1], scale_factor=2.0, mode="bilinear", align_corners=False)
            pyramid.append(smooth(large + lateral(fine)))
        return Seen(tuple(kept), tuple(pyramid))

    def around(self, fine: Tensor) -> list[Tensor]:
        """What each head makes of the surroundings of the finest map's cells: [B, NARROW, h, w] at stride 4."""
        layer = self.hidden.depthwise
        parts = zip(layer.weight.split(NARROW), layer.bias.split(NARROW), strict=True)
        return [F.conv2d(fine, *part, padding=layer.padding, groups=NARROW) for part in parts]

    def deepen(self, around: list[Tensor]) -> list[Tensor]:
        """Hidden layers [B, HIDDEN, h, w] of as many heads, the first ones."""
        layer = self.hidden.pointwise
        weights, biases = (part.split(HIDDEN)[: len(around)] for part in (layer.weight, layer.bias))
        return [F.relu(F.conv2d(*part)) for part in zip(around, weights, biases, strict=True)]

    def rows(self, batch: int) -> Tensor:
        """What makes hidden layers of what is around, a bias last: [B, heads * HIDDEN, NARROW + 1]."""
        layer = self.hidden.pointwise
        return torch.cat((layer.weight[:, :, 0, 0], layer.bias.unsqueeze(1)), 1).expand(batch, -1, -1)


class MobileNet(nn.Module):
    """Images to maps at strides 8, 16 and 32 for tokens, then to what `guess` looks at.

    The finest map takes the pyramid's map of stride 4 as well, its cells beside each other. All maps are whitened on
    photographs: their channels' spreads run from .02 to 147.
    """

    gain: Tensor
    offset: Tensor
    scale: Tensor
    shift: Tensor

    def __init__(self, config: XPoseConfig) -> None:
        super().__init__()
        widths = config.widths
        self.body = MoveNetBody(widths, heads=5)
        fine, middle, coarse = widths[1 + TAPS[1]], widths[1 + TAPS[3]], widths[1 + TAPS[4]]
        self.channels = (fine + SMOOTHED[1] + 4 * SMOOTHED[2], middle + SMOOTHED[0], coarse + PYRAMID[0])
        self.register_buffer("gain", torch.ones(sum(self.channels)))
        self.register_buffer("offset", torch.zeros(sum(self.channels)))
        mean, spread = torch.tensor(MEAN), torch.tensor(SPREAD)
        self.register_buffer("scale", spread * 2, persistent=False)
        self.register_buffer("shift", mean * 2 - 1, persistent=False)

    def forward(self, images: Tensor) -> list[Tensor]:
        with torch.no_grad(), torch.autocast(images.device.type, enabled=False):
            size = int(images.shape[-2]), int(images.shape[-1])
            beyond = -size[1] % CELL, -size[0] % CELL
            seen = self.body(F.pad(self.scaled(images.float()), (0, beyond[0], 0, beyond[1])))
            parts = zip(self.raw(seen), self.gain.split(self.channels), self.offset.split(self.channels), strict=True)
            maps = [x * gain.view(-1, 1, 1) + offset.view(-1, 1, 1) for x, gain, offset in parts]
            around = self.body.around(seen.pyramid[-1])
            hidden, later = self.body.deepen(around[:EVERYWHERE]), torch.cat(around[EVERYWHERE:], 1)
            strides = (8, 16, 32, 4, 4, 4, 4, 8, 16, 16)
            every = zip((*maps, *hidden, later, *seen.blocks[:4]), strides, strict=True)
            found = [x[..., : -(-size[0] // stride), : -(-size[1] // stride)] for x, stride in every]
            return [*found[:6], self.body.rows(len(images))[:, EVERYWHERE * HIDDEN :], *found[6:]]

    def scaled(self, images: Tensor) -> Tensor:
        """Normalised images as the body takes them, in -1..1."""
        scale, shift = (part.repeat(images.shape[-1]) for part in (self.scale, self.shift))  # a row of pixels' at once
        lines = images.permute(0, 2, 3, 1).flatten(2) * scale + shift
        return lines.unflatten(2, (-1, 3)).permute(0, 3, 1, 2)

    def raw(self, seen: Seen) -> list[Tensor]:
        """The maps before they are whitened."""
        (_, fine, _, middle, coarse), (top, p16, p8, p4) = seen.blocks, seen.pyramid
        return [torch.cat((fine, p8, beside(p4)), 1), torch.cat((middle, p16), 1), torch.cat((coarse, top), 1)]


def beside(map: Tensor) -> Tensor:
    """Each square of four cells of a map as one, its cells beside each other: `F.pixel_unshuffle`, channels last."""
    squares = map.permute(0, 2, 3, 1).unflatten(2, (-1, 2)).unflatten(1, (-1, 2))  # B, h / 2, 2, w / 2, 2, c
    return squares.permute(0, 1, 3, 5, 2, 4).flatten(3).permute(0, 3, 1, 2)
