"""What the pages tell a reader to type works as it stands."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import av
import cv2
import pytest

import xpose_stream as xs
from xpose_stream.stream.prepare import CLIP

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def videos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with clip.mp4, half a second of the demo clip, and photo.jpg, its last frame."""
    folder = tmp_path_factory.mktemp("videos")
    with av.open(str(CLIP)) as source, av.open(str(folder / "clip.mp4"), "w") as copy:
        video = source.streams.video[0]
        stream = copy.add_stream_from_template(video)
        for packet in source.demux(video):
            if packet.dts is None or packet.pts * packet.time_base >= 0.5:
                break
            packet.stream = stream
            copy.mux(packet)
    *_, (frame, _) = xs.stream(folder / "clip.mp4")
    cv2.imwrite(str(folder / "photo.jpg"), frame.to_rgb()[:, :, ::-1])
    return folder


@pytest.mark.parametrize("page", ["docs/python.md", "README.md"])
def test_the_python_on_a_page_runs_from_its_top_to_its_end(page: str, videos: Path, tmp_path: Path) -> None:
    blocks = re.findall(r"^```python\n(.*?)^```", (ROOT / page).read_text(), re.M | re.S)
    assert blocks
    for video in videos.iterdir():
        shutil.copy(video, tmp_path)
    program = subprocess.run(
        [sys.executable, "-c", "\n".join(blocks)],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert program.returncode == 0, program.stderr
    assert len(program.stdout.splitlines()) > 10
    assert "Traceback" not in program.stderr


def test_every_test_that_inputs_names_is_there() -> None:
    """docs/inputs.md says which test is of which kind of input; … stands for a folder or file named before."""
    page, name, named = (ROOT / "docs" / "inputs.md").read_text(), "", 0
    for file, test in re.findall(r"`[^`\s]*?(\w+\.py)?(?:::(\w+)…?)?`", page):
        name = file or name
        if test:
            named += 1
            files = list((ROOT / "tests").rglob(name))
            assert any(f"def {test}" in path.read_text() for path in files), f"{name}::{test}"
    assert named > 50
