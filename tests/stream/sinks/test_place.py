"""Where an output is written, or why it cannot be."""

from __future__ import annotations

from pathlib import Path

import pytest

from xpose_stream.stream.sinks.keys import KeysError, new
from xpose_stream.stream.sinks.place import place_of
from xpose_stream.stream.sinks.sink import SinkError, claim, reach
from xpose_stream.stream.site import Site, SiteError


@pytest.fixture
def astray(tmp_path: Path) -> Path:
    """A link to a folder that is gone."""
    link = tmp_path / "disk"
    link.symlink_to(tmp_path / "unplugged")
    return link


def test_a_folder_that_is_a_link_to_nowhere_is_told_as_one(astray: Path) -> None:
    for place in (astray / "a.parquet", astray / "b" / "a.parquet"):
        with pytest.raises(SinkError, match=f"cannot write {place}: {astray} is a link that leads nowhere"):
            reach(place)
    with pytest.raises(SinkError, match=f"{astray} is a link that leads nowhere"):
        place_of(f"{astray}/{{camera}}/a.parquet", "door")
    with pytest.raises(KeysError, match=f"{astray} is a link that leads nowhere"):
        new("server", astray)
    with pytest.raises(SiteError, match=f"{astray} is a link that leads nowhere"):
        Site.of("a.mp4", page={"recordings": astray})


def test_a_link_that_leads_to_itself_leads_nowhere(tmp_path: Path) -> None:
    (tmp_path / "loop").symlink_to("loop")
    with pytest.raises(SinkError, match="loop is a link that leads nowhere"):
        reach(tmp_path / "loop" / "a.parquet")


def test_a_link_to_a_file_that_is_not_there_is_written_where_it_leads_or_refused_before_the_work(
    tmp_path: Path, astray: Path
) -> None:
    (tmp_path / "good.jpg").symlink_to(tmp_path / "new.jpg")
    assert claim(tmp_path / "good.jpg", overwrite=True) == tmp_path / "good.jpg"
    (tmp_path / "bad.jpg").symlink_to(astray / "new.jpg")
    with pytest.raises(SinkError, match=r"bad\.jpg is a link that leads nowhere"):
        claim(tmp_path / "bad.jpg", overwrite=True)


def test_a_file_where_a_folder_of_a_camera_would_be_is_told(tmp_path: Path) -> None:
    (tmp_path / "clips").write_text("")
    with pytest.raises(SinkError, match="clips/door"):
        place_of(f"{tmp_path}/clips/{{camera}}/a.parquet", "door")
