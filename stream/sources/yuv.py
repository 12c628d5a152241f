"""YUV planes to RGB of another size in one go, on any device: planes are resized as they are, then mixed.

Resizing and the colour matrix are both linear, so their order does not matter but for clipping; this way the full-size
RGB picture never exists, chroma keeps its resolution, and a GPU gets the 1.5 bytes per pixel that the decoder gave.
"""

from __future__ import annotations

import av
import numpy as np
import torch
from av.video.reformatter import ColorRange, Colorspace
from torch import Tensor
from torch.nn import functional as F

from xpose_stream.stream.sources.colour import YCGCO, scaler_colorspace

_PLANAR = {"yuv420p", "yuvj420p", "yuv422p", "yuvj422p", "yuv444p", "yuvj444p"}
_SPLIT = {"nv12", *_PLANAR}
_BT601 = (0.299, 0.114)  # what FFmpeg assumes where nothing is said
_BT2020 = (0.2627, 0.0593)
# Of red, of blue, by H.273's number of the matrix. BT.2020's is the nearest to 10, 14 and 15 (constant luminance,
# ICtCp, IPT), which are no matrices at all.
_LUMA_WEIGHTS = {1: (0.2126, 0.0722), 4: (0.30, 0.11), 7: (0.212, 0.087)} | dict.fromkeys((9, 10, 14, 15), _BT2020)
_BY_PRIMARIES = (12, 13)
_YCGCO_TO_RGB = ((1.0, -1.0, 1.0), (1.0, 1.0, 0.0), (1.0, -1.0, -1.0))  # of Y, Cg, Co
_WEIGHTS_OF_PRIMARIES = {1: (0.2126, 0.0722), 9: _BT2020, 11: (0.2095, 0.0689), 12: (0.2290, 0.0793)}


def planar(picture: av.VideoFrame) -> av.VideoFrame:
    """`picture` if `planes_of` can take it apart (8 bit planar YUV or nv12), else converted by FFmpeg."""
    if picture.format.name in _SPLIT:
        return picture
    if picture.colorspace == YCGCO:
        plain = picture.reformat(format="yuv444p", src_colorspace=Colorspace.ITU601, dst_colorspace=Colorspace.ITU601)
        plain.colorspace = YCGCO
        return plain
    return picture.reformat(
        format="yuv444p",
        src_colorspace=scaler_colorspace(picture),
        dst_colorspace=Colorspace.ITU601,
        dst_color_range=ColorRange.JPEG,
    )


def planes_of(picture: av.VideoFrame) -> list[Tensor]:
    """Planes Y, U, V of a `planar` picture, uint8 [rows, columns] each: views of the decoder's memory."""
    planes = [_rows(plane) for plane in picture.planes]
    if picture.format.name == "nv12":
        pairs = planes[1].reshape(len(planes[1]), -1, 2)
        planes = [planes[0], pairs[..., 0], pairs[..., 1]]
    return [plane[:, : component.width] for plane, component in zip(planes, picture.format.components, strict=True)]


def _rows(plane: av.video.plane.VideoPlane) -> Tensor:
    pixels: np.ndarray = np.frombuffer(plane, np.uint8)  # type: ignore[call-overload]  # a plane is a buffer
    return torch.from_numpy(pixels).view(-1, plane.line_size)[: plane.height]


def resize(planes: list[Tensor], size: tuple[int, int]) -> Tensor:
    """Planes as one picture YUV [3, height, width] of `size` (width, height): antialiased bilinear, like Pillow's."""
    shape = size[::-1]
    return torch.cat([F.interpolate(p[None, None].float(), shape, mode="bilinear", antialias=True)[0] for p in planes])


def to_rgb(yuv: Tensor, picture: av.VideoFrame) -> Tensor:
    """RGB float [3, height, width] in 0..255 of YUV of the same shape, by the matrix and range of `picture`."""
    matrix, offset = (tensor.to(yuv.device) for tensor in colour_matrix(picture))
    return (matrix @ yuv.flatten(1) + offset.unsqueeze(1)).clamp_(0, 255).view_as(yuv)


def colour_matrix(picture: av.VideoFrame) -> tuple[Tensor, Tensor]:
    """Matrix [3, 3] and offset [3] that turn 8 bit (Y, U, V) of `picture` into (R, G, B) in 0..255 (ITU-T H.273)."""
    matrix = torch.tensor(_YCGCO_TO_RGB) if picture.colorspace == YCGCO else _from_weights(*_weights(picture))
    full = picture.color_range == ColorRange.JPEG or picture.format.name.startswith("yuvj")
    luma, chroma, black = (1.0, 1.0, 0.0) if full else (255 / 219, 255 / 224, 16.0)
    matrix = matrix * torch.tensor([luma, chroma, chroma])
    return matrix, -matrix @ torch.tensor([black, 128.0, 128.0])


def _weights(picture: av.VideoFrame) -> tuple[float, float]:
    if picture.colorspace in _BY_PRIMARIES:
        return _WEIGHTS_OF_PRIMARIES.get(picture.color_primaries, _BT601)
    return _LUMA_WEIGHTS.get(picture.colorspace, _BT601)


def _from_weights(red: float, blue: float) -> Tensor:
    green = 1 - red - blue
    from_red, from_blue = 2 * (1 - red), 2 * (1 - blue)  # per unit of V and of U
    return torch.tensor(
        [
            [1.0, 0.0, from_red],
            [1.0, -blue * from_blue / green, -red * from_red / green],
            [1.0, from_blue, 0.0],
        ]
    )
