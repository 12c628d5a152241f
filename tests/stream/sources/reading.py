"""What a clip holds, and what is told of a source that cannot be read."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from xpose_stream.stream.sources import SourceError, open_source
from xpose_stream.stream.sources.frame import Frame


def decoded(clip: Path) -> list[np.ndarray]:
    """What PyAV itself makes of a file."""
    with av.open(clip) as container:
        return [picture.to_ndarray() for picture in container.decode(video=0)]


def assert_same_pictures(frames: list[Frame], expected: list[np.ndarray]) -> None:
    assert len(frames) == len(expected)
    for frame, picture in zip(frames, expected, strict=True):
        assert np.array_equal(frame.picture.to_ndarray(), picture)


def refusal(spec: str | Path) -> str:
    with pytest.raises(SourceError) as refused:
        open_source(spec).close()
    message = str(refused.value)
    assert message
    assert "\n" not in message
    assert "Traceback" not in message
    return message
