"""Does it see anything? One look says so."""

from __future__ import annotations

import subprocess
import sys
from itertools import islice
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from xpose_stream.error import UserError
from xpose_stream.stream.look import look, table_of

ROOT = Path(__file__).parents[2]
COMPANY = ROOT / "configs" / "demo" / "company.mp4"


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A frame of the demo's second clip as a picture file."""
    path = tmp_path_factory.mktemp("picture") / "frame.png"
    with av.open(str(COMPANY)) as container:
        frame = next(islice(container.decode(video=0), 120, None))
        cv2.imwrite(str(path), frame.to_ndarray(format="bgr24"))
    return path


def test_a_picture_is_told_and_drawn_although_nothing_is_tracked(picture: Path, tmp_path: Path) -> None:
    message = look(str(picture), "chair, person", tmp_path / "seen.png")
    names = {category.id: category.name for category in message.categories}
    assert {"chair", "person"} == {names[track.category] for track in message.tracks}
    assert {track.status for track in message.tracks} == {"tentative"}
    assert table_of(message).row_count == len(message.tracks)
    before, drawn = cv2.imread(str(picture)), cv2.imread(str(tmp_path / "seen.png"))
    assert before is not None and drawn is not None
    changed = np.abs(before.astype(int) - drawn).max(2) > 40
    x0, y0, x1, y1 = (round(value) for value in message.tracks[0].box)
    assert changed[max(y0, 0) : y1, max(x0, 0) : x1].any() and changed.mean() < 0.2


def test_the_command_prints_what_it_found_and_where_it_drew_it(tmp_path: Path) -> None:
    command = [sys.executable, str(ROOT / "run_stream.py"), "look", str(COMPANY), "--prompt", "chair"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True)
    assert done.returncode == 0 and "chair" in done.stdout and "drawn in look.jpg" in done.stdout
    assert (tmp_path / "look.jpg").stat().st_size > 10_000


@pytest.mark.parametrize(("width", "height"), [(1, 1), (1, 480), (1, 900), (3, 5000), (4000, 20)])
def test_a_picture_of_any_shape_is_looked_at(width: int, height: int, tmp_path: Path) -> None:
    path = tmp_path / "narrow.png"
    cv2.imwrite(str(path), np.random.default_rng(0).integers(0, 255, (height, width, 3), np.uint8))
    message = look(str(path), "person", tmp_path / "seen.png")
    assert (message.width, message.height) == (width, height)


@pytest.mark.parametrize(
    ("source", "out", "told"),
    [
        ("none.mp4", "seen.jpg", "there is no file or folder none.mp4"),
        (str(COMPANY), "seen.txt", "let it end in .jpg or .png"),
        (str(COMPANY), "no/seen.jpg", "the folder no does not exist"),
    ],
)
def test_what_cannot_be_is_one_sentence(source: str, out: str, told: str, tmp_path: Path) -> None:
    with pytest.raises(UserError, match=told):
        look(source, "person", Path(out))
