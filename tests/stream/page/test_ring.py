"""The ring keeps seconds and bytes within bounds, whatever comes."""

from __future__ import annotations

from pathlib import Path

from tests.stream.spot import write_spot_clip
from xpose_stream.stream.page.ring import SECONDS, Ring, Seen
from xpose_stream.stream.sources import open_source
from xpose_stream.stream.sources.frame import Frame


def filled(path: Path, most_bytes: int = 1 << 30) -> tuple[Ring, list[Frame]]:
    ring = Ring(most_bytes)
    with open_source(write_spot_clip(path, 8, size=(160, 120))) as source:
        frames = list(source)
    for frame in frames:
        timed = Frame(frame.camera, frame.index, frame.pts, frame.pts, "file", frame.pts, frame.picture)
        ring.add(Seen(timed, None))  # type: ignore[arg-type]  # messages do not matter to it
    return ring, frames


def test_the_last_seconds_are_kept_and_found_by_number(tmp_path: Path) -> None:
    ring, frames = filled(tmp_path / "clip.mp4")
    last = frames[-1].index
    assert ring.find("clip", last) and ring.find("clip", last - int(SECONDS * 15) + 1)
    assert ring.find("clip", 0) is None and ring.find("other", last) is None
    strip = [seen.frame.index for seen in ring.strip("clip", 10)]
    assert len(strip) == 10 and strip == sorted(set(strip)) and strip[-1] == last


def test_pictures_that_are_kept_are_the_same_and_not_the_decoders(tmp_path: Path) -> None:
    with open_source(write_spot_clip(tmp_path / "clip.mp4", 1, size=(162, 122))) as source:
        for frame in source:
            kept = Seen.copied(frame, None).frame  # type: ignore[arg-type]
            assert kept.picture.planes[0].buffer_ptr != frame.picture.planes[0].buffer_ptr
            assert (kept.to_rgb() == frame.to_rgb()).all() and kept.index == frame.index


def test_bytes_are_bounded(tmp_path: Path) -> None:
    ring, frames = filled(tmp_path / "clip.mp4", most_bytes=300_000)
    assert 200_000 < ring.bytes <= 300_000 and ring.find("clip", frames[-1].index)
    ring.clear()
    assert ring.bytes == 0 and not ring.strip("clip", 10)
