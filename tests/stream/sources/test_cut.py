"""Photographs of different things are told from pictures of one film."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

import av
import numpy as np
import pytest

from xpose_stream.stream.sources.cut import Cuts

DEMO = Path(__file__).parents[3] / "configs" / "demo"


def plain(*colours: int) -> list[av.VideoFrame]:
    return [av.VideoFrame.from_ndarray(np.full((120, 160, 3), c, np.uint8), "rgb24") for c in colours]


def test_the_first_picture_is_no_cut_and_another_one_is() -> None:
    cuts = Cuts()
    assert [cuts(picture) for picture in plain(20, 22, 90, 90, 20)] == [False, False, True, False, True]


@pytest.mark.parametrize("clip", ["crossing", "company"])
@pytest.mark.parametrize("step", [1, 15])
def test_a_film_has_none(clip: str, step: int) -> None:
    cuts = Cuts()
    with av.open(str(DEMO / f"{clip}.mp4")) as container:
        assert not any(cuts(picture) for picture in islice(container.decode(video=0), 0, 240, step))
