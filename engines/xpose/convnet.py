"""A small residual convolutional backbone, for models that must run on a CPU."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from xpose_stream.engines.xpose.config import XPoseConfig


class ConvNet(nn.Module):
    """[B, 3, H, W] to maps at strides 8, 16 and 32 with `channels` = the last three widths."""

    def __init__(self, config: XPoseConfig) -> None:
        super().__init__()
        self.channels = config.widths[1:]
        self.stem = conv_norm(3, config.embed_dim, stride=2)
        inputs = (config.embed_dim, *config.widths[:-1])
        self.stages = nn.ModuleList(
            nn.Sequential(Residual(before, width, stride=2), *(Residual(width, width) for _ in range(depth - 1)))
            for before, width, depth in zip(inputs, config.widths, config.depths, strict=True)
        )

    def forward(self, images: Tensor) -> list[Tensor]:
        x = F.relu(self.stem(images))
        maps = []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return maps[1:]


class Residual(nn.Module):
    """Two 3x3 convolutions and a shortcut (He et al., CVPR 2016)."""

    def __init__(self, before: int, width: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = conv_norm(before, width, stride=stride)
        self.conv2 = conv_norm(width, width)
        same = stride == 1 and before == width
        self.shortcut = nn.Identity() if same else conv_norm(before, width, stride=stride, kernel=1)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.conv2(F.relu(self.conv1(x))) + self.shortcut(x))


def conv_norm(before: int, width: int, stride: int = 1, kernel: int = 3) -> nn.Sequential:
    """A convolution without bias and its batch norm."""
    return nn.Sequential(
        nn.Conv2d(before, width, kernel, stride=stride, padding=kernel // 2, bias=False), nn.BatchNorm2d(width)
    )
