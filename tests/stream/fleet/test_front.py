"""The page of a fleet: a list of cameras that leads to where each is now."""

from __future__ import annotations

import http.client
import json
from collections.abc import Iterator

import pytest

from tests.stream.fleet.conftest import free_ports
from xpose_stream.stream.fleet.front import Front
from xpose_stream.stream.sinks.directory import Entry
from xpose_stream.stream.site import PageSite

TOKEN = "correct-horse-battery"


@pytest.fixture
def front() -> Iterator[Front]:
    """Two cameras, one of which waits."""
    with Front(PageSite(address=f"127.0.0.1:{free_ports(1)}", token=TOKEN)) as front:
        there = Entry("a <b>", "serving", "tcp://10.0.0.5:5600", shard="m.0", page="http://10.0.0.5:5603/")
        front.tell([there, Entry("yard", "waiting", why="no machine is there")])
        yield front


def ask(front: Front, path: str, token: str = TOKEN) -> tuple[int, str, str]:
    """Status, where it leads, and text."""
    host = front.url.removeprefix("http://").partition("/")[0]
    connection = http.client.HTTPConnection(host, timeout=60)
    connection.request("GET", path, headers={"Authorization": f"Bearer {token}"})
    answer = connection.getresponse()
    text = answer.read().decode()
    connection.close()
    return answer.status, answer.headers.get("location", ""), text


def test_a_camera_s_name_leads_to_the_page_and_the_pictures_of_whoever_has_it(front: Front) -> None:
    assert ask(front, "/camera/a%20%3Cb%3E")[:2] == (307, f"http://10.0.0.5:5603/?token={TOKEN}&camera=a+%3Cb%3E")
    picture = "a%20%3Cb%3E.mjpeg"
    assert ask(front, f"/cameras/{picture}")[:2] == (307, f"http://10.0.0.5:5603/cameras/{picture}?token={TOKEN}")
    front.tell([Entry("a <b>", "starting", "tcp://10.0.0.6:5600", shard="n.0", page="http://10.0.0.6:5603/")])
    assert ask(front, "/camera/a%20%3Cb%3E")[1].startswith("http://10.0.0.6:5603/?")


def test_all_cameras_are_listed_and_those_that_wait_say_why(front: Front) -> None:
    status, _, text = ask(front, "/")
    assert status == 200 and "2 cameras, 1 served" in text
    assert '<a href="/camera/a%20%3Cb%3E">a &lt;b&gt;</a>' in text and "<b>" not in text
    assert ask(front, "/camera/yard") == (503, "", "Nobody serves it now: no machine is there.\n")
    assert ask(front, "/camera/none")[0] == 404
    assert [entry["state"] for entry in json.loads(ask(front, "/cameras")[2])] == ["serving", "waiting"]


def test_nobody_is_told_anything_without_the_token(front: Front) -> None:
    for path in ("/", "/cameras", "/camera/yard", "/camera/a%20%3Cb%3E"):
        status, place, text = ask(front, path, token="another-one-of-that-length")
        assert (status, place) == (401, "") and "yard" not in text
