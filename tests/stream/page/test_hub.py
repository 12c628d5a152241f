"""The hub knows whether the stream keeps up with its cameras."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from tests.stream.spot import write_spot_clip
from xpose_stream.stream.page.hub import Hub
from xpose_stream.stream.sources import open_source
from xpose_stream.stream.sources.frame import Frame


@pytest.fixture
def frames(tmp_path: Path) -> list[Frame]:
    with open_source(write_spot_clip(tmp_path / "clip.mp4", 8, size=(64, 48))) as source:
        return [Frame("door", one.index, one.pts, one.pts, "file", one.pts, one.picture) for one in source]


def behind_after(frames: list[Frame], *more: Frame) -> bool:
    async def seen() -> bool:
        hub = Hub(asyncio.get_running_loop())
        with hub.look():
            for frame in [*frames, *more]:
                hub(frame, None)  # type: ignore[arg-type]  # messages do not matter to it
            return hub.behind

    return asyncio.run(seen())


def test_a_stream_that_publishes_all_or_nearly_all_is_not_behind(frames: list[Frame]) -> None:
    assert not behind_after(frames)
    assert not behind_after([frame for frame in frames if frame.index % 10])


def test_a_stream_that_drops_every_other_frame_is_behind_until_it_keeps_up_again(frames: list[Frame]) -> None:
    slow = frames[: len(frames) // 2 : 2]
    assert behind_after(slow)
    assert not behind_after(slow + frames[len(frames) // 2 :])


def test_a_camera_that_is_gone_does_not_count(frames: list[Frame]) -> None:
    last = frames[-1]
    later = Frame("yard", 0, last.pts, last.pts, "file", last.arrived + 10, last.picture)
    assert behind_after(frames[::2]) and not behind_after(frames[::2], later)
