"""Whether a picture continues the one before it, or shows something else altogether."""

from __future__ import annotations

import av
import numpy as np
from av.video.reformatter import Colorspace
from numpy.typing import NDArray

_SIZE = (16, 12)  # px to which pictures are shrunk to be compared
# Mean difference of the grey values 0..255: pictures a second apart in a video differ by up to 11, two photographs of
# different things by 28 at least.
_ELSEWHERE = 24.0


class Cuts:
    """Looks at pictures in their order."""

    def __init__(self) -> None:
        self._before: NDArray[np.float64] | None = None

    def __call__(self, picture: av.VideoFrame) -> bool:
        """Whether it shows something else than the one before; False for the first."""
        same = Colorspace.ITU601  # grey is grey by every matrix, and FFmpeg does not know some of them
        small = picture.reformat(*_SIZE, format="gray", interpolation="AREA", src_colorspace=same, dst_colorspace=same)
        grey = small.to_ndarray().astype(np.float64)
        before, self._before = self._before, grey
        return before is not None and float(np.abs(grey - before).mean()) > _ELSEWHERE
