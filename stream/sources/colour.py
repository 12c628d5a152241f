"""How the colours of a picture were mixed, as FFmpeg's scaler is told."""

from __future__ import annotations

import av
from av.video.reformatter import Colorspace

# H.273's numbers of matrices, and what FFmpeg's scaler calls the nearest of those that it knows; others it refuses.
_OF_SCALER = {1: Colorspace.ITU709, 4: Colorspace.FCC, 7: Colorspace.SMPTE240M}
_OF_SCALER |= dict.fromkeys((9, 10, 14, 15), Colorspace.BT2020)
_RGB, YCGCO, _BY_PRIMARIES = 0, 8, (12, 13)


def scaler_colorspace(picture: av.VideoFrame) -> Colorspace | None:
    """By which matrix FFmpeg's scaler is to take the picture apart; None: it is RGB."""
    if picture.colorspace == _RGB:
        return None
    number = picture.color_primaries if picture.colorspace in _BY_PRIMARIES else picture.colorspace
    return _OF_SCALER.get(number, Colorspace.ITU601)
